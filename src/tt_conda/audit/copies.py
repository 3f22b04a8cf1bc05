"""Group objects that are copies of one library: by soname without auditwheel's hash, by build-id, and by content."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import nsmallest

from tt_conda.audit.objects import Object
from tt_conda.elf import plain_soname
from tt_conda.elf.names import same_library, soname_stem, version_of


@dataclass(frozen=True)
class Copies:
    """One library with several copies."""

    library: str
    objects: tuple[Object, ...]
    """In the order of the targets: the first is the one to keep."""

    @property
    def bytes(self) -> int:
        """Bytes of all copies but the largest."""
        return superfluous(self.objects)


def superfluous(objects: Iterable[Object]) -> int:
    """Bytes of all files but the largest; hard links to one file take its space once."""
    sizes = {item.file: item.size for item in objects}.values()
    return sum(sizes) - max(sizes, default=0)


def copies(objects: Iterable[Object]) -> list[Copies]:
    """The libraries with several copies, in the order of the first copies."""
    return [group for group in libraries(objects) if len(group.objects) > 1]


def libraries(objects: Iterable[Object]) -> list[Copies]:
    """Group objects by the library that they are copies of; most are alone.

    Modules and plugins share names without being copies (``_version.so``), so names count for them only if something
    links to that name. Those of different owners are also one if their exports are, as bundling may have renamed it
    (``libcurl-fiona.so.4`` beside ``libcurl.so.4``). Content is equal if size and CRC-32 are; only files of equal size
    are read.
    """
    items = list(dict.fromkeys(objects))
    leader = {item: item for item in items}
    position = {item: number for number, item in enumerate(items)}

    def top(item: Object) -> Object:
        while leader[item] is not item:
            item = leader[item]
        return item

    def join(a: Object, b: Object) -> None:
        first, second = sorted((top(a), top(b)), key=position.__getitem__)
        leader[second] = first

    linked = linked_names(items)
    builds: dict[str, Object] = {}
    stems: dict[tuple[str, str], list[Object]] = defaultdict(list)
    sizes: dict[int, list[Object]] = defaultdict(list)
    for item in items:
        sizes[item.size].append(item)
        if item.elf.build_id:
            join(builds.setdefault(item.elf.build_id, item), item)
        if is_library(item, linked):
            stems[item.elf.machine, soname_stem(item.library)].append(item)
    for group in stems.values():
        for at, one in enumerate(group):
            for other in group[:at]:
                if _same(one, other):
                    join(one, other)
                    break
    for one, other in _renamed([item for item in items if is_library(item, linked)]):
        join(one, other)
    for group in sizes.values():
        by_content: dict[tuple[int, int], Object] = {}
        for item in group if len(group) > 1 else ():
            join(by_content.setdefault(item.identity, item), item)
    found: dict[Object, list[Object]] = defaultdict(list)
    for item in items:
        found[top(item)].append(item)
    return [Copies(_name(group), tuple(group)) for group in found.values()]


_MANY, _FEW = 50, 10
"""Fewest exports with which two libraries can be one: under any names, and where one name extends the other."""


def _renamed(libraries: Sequence[Object]) -> Iterator[tuple[Object, Object]]:
    """Pairs of libraries of different owners that are one under two names: nine in ten exports are in both.

    Where the names are not alike, 19 of 20 must be. Only pairs that share one of their first exports, in the order of
    the alphabet, are compared.
    """
    if len({item.owner for item in libraries}) < 2:
        return
    first: dict[tuple[str, str], list[Object]] = defaultdict(list)
    seen: set[tuple[Object, Object]] = set()
    for item in libraries:
        if len(item.strong) < _FEW:
            continue
        for name in nsmallest(_FEW, item.strong):
            others = first[item.elf.machine, name]
            for other in others:
                if other.owner != item.owner and (other, item) not in seen:
                    seen.add((other, item))
                    if _are_one(other, item):
                        yield other, item
            others.append(item)


def _are_one(one: Object, other: Object) -> bool:
    names, others = one.strong, other.strong
    a, b = sorted((soname_stem(item.library).removesuffix(".so") for item in (one, other)), key=len)
    alike = b.startswith((f"{a}-", f"{a}_", f"{a}."))
    if a == b or (not alike and min(len(names), len(others)) < _MANY):
        return False  # a library of one name in two versions has other rules
    every = len(names | others)
    return len(names & others) * 10 >= every * 9 if alike else len(names & others) * 20 >= every * 19


def _name(group: Iterable[Object]) -> str:
    """A group's name, independent of the order of its objects."""
    return min((item.library for item in group), key=lambda name: (len(name), name))


def linked_names(objects: Iterable[Object]) -> frozenset[str]:
    """The names in NEEDED entries, without auditwheel's hashes."""
    return frozenset(plain_soname(name) for item in objects for name in item.elf.needed)


def is_library(item: Object, linked: Container[str]) -> bool:
    """Whether its name identifies it: not a program, nor a module to which nothing links."""
    return not item.is_program and (not item.is_module or item.library in linked)


def _same(one: Object, other: Object) -> bool:
    """Like :func:`same_library`, but a name without a version equals only itself, as it may belong to any version.

    auditwheel names a copy after the file, not the soname, so only the first number of its names is reliable.
    """
    a, b = one.library, other.library
    versions = version_of(a), version_of(b)
    if a == b or not all(versions):
        return a == b
    hashed = one.soname != a or other.soname != b
    return same_library(a, b) or (hashed and versions[0][0] == versions[1][0])
