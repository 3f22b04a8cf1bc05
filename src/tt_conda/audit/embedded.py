"""Static libraries inside shared objects, found by their traces: source names, version strings, exported symbols."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from tt_conda.audit.copies import copies
from tt_conda.audit.exports import THRESHOLD, families
from tt_conda.audit.objects import Object
from tt_conda.base.documents import read_toml

SameExports = Mapping[tuple[Object, Object], frozenset[str]]

FEW_SOURCES = 2
"""Minimum number of source files shared by two objects: a single one may be mere data."""

_THIRD_PARTY = re.compile(r"^(?:third[-_]?party|3rd[-_]?party|deps|_deps|external|vendor(?:ed)?|subprojects|contrib)$")
_SAYS_NOTHING = re.compile(
    r"^(?:\.\.?|src|source|sources|lib|libs|include|core|common|base|util|utils|impl|detail|internal|main|c|cpp|cc|c\+\+"
    r"|build\w*|release|debug|project|work|workspace|home|root|tmp|temp|opt|usr|local|mnt|data|io|runtime|python"
    r"|kernels?|compute|dataflow|[0-9a-f]{8,64}|\d[\d.]*|__w|_work|runner|cmake\S*|_skbuild|\.\w+|.*\.clean|.*\.dir)$",
    re.IGNORECASE,
)
_SANE = re.compile(r"(?:\.{0,2}/)?[A-Za-z][\w.+~-]*(?:/[\w.+~-]+)+$")


@dataclass(frozen=True)
class _Known:
    name: str
    sources: re.Pattern[str] | None
    banner: re.Pattern[str] | None


@lru_cache
def _known() -> list[_Known]:
    data = read_toml(Path(__file__).with_name("embedded.toml").read_text("utf-8"))
    return [
        _Known(
            row["name"],
            re.compile("|".join(row["sources"])) if "sources" in row else None,
            re.compile(row["banner"]) if "banner" in row else None,
        )
        for row in data["library"]
    ]


@dataclass
class Embedded:
    """One library, and the objects that contain its code."""

    name: str
    sources: dict[Object, frozenset[str]] = field(default_factory=dict)
    """Its source files named by one object and by another."""
    banners: dict[Object, str] = field(default_factory=dict)
    """The versions in its version strings."""
    symbols: dict[Object, frozenset[str]] = field(default_factory=dict)
    """Its exported symbols also exported by another object."""

    @property
    def objects(self) -> list[Object]:
        """All of them, in a fixed order."""
        return sorted({*self.sources, *self.banners, *self.symbols}, key=lambda item: item.path)


@lru_cache(maxsize=65_536)
def library_of(path: str) -> str:
    """The library of a source file, by the names of its folders; empty if unknown.

    ``/project/build/llama.cpp/ggml/src/ggml.c`` is ggml's, ``../3rdparty/harfbuzz/src/hb-font.cc`` harfbuzz's.
    """
    for known in _known():
        if known.sources and known.sources.search(path):
            return known.name
    folders = path.split("/")[:-1]
    for at in range(len(folders) - 2, -1, -1):
        if _THIRD_PARTY.match(folders[at].lower()) and not _SAYS_NOTHING.match(folders[at + 1]):
            return folders[at + 1]
    for at in range(len(folders) - 1, 0, -1):
        if folders[at] in ("src", "source", "cpp"):
            before = [name for name in folders[:at] if not _SAYS_NOTHING.match(name)]
            if before:
                return before[-1]
    telling = [name for name in folders if not _SAYS_NOTHING.match(name)]
    return telling[0] if telling else ""


def _tail(path: str) -> str:
    """The end of a path, independent of the build folder."""
    return "/".join([part for part in path.split("/") if part not in ("", ".", "..")][-3:])


def embedded(
    objects: Iterable[Object], same_exports: SameExports, runtime_of: Callable[[Object], object]
) -> list[Embedded]:
    """The libraries whose code is in several objects that are no copies of one another and no programs.

    Args:
        objects: where they are looked for.
        same_exports: pairs of objects that export many of the same names, and these.
        runtime_of: the runtime that an object is; what two runtimes both export is another rule's.
    """
    found: dict[str, Embedded] = {}
    items = [item for item in objects if not item.is_program]
    leaders = {item: group.objects[0] for group in copies(items) for item in group.objects}
    for name, held in _by_sources(items, leaders).items():
        found.setdefault(name.lower(), Embedded(name)).sources.update(held)
    for name, versions in _by_banner(items).items():
        if len({leaders.get(item, item) for item in versions}) > 1:
            found.setdefault(name.lower(), Embedded(name)).banners.update(versions)
    for name, symbols in _by_symbols(same_exports, leaders, runtime_of).items():
        each = found.setdefault(name.lower(), Embedded(name))
        for item, names in symbols.items():
            each.symbols[item] = names
    return [found[key] for key in sorted(found)]


def _by_sources(items: Iterable[Object], leaders: dict[Object, Object]) -> dict[str, dict[Object, frozenset[str]]]:
    holders: dict[str, dict[Object, str]] = defaultdict(dict)
    for item in items:
        for path in item.elf.traces.sources:
            if match := _SANE.search(path):
                holders[_tail(match[0])][item] = match[0]
    found: dict[str, dict[Object, set[str]]] = defaultdict(lambda: defaultdict(set))
    for tail, paths in holders.items():
        if len({leaders.get(item, item) for item in paths}) < 2:
            continue
        names = Counter(name for path in paths.values() if (name := library_of(path)))
        if names:
            name = min(names, key=lambda each: (-names[each], each))
            for item in paths:
                found[name][item].add(tail)
    result = {}
    for name, held in found.items():
        enough = {item: frozenset(tails) for item, tails in held.items() if len(tails) >= FEW_SOURCES}
        if len({leaders.get(item, item) for item in enough}) > 1:
            result[name] = enough
    return result


def _by_banner(items: Iterable[Object]) -> dict[str, dict[Object, str]]:
    found: dict[str, dict[Object, str]] = defaultdict(dict)
    for item in items:
        for text in item.elf.traces.banners:
            for known in _known():
                if known.banner and (match := known.banner.search(text)):
                    found[known.name][item] = match[1]
    return found


def _by_symbols(
    same_exports: SameExports, leaders: dict[Object, Object], runtime_of: Callable[[Object], object]
) -> dict[str, dict[Object, frozenset[str]]]:
    """What Python modules export and another object exports too; what two libraries do is another rule's."""
    found: dict[str, dict[Object, frozenset[str]]] = defaultdict(dict)
    for (one, other), names in same_exports.items():
        if one.is_program or other.is_program or not (one.is_module or other.is_module):
            continue
        if leaders.get(one, one) is leaders.get(other, other) or (runtime_of(one) and runtime_of(other)):
            continue
        if one.name == other.name:
            continue  # one plugin in two versions
        name, members = next(((name, members) for name, members in families(names).items() if name), ("", []))
        if len(members) >= THRESHOLD:
            for item in (one, other):
                found[name][item] = found[name].get(item, frozenset()) | names
    return found
