"""Group objects that are copies of one library: by soname without auditwheel's hash, by build-id, and by content."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable
from dataclasses import dataclass

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
        return sum(item.size for item in self.objects) - max(item.size for item in self.objects)


def copies(objects: Iterable[Object]) -> list[Copies]:
    """The libraries with several copies, in the order of the first copies."""
    return [group for group in libraries(objects) if len(group.objects) > 1]


def libraries(objects: Iterable[Object]) -> list[Copies]:
    """Group objects by the library that they are copies of; most are alone.

    Modules and plugins share names without being copies (``_version.so``), so names count for them only if something
    links to that name. Content is equal if size and CRC-32 are; only files of equal size are read.
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
    for group in sizes.values():
        by_content: dict[tuple[int, int], Object] = {}
        for item in group if len(group) > 1 else ():
            join(by_content.setdefault(item.identity, item), item)
    found: dict[Object, list[Object]] = defaultdict(list)
    for item in items:
        found[top(item)].append(item)
    return [Copies(_name(group), tuple(group)) for group in found.values()]


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
