"""What is audited: shared objects at the places where they are, or where installing would put them.

A scene is read once and then only looked at. Nothing in it is ever loaded or imported.
"""

from __future__ import annotations

import os
import posixpath
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from tt_conda.audit.flavour import under_other_library
from tt_conda.audit.loader import Closure, Loaded, System, closure, this_system
from tt_conda.audit.lost import Lost, lost_names, roots
from tt_conda.audit.machine import glibc_sonames, policies
from tt_conda.audit.resolve import Resolver
from tt_conda.audit.undefined import Undefined, exports_in, undefined_symbols
from tt_conda.elf import Elf, ElfError, plain_soname, read
from tt_conda.elf.read import MACHINES

ROOT = "/prefix"
"""The folder that represents the environment of targets that are not installed."""

SYSTEM = "the system"
"""The owner of objects outside all targets."""

_NOWHERE = "\0"
"""In place of a folder that is not there."""


@dataclass(eq=False)
class Object:
    """One shared object or program. Compared by identity: a file is one object, whatever links lead to it."""

    path: str
    """Absolute, with no link in it; below :data:`ROOT` where it is not installed."""
    owner: str
    """What brings it: ``numpy 2.1.0``; of what no package brings, the folder that was named, ``build/``."""
    member: str
    """The path as people know it: in the wheel, in the package, in the environment."""
    size: int
    """Bytes."""
    elf: Elf
    content: Callable[[], bytes] = field(repr=False)
    """Reads the whole file again."""
    crc: int | None = None
    """CRC-32 of the content, where an archive says it."""
    folder: str = ""
    """The top of the target it is from; paths below it are inside."""

    @cached_property
    def identity(self) -> tuple[int, int]:
        """Size and CRC-32: equal for equal content. Reads the file where no archive has said it."""
        return self.size, zlib.crc32(self.content()) if self.crc is None else self.crc

    @cached_property
    def file(self) -> tuple[int, int] | str:
        """What the linker knows a file by, whatever its name: device and inode; the path of what is not on disk."""
        try:
            found = os.stat(self.path)  # noqa: PTH116
        except OSError:
            return self.path
        return found.st_dev, found.st_ino

    @property
    def name(self) -> str:
        """File name."""
        return self.path.rpartition("/")[2]

    @property
    def soname(self) -> str:
        """What the linker calls it: its DT_SONAME, else its file name."""
        return self.elf.soname or self.name

    @cached_property
    def library(self) -> str:
        """The library that it is a copy of: its soname without auditwheel's hash."""
        return plain_soname(self.soname)

    @property
    def is_program(self) -> bool:
        """Whether the kernel starts it: it names an interpreter, and nothing links to it by a soname."""
        return self.elf.interpreter is not None and self.elf.soname is None

    @property
    def is_module(self) -> bool:
        """Whether only dlopen by path finds it: a Python module or a plugin, which may share its name with others."""
        return not self.is_program and (self.elf.soname is None or not self.name.startswith("lib"))

    @cached_property
    def is_python_module(self) -> bool:
        """Whether ``import`` opens it: it exports the function that makes the module (PEP 489)."""
        return f"PyInit_{self.name.partition('.')[0]}" in self.elf.symbols.defined

    def __str__(self) -> str:
        return f"{self.owner}: {self.member}"


@dataclass(frozen=True)
class Unreadable:
    """A shared object or archive that cannot be read."""

    owner: str
    member: str
    why: str


@dataclass(frozen=True)
class Baseline:
    """The oldest system that an owner declares to support, with the source of the declaration."""

    owner: str
    glibc: tuple[int, ...]
    said_by: str
    manylinux: bool = False
    """Whether it is a manylinux policy, which allows other libraries of the machine besides the C library."""


