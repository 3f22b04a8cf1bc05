"""The result of carving, for the table and the JSON output."""

from __future__ import annotations

from pydantic import BaseModel


class CarvedLibrary(BaseModel):
    """A shared object written to the prefix."""

    path: str
    soname: str | None
    bytes: int
    member: str
    """Its wheel and member."""
    links: list[str] = []
    """Symbolic links beside it."""
    rewritten: str
    """``nothing``, ``in place`` or ``patchelf``."""
    stack_cleared: bool = False
    """Whether it asked for an executable stack, and no longer does: glibc 2.41 and newer refuse to open such a one."""


class DroppedLibrary(BaseModel):
    """A copy in the wheel that was left out of the prefix."""

    member: str
    soname: str
    bytes: int
    why: str


class CarveReport(BaseModel):
    """The result of one carving; sizes in bytes."""

    wheels: list[str]
    libraries: list[CarvedLibrary] = []
    dropped: list[DroppedLibrary] = []
    depends: dict[str, list[str]] = {}
    """Match spec of a conda package → the sonames needed from it."""
    files: int = 0
    """All files written, shared objects included; links do not count."""

    @property
    def library_bytes(self) -> int:
        """Size of the shared objects that were kept."""
        return sum(library.bytes for library in self.libraries)

    @property
    def dropped_bytes(self) -> int:
        """Size of the shared objects that were dropped."""
        return sum(library.bytes for library in self.dropped)
