"""What is audited: shared objects at the places where they are, or where installing would put them.

A scene is data: it is read once and then only looked at (:mod:`tt_conda.audit.analysis`). Nothing in it is ever loaded
or imported.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from tt_conda.audit.loader import System, this_system
from tt_conda.audit.machine import glibc_sonames, musl_sonames, policies
from tt_conda.audit.objects import Object
from tt_conda.formats.platforms import Platform


def is_library_name(name: str) -> bool:
    """Whether a file is named like a shared object."""
    return name.endswith(".so") or ".so." in name


ROOT = "/prefix"
"""The folder that represents the environment of targets that are not installed."""

SYSTEM = "the system"
"""The owner of objects outside all targets."""


@dataclass(frozen=True)
class Unreadable:
    """A shared object or archive that cannot be read."""

    owner: str
    member: str
    why: str
    way_out: str = ""
    """Empty: the rule's."""
    is_in_use: bool = False
    """Whether it is the file of a process, which still has what was there before."""


@dataclass(frozen=True)
class Foreign:
    """A file named like a library that is none for the machines that the audit knows: Mach-O, PE, ELF for others."""

    owner: str
    member: str
    path: str
    platform: Platform

    @property
    def is_named_for_linux(self) -> bool:
        """Whether it is named as Linux's linker and Python look for libraries; the rest is data there."""
        return is_library_name(self.member.rpartition("/")[2])


@dataclass(frozen=True)
class Declaration:
    """The platforms and Pythons for which an owner declares to be made."""

    owner: str
    said_by: str
    platforms: tuple[Platform, ...] = ()
    """Empty: any."""
    pythons: frozenset[tuple[str, str]] = frozenset()
    """Interpreter and ABI, of a wheel: ``("cp310", "cp310")``."""
    abi3_floor: tuple[int, int] | None = None
    """The oldest CPython of a wheel for the stable ABI."""


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
    depends: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Owner → the names of the packages that it declares as dependencies."""
    declarations: dict[str, Declaration] = field(default_factory=dict)
    """Owner → its declaration."""
    foreign: list[Foreign] = field(default_factory=list)
    python: list[Callable[[str], Iterator[tuple[str, str]]]] = field(default_factory=list)
    """For each target, what reads the Python files in a folder: their paths there, and their text."""
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
        if any(each.libc == "musl" for said in self.declarations.values() for each in said.platforms):
            return musl_sonames() | glibc_sonames() | policies().sonames
        return glibc_sonames() if self.is_conda else glibc_sonames() | policies().sonames
