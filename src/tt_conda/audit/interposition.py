"""Definitions of one object that are interposed by another one in the same search order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tt_conda.audit.exports import without_versions_between
from tt_conda.audit.loader import Closure
from tt_conda.audit.objects import Object
from tt_conda.providers import load_providers


@dataclass(frozen=True)
class Interposed:
    """Symbols of ``second`` interposed by ``first``."""

    first: Object
    second: Object
    names: frozenset[str]
    closure: Closure
    """A load that brings in both, ``first`` before ``second``."""


def interposed(
    exports: Mapping[Object, frozenset[str]], together: Mapping[tuple[Object, Object], Closure],
    one_build: Callable[[Object, Object], bool],
) -> dict[tuple[Object, Object], Interposed]:  # fmt: skip
    """(first, second) → the strong symbols that both define and that ``second`` itself uses through a relocation.

    Protected symbols, and all symbols of an object linked with ``-Bsymbolic``, stay with their object (gABI, chapter 4,
    "Symbol Visibility"; chapter 5, DT_SYMBOLIC), as do symbols bound at link time. The parts of the C library are
    designed to interpose each other.
    """
    found: dict[tuple[Object, Object], Interposed] = {}
    glibc = load_providers().system
    for (first, second), closure in together.items():
        if second.elf.is_symbolic or {first.soname, second.soname} <= glibc:
            continue
        symbols = second.elf.symbols
        names = (exports[first] & exports[second] & symbols.relocated) - symbols.protected
        if one_build(first, second):
            names = frozenset(name for name in names if not name.startswith("_Z"))
        if names and (names := without_versions_between(first, second, names)):
            found[first, second] = Interposed(first, second, names, closure)
    return found
