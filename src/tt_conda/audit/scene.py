"""What is audited: shared objects at the places where they are, or where installing would put them.

A scene is data: it is read once and then only looked at (:mod:`tt_conda.audit.analysis`). Nothing in it is ever loaded
or imported.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from tt_conda.audit.loader import System, this_system
from tt_conda.audit.machine import glibc_sonames, policies
from tt_conda.audit.objects import Object

ROOT = "/prefix"
"""Where targets that are not installed would be: the folder that stands for the environment."""

SYSTEM = "the system"
"""The owner of what lies outside of every target."""


@dataclass(frozen=True)
class Unreadable:
    """A file that should be a shared object, or an archive, and cannot be read."""

    owner: str
    member: str
    why: str


@dataclass(frozen=True)
class Baseline:
    """The oldest system that an owner promises to work on, and where it says so."""

    owner: str
    glibc: tuple[int, ...]
    said_by: str
    manylinux: bool = False
    """Whether it is a manylinux policy, which allows more of the machine's libraries than the C library."""


@dataclass(eq=False)
class Scene:
    """All targets together, as one environment or one process has them."""

    kind: Literal["installed", "files", "process"] = "files"
    """``installed``: a prefix, with everything that belongs to it; ``files``: archives and folders, which may lack
    what another package brings; ``process``: what a process has mapped."""
    targets: list[str] = field(default_factory=list)
    objects: dict[str, Object] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    """Symbolic links of what is not on disk: path → what the link says."""
    folders: list[str] = field(default_factory=list)
    """Tops of the targets; what is below one of them is inside."""
    unreadable: list[Unreadable] = field(default_factory=list)
    replaced: list[tuple[Object, Object]] = field(default_factory=list)
    """(what was at a path, what another owner put there)."""
    baselines: list[Baseline] = field(default_factory=list)
    program: str | None = None
    """The Python program that loads modules, where one is there."""
    once: bool = False
    """Judge as if each library were there once: the first target's copy serves whoever needs it under any name."""
    system: System = field(default_factory=this_system)
    others: list[Scene] = field(default_factory=list)
    """Further environments of the same targets: a channel's packages do not all fit into one."""
    unread: list[str] = field(default_factory=list)
    """Targets of which nothing could be read."""
    packages: dict[Path, object] = field(default_factory=dict)
    """What was unpacked of each archive, for :mod:`tt_conda.audit.targets` alone."""
    _temporary: tempfile.TemporaryDirectory[str] | None = None

    def unpacked(self) -> Path:
        """A folder for unpacked packages, which :meth:`close` deletes."""
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="tt-conda-audit-")
        return Path(self._temporary.name)

    def beside(self) -> Scene:
        """A new scene for another environment of the same targets; it shares what is unpacked."""
        self.unpacked()
        other = Scene(self.kind, once=self.once, system=self.system, packages=self.packages, _temporary=self._temporary)
        self.others.append(other)
        return other

    def close(self) -> None:
        """Delete what was unpacked; contents cannot be read any more."""
        if self._temporary is not None:
            self._temporary.cleanup()

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, found: Object) -> None:
        """Put an object in its place; a second owner's replaces the first one's, as installing does."""
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
        """Whether it is a conda environment, or packages of one: all but the C library comes from packages."""
        return any(target.endswith((".conda", ".tar.bz2")) for target in self.targets) or any(
            Path(folder, "conda-meta").is_dir() for folder in self.folders
        )

    @property
    def is_for_any_machine(self) -> bool:
        """Whether nothing is installed: what this machine happens to have then does not count."""
        return self.kind == "files" and ROOT in self.folders

    @cached_property
    def from_machine(self) -> frozenset[str]:
        """The sonames that may come from outside of the targets."""
        return glibc_sonames() if self.is_conda else glibc_sonames() | policies().sonames