@dataclass(eq=False)
class Scene:
    """All targets together, as in one environment or one process."""

    kind: Literal["installed", "files", "process"] = "files"
    """``installed``: a complete prefix; ``files``: archives and folders, which may lack libraries of other packages;
    ``process``: the mapped files of a process."""
    targets: list[str] = field(default_factory=list)
    objects: dict[str, Object] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    """Symbolic links of targets not on disk: path → link text."""
    folders: list[str] = field(default_factory=list)
    """Roots of the targets; paths below them are inside."""
    unreadable: list[Unreadable] = field(default_factory=list)
    replaced: list[tuple[Object, Object]] = field(default_factory=list)
    """(object at a path, object that another owner installed there)."""
    baselines: list[Baseline] = field(default_factory=list)
    program: str | None = None
    """The Python program that loads modules, if present."""
    once: bool = False
    """Ignore duplicates: the first target's copy of a library serves all its consumers, under any name."""
    system: System = field(default_factory=this_system)
    others: list[Scene] = field(default_factory=list)
    """Additional environments of the same targets, as a channel's packages do not all fit into one."""
    unread: list[str] = field(default_factory=list)
    """Entirely unreadable targets."""
    packages: dict[Path, object] = field(default_factory=dict)
    """The unpacked members of each archive; private to :mod:`tt_conda.audit.targets`."""
    _temporary: tempfile.TemporaryDirectory[str] | None = None

    def unpacked(self) -> Path:
        """A folder for unpacked packages, deleted by :meth:`close`."""
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="tt-conda-audit-")
        return Path(self._temporary.name)

    def beside(self) -> Scene:
        """A new scene for another environment of the same targets; it shares the unpacked files."""
        self.unpacked()
        other = Scene(self.kind, once=self.once, system=self.system, packages=self.packages, _temporary=self._temporary)
        self.others.append(other)
        return other

    def close(self) -> None:
        """Delete the unpacked files; contents can no longer be read."""
        if self._temporary is not None:
            self._temporary.cleanup()

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, found: Object) -> None:
        """Add an object at its path; a second owner's replaces the first one's, as in an installation."""
        before = self.objects.get(found.path)
        if before is not None and before.owner != found.owner:
            self.replaced.append((before, found))
        self.objects[found.path] = found

    def __iter__(self) -> Iterator[Object]:
        return iter(self.objects.values())

    def is_inside(self, path: str) -> bool:
        """Whether a path is below one of the targets."""
        return any(path.startswith(folder + "/") for folder in self.folders)

    def find(self, path: str) -> Object | None:
        """The object that opening ``path`` gives, links followed: the scene's, else the machine's own."""
        hit = self.objects.get(path)
        if hit is not None or path in self._found:
            return hit or self._found[path]
        self._found[path] = hit = self._look(path)
        return hit

    def _look(self, path: str) -> Object | None:
        folder, name = self._located(path)
        real = f"{folder}/{name}"
        if (hit := self.objects.get(real)) is not None:
            return hit
        if self.links and (linked := self._resolve(real)) != real:
            return self.find(linked)
        if name not in self._names(folder) or (self.is_for_any_machine and name not in self.from_machine):
            return None
        real = os.path.realpath(real)
        if (hit := self.objects.get(real)) is not None or real in self._system_objects:
            return hit or self._system_objects[real]
        self._system_objects[real] = outside = on_disk(Path(real), SYSTEM, real)
        return outside

    def ends_search(self, path: str) -> bool:
        """Whether the linker stops at a file that is no object: text, or cut (elf/dl-load.c, open_verify).

        It passes over objects of other machines, and over what it cannot open.
        """
        folder, name = self._located(path)
        if name not in self._names(folder) or self.find(path) is not None:
            return False
        try:
            with Path(folder, name).open("rb") as file:
                head = file.read(20)
        except OSError:
            return False
        return head[:4] != b"\x7fELF" or (
            head[4:6] == b"\x02\x01" and int.from_bytes(head[18:20], "little") in MACHINES
        )

    def is_folder(self, path: str) -> bool:
        """Whether there is such a folder, on disk or in a target."""
        return self._folder(path) != _NOWHERE

    def _located(self, path: str) -> tuple[str, str]:
        folder, _, name = path.rpartition("/")
        return self._folder(folder), name

    def _folder(self, folder: str) -> str:
        """A folder without links in it; ``..`` goes up from where a link leads, as in the kernel."""
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder) if os.path.isdir(folder or "/") else self._walk(folder)  # noqa: PTH112
        return self._folders[folder]

    def _walk(self, folder: str) -> str:
        at = ""
        for part in folder.split("/"):
            if part == "..":
                at = at.rpartition("/")[0]
            elif part not in ("", "."):
                at = self._resolve(f"{at}/{part}")
                if at not in self._folders_of_targets and not os.path.isdir(at):  # noqa: PTH112
                    return _NOWHERE
                if at not in self._folders_of_targets:
                    at = os.path.realpath(at)
        return at

    @cached_property
    def _folders_of_targets(self) -> frozenset[str]:
        """Every folder in which an object or a link is, and those above it."""
        found: set[str] = set()
        for path in [*self.objects, *self.links]:
            folder = path.rpartition("/")[0]
            while folder and folder not in found:
                found.add(folder)
                folder = folder.rpartition("/")[0]
        return frozenset(found)

    def _names(self, folder: str) -> frozenset[str]:
        """What is in a folder on disk."""
        if folder not in self._listed:
            try:
                self._listed[folder] = frozenset(os.listdir(folder or "/"))  # noqa: PTH208
            except (OSError, ValueError):
                self._listed[folder] = frozenset()
        return self._listed[folder]

    @cached_property
    def _listed(self) -> dict[str, frozenset[str]]:
        return {}

    def _resolve(self, path: str) -> str:
        """Follow the scene's own links, in any component."""
        if not self.links:
            return path
        for _ in range(40):  # as the kernel: more links than that are a circle
            at = ""
            for part in path.split("/")[1:]:
                at += "/" + part
                if at in self.links:
                    target = posixpath.join(posixpath.dirname(at), self.links[at])
                    path = posixpath.normpath(target + path[len(at) :])
                    break
            else:
                return path
        return path

    @cached_property
    def _found(self) -> dict[str, Object | None]:
        return {}

    @cached_property
    def _folders(self) -> dict[str, str]:
        return {}

    @cached_property
    def _system_objects(self) -> dict[str, Object | None]:
        return {}

    @cached_property
    def host(self) -> list[Loaded]:
        """What a process has loaded before it opens a module: the Python program and its libraries."""
        program = self.find(self.program) if self.program else None
        return closure(program, self.system, self).loaded if program else []

    @cached_property
    def host_objects(self) -> frozenset[Object]:
        """The objects of :attr:`host`."""
        return frozenset(item.object for item in self.host)

    def closure(self, start: Object) -> Closure:
        """Everything that loading ``start`` brings in, alone in a process; programs are started, all else is opened."""
        if start not in self._closures:
            host = [] if start.is_program else self._before
            self._closures[start] = closure(start, self.system, self, host=host)
        return self._closures[start]

    @cached_property
    def _before(self) -> list[Loaded]:
        """What is loaded before anything else: in a process, all that it has mapped."""
        if self.kind != "process":
            return self.host
        program = self.host[0] if self.host else None
        there = {item.object for item in self.host}
        return [*self.host, *(Loaded(o.path, o, "loaded", program) for o in self if o not in there)]

    @cached_property
    def _closures(self) -> dict[Object, Closure]:
        return {}

    @cached_property
    def roots(self) -> list[Object]:
        """What is opened by itself; see :func:`tt_conda.audit.lost.roots`."""
        return roots(self)

    @cached_property
    def lost(self) -> list[Lost]:
        """The NEEDED names that are not found; see :func:`tt_conda.audit.lost.lost_names`."""
        return lost_names(self)

    @cached_property
    def resolver(self) -> Resolver:
        """Looks symbols up."""
        return Resolver(self)

    @cached_property
    def unresolved(self) -> list[tuple[Object, dict[Object, frozenset[str]]]]:
        """(root, object of its closure → its symbols that nothing there provides), where there are any."""
        found = ((root, self.resolver.unresolved(self.closure(root))) for root in self.roots)
        return [(root, names) for root, names in found if names]

    @cached_property
    def undefined(self) -> list[Undefined]:
        """What objects lack; see :func:`tt_conda.audit.undefined.undefined_symbols`."""
        return undefined_symbols(self)

    def other_library(self, lacking: Undefined) -> Mapping[str, tuple[str, Object]]:
        """What is there with the other C++ standard library's types: name → (name as it is there, whose)."""
        if lacking not in self._other_library:
            inside = [item for item in lacking.around if self.is_inside(item.path)]
            inside.sort(key=lambda item: item.path)
            self._other_library[lacking] = under_other_library(lacking.names, inside)
        return self._other_library[lacking]

    @cached_property
    def _other_library(self) -> dict[Undefined, Mapping[str, tuple[str, Object]]]:
        return {}

    def exports_in(self, item: Object, namespace: str) -> bool:
        """Whether an object exports a name in an outermost C++ namespace."""
        key = item, namespace
        if key not in self._exports_in:
            self._exports_in[key] = exports_in(item, namespace)
        return self._exports_in[key]

    @cached_property
    def _exports_in(self) -> dict[tuple[Object, str], bool]:
        return {}

    @cached_property
    def needed(self) -> frozenset[Object]:
        """The objects that another one's NEEDED brings in."""
        return frozenset(used.object for root in self.roots for used in self.closure(root).resolved.values())

    def named(self, name: str) -> list[Object]:
        """The objects that have this soname, or this file name."""
        return self._named.get(name, [])

    @cached_property
    def _named(self) -> dict[str, list[Object]]:
        named: dict[str, list[Object]] = {}
        for found in self:
            for name in dict.fromkeys((found.soname, found.name)):
                named.setdefault(name, []).append(found)
        return named

    @cached_property
    def is_conda(self) -> bool:
        """Whether it is a conda environment, or packages for one: everything but the C library comes from packages."""
        return any(target.endswith((".conda", ".tar.bz2")) for target in self.targets) or any(
            Path(folder, "conda-meta").is_dir() for folder in self.folders
        )

    @property
    def is_for_any_machine(self) -> bool:
        """Whether nothing is installed, so that this machine's libraries do not count."""
        return self.kind == "files" and ROOT in self.folders

    @cached_property
    def from_machine(self) -> frozenset[str]:
        """The sonames that may come from outside the targets."""
        return glibc_sonames() if self.is_conda else glibc_sonames() | policies().sonames

    def substitute(self, name: str) -> Object | None:
        """With :attr:`once`, the one copy that serves a NEEDED name; else None."""
        if not self.once:
            return None
        return self._only.get(plain_soname(name))

    @cached_property
    def _only(self) -> dict[str, Object]:
        """Library → the first target's copy: by soname, and by file name where that differs."""
        only: dict[str, Object] = {}
        for found in self:
            if not found.is_program:
                only.setdefault(found.library, found)
        for found in self:
            only.setdefault(plain_soname(found.name), only.get(found.library, found))
        return only


def on_disk(path: Path, owner: str, member: str, folder: str = "") -> Object | None:
    """The object in a file; None where it is none that can be read."""
    try:
        elf = read(path, symbols=True)
        return Object(str(path), owner, member, path.stat().st_size, elf, path.read_bytes, folder=folder)
    except (ElfError, OSError):
        return None
