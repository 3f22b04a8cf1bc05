"""Determine an object's C++ standard library from its symbols.

Both libraries put incompatible types into inline namespaces, which are visible in mangled names: libc++ puts everything
into ``std::__1`` (mangled ``St3__1``), libstdc++ its newer strings and lists into ``std::__cxx11`` (``St7__cxx11``;
GCC's manual, "Dual ABI").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

from tt_conda.audit.objects import Object
from tt_conda.elf.demangle import demangle

Flavour = Literal["libc++", "libstdc++"]

_MARKS: dict[Flavour, str] = {"libc++": "St3__1", "libstdc++": "St7__cxx11"}
RUNTIMES: dict[str, Flavour] = {"libc++.so.1": "libc++", "libstdc++.so.6": "libstdc++"}
"""Soname → its library."""

_INLINE = re.compile(r"\bstd::__(?:\d+|cxx11)::")
_TAG = re.compile(r"\[abi:\w+\]")
"""GCC's for functions that return a string, libc++'s for those that it keeps out of its ABI."""
_FILESYSTEM = re.compile(r"\bstd::(?:__fs::filesystem|filesystem::__cxx11)::")
_DURATION = re.compile(r"\bstd::chrono::duration<long long,")
"""libc++ counts seconds and their parts in ``long long``, libstdc++ in ``long``."""
_SPACE = re.compile(r"\s+(?=[>&*])|(?<=,)\s+")
_SHORT = re.compile(r"\bstd::(string|ostream|istream|iostream)\b")
_ALLOCATOR = {"string": ",std::allocator<char>"}
_SIZE = re.compile(r"\d+")


def flavour_of_name(name: str) -> Flavour | None:
    """The library whose types a mangled name contains, or None."""
    return next((flavour for flavour, mark in _MARKS.items() if mark in name), None)


def flavour_of(item: Object) -> Flavour | None:
    """The standard library of the types in an object's symbols, else the one it is linked to."""
    symbols = item.elf.symbols
    for names in (symbols.undefined, symbols.defined):
        text = "\n".join(names)
        counts = {flavour: text.count(mark) for flavour, mark in _MARKS.items()}
        if any(counts.values()):
            return max(counts, key=lambda flavour: counts[flavour])
    return next((RUNTIMES[name] for name in item.elf.needed if name in RUNTIMES), None)


def undone(name: str) -> str:
    """A demangled name without anything that only one of the standard libraries writes into it."""
    text = _SPACE.sub("", _INLINE.sub("std::", _TAG.sub("", demangle(name))))
    text = _DURATION.sub("std::chrono::duration<long,", _FILESYSTEM.sub("std::filesystem::", text))
    return _SHORT.sub(lambda m: f"std::basic_{m[1]}<char,std::char_traits<char>{_ALLOCATOR.get(m[1], '')}>", text)


def under_other_library(wanted: Iterable[str], providers: Iterable[Object]) -> Mapping[str, tuple[str, Object]]:
    """Find symbols that exist with the other standard library's types.

    Args:
        wanted: mangled names without a provider.
        providers: the objects to search.

    Returns:
        Wanted name → (the existing name, its object).
    """
    marked = {name for name in wanted if name.startswith("_Z")}
    if not marked:
        return {}
    # Both names are equal up to the first type: only names with that prefix are demangled.
    heads = {_head(name) for name in marked}
    sizes = sorted({len(head) for head in heads})
    by_text: dict[str, str] = {undone(name): name for name in sorted(marked)}
    found: dict[str, tuple[str, Object]] = {}
    for provider in providers:
        for name in provider.elf.symbols.defined:
            if name.startswith("_Z") and any(name[:size] in heads for size in sizes):
                text = by_text.get(undone(name))
                if text is not None and text != name:
                    found.setdefault(text, (name, provider))
    return found


def _head(name: str) -> str:
    """The prefix of a mangled name before its parameters' types: its nested name, or its first one."""
    at = 2
    if name.startswith("_ZN"):
        at = 3 + len(name[3:]) - len(name[3:].lstrip("rVKRO"))
    while match := _SIZE.match(name, at):
        at = match.end() + int(match[0])
    return name[:at]
