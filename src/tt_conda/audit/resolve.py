"""Find symbols and versions of an object without a provider in its closure, by the dynamic linker's rules.

The rules are glibc's. elf/dl-version.c (match_symbol): every version that an object needs from a library must be
defined there, before any symbol is looked up. elf/dl-lookup.c (do_lookup_x, check_match): a symbol is taken from the
first object in scope that has it in the required version. The scope of an object loaded by dlopen is the program's
initial scope, then the closure of the opened object. Whether there is *some* provider does not depend on the order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from tt_conda.audit.loader import Closure, Loaded
from tt_conda.audit.objects import Object


@dataclass(frozen=True)
class MissingVersion:
    """A version that an object needs but its library does not define."""

    version: str
    library: str
    """As named in the version table."""
    needer: Loaded
    provider: Loaded | None
    """None if nothing in the process has the library's name; the linker then aborts (an assertion)."""


def missing_versions(closure: Closure) -> list[MissingVersion]:
    """The versions that keep a closure from loading, in load order.

    Excluded are weakly needed versions, and those of missing libraries and of libraries without versions.
    """
    absent = {name for name, _ in closure.missing}
    found = []
    for item in closure.loaded:
        if item.object in closure.relocated:
            continue
        elf = item.object.elf
        for library, versions in elf.version_needs.items():
            provider = closure.by_name.get(library)
            if provider is None:
                if library not in absent:
                    found.append(MissingVersion(versions[0] if versions else "", library, item, None))
                continue
            given = provider.object.elf.version_gives
            if given:
                lacking = [v for v in versions if v not in given and v not in elf.weak_versions]
                found += [MissingVersion(version, library, item, provider) for version in lacking]
    return found


@dataclass(frozen=True)
class _Wants:
    """Symbols required by an object: names needed in any version, and ``name@version``."""

    plain: frozenset[str]
    versioned: frozenset[str]


@dataclass(frozen=True)
class _Gives:
    """Symbols provided by an object: names for requests without a version, ``name@version``, and names for all
    requests."""

    plain: frozenset[str]
    versioned: frozenset[str]
    bare: frozenset[str]
    """All names of an object without versions, else those in its base version: they satisfy every version."""


@dataclass
class Resolver:
    """Looks up symbols in the closures of one scene, and caches successful lookups."""

    host: Sequence[Loaded]
    """What a process has loaded before it opens anything."""
    has_python: bool
    """Whether the scene has the program that provides Python's names."""
    assumed: Sequence[Object] = ()
    """What the program, which is not among the targets, has loaded for certain."""
    _wants: dict[Object, _Wants] = field(default_factory=dict)
    _gives: dict[Object, _Gives] = field(default_factory=dict)
    _enough: dict[Object, list[frozenset[Object]]] = field(default_factory=dict)

    @cached_property
    def _linked(self) -> frozenset[Object]:
        return frozenset(item.object for item in self.host)

    def unresolved(self, closure: Closure) -> dict[Object, frozenset[str]]:
        """The strong undefined symbols without a provider, by consumer.

        Python's own symbols count as provided if the scene has no Python. If a provider's symbol table cannot be read,
        all symbols count as provided.
        """
        program = closure.loaded[0].object.is_program
        host = [] if program else self.host
        scope = [item.object for item in (*host, *closure.loaded)]
        scope = list(dict.fromkeys(scope if program else (*scope, *self.assumed)))
        members = frozenset(scope)
        found: dict[Object, frozenset[str]] = {}
        for item in closure.loaded:
            if any(enough <= members for enough in self._enough.get(item.object, ())):
                continue
            if item.object in closure.relocated or (not program and item.object in self._linked):
                continue  # it was linked when it was opened, or when the process started
            if left := self._look_up(item.object, scope):
                found[item.object] = left
        return found

    def _look_up(self, start: Object, scope: Iterable[Object]) -> frozenset[str]:
        wants = self.wants(start)
        plain, versioned = wants.plain, wants.versioned
        used: list[Object] = []
        for provider in scope:
            if not plain and not versioned:
                break
            gives = self.gives(provider)
            left, left_versioned = plain - gives.plain, versioned - gives.versioned
            if left_versioned and (bare := gives.bare):
                left_versioned = frozenset(w for w in left_versioned if w.partition("@")[0] not in bare)
            if len(left) < len(plain) or len(left_versioned) < len(versioned):
                used.append(provider)
                plain, versioned = left, left_versioned
        if not self.has_python:
            plain = frozenset(name for name in plain if not name.startswith(("Py", "_Py")))
        missing = plain | {want.partition("@")[0] for want in versioned}
        if not missing:
            self._enough.setdefault(start, []).append(frozenset(used))
        return missing

    def wants(self, item: Object) -> _Wants:
        """Symbols required by ``item``."""
        if item not in self._wants:
            symbols = item.elf.symbols
            strong = symbols.undefined - symbols.weak
            versions = symbols.wanted_versions
            versioned = strong & versions.keys() if versions else frozenset()
            self._wants[item] = _Wants(strong - versioned, frozenset(f"{name}@{versions[name]}" for name in versioned))
        return self._wants[item]

    def gives(self, item: Object) -> _Gives:
        """Symbols provided by ``item``."""
        if item not in self._gives:
            symbols = item.elf.symbols
            defined, given = symbols.defined, symbols.given_versions
            self._gives[item] = _Gives(
                defined - symbols.old if symbols.old else defined,
                frozenset(f"{name}@{each}" for name, versions in given.items() for each in versions),
                defined - given.keys() if given else defined,
            )
        return self._gives[item]
