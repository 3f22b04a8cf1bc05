"""One shared object or program of a scene: where it is, whose it is, and its facts."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tt_conda.elf import Elf, ElfError, plain_soname, read
from tt_conda.elf.traces import named_libraries

_LINKER = frozenset(
    ("_init", "_fini", "__bss_start", "_edata", "edata", "_end", "end", "__data_start", "data_start", "main", "_start")
)
_ENTRIES = ("PyInit_", "PyInitU_", "PyModExport_", "_cffi_pypyinit_", "init_module_")


@dataclass(eq=False)
class Object:
    """One shared object or program. Compared by identity: a file is one object, whatever links lead to it."""

    path: str
    """Absolute, with no link in it; below :data:`tt_conda.audit.scene.ROOT` where it is not installed."""
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
    may_start: bool = True
    """Whether it is executable by its permissions; only asked of programs."""
    link: str = ""
    """In an archive: the same for all hard links to one file."""

    @cached_property
    def identity(self) -> tuple[int, int]:
        """Size and CRC-32: equal for equal content. Reads the file where no archive has said it."""
        return self.size, zlib.crc32(self.content()) if self.crc is None else self.crc

    @cached_property
    def file(self) -> tuple[int, int] | str:
        """What the linker knows a file by, whatever its name: device and inode; the path of what is not on disk, or the
        file of which it is a hard link."""
        try:
            found = os.stat(self.path)  # noqa: PTH116
        except OSError:
            return self.link or self.path
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

    @property
    def is_for_musl(self) -> bool:
        """Whether it was linked to musl's C library: by the names that it and its interpreter have."""
        interpreter = (self.elf.interpreter or "").rpartition("/")[2]
        return interpreter.startswith("ld-musl-") or any(name.startswith("libc.musl-") for name in self.elf.needed)

    @property
    def is_for_glibc(self) -> bool:
        """Whether it was linked to glibc."""
        interpreter = (self.elf.interpreter or "").rpartition("/")[2]
        return interpreter.startswith("ld-linux") or "libc.so.6" in self.elf.needed

    @cached_property
    def may_open(self) -> frozenset[str]:
        """The file names of what it may open at run time: those in its read-only data, if it calls dlopen."""
        if self.elf.symbols.undefined.isdisjoint(("dlopen", "dlmopen")):
            return frozenset()
        if self.elf.path.is_absolute():
            return self.elf.named_libraries
        return named_libraries(self.content())

    @cached_property
    def is_python_module(self) -> bool:
        """Whether ``import`` opens it: it exports the function that makes the module (PEP 489)."""
        return f"PyInit_{self.name.partition('.')[0]}" in self.elf.symbols.defined

    @cached_property
    def strong(self) -> frozenset[str]:
        """The names that it exports as its own: not weak, not unique, nothing that linkers and Python ask for.

        Weak and unique ones are templates' and inline functions', which the C++ ABI lets every object have (Itanium C++
        ABI, 5.2). The names of versions are absolute symbols (LSB, symbol versioning). Those of the C++ runtime are
        among the result: :func:`tt_conda.audit.exports.of_the_runtime` tells them.
        """
        symbols = self.elf.symbols
        names = symbols.defined - symbols.weak - symbols.unique - symbols.borrowed - _LINKER
        names = names.difference(self.elf.version_gives)
        entries = [name for name in names if name.startswith(_ENTRIES)] if self.is_module else []
        return names.difference(entries)

    def __str__(self) -> str:
        return f"{self.owner}: {self.member}"


def on_disk(path: Path, owner: str, member: str, folder: str = "") -> Object | None:
    """The object in a file; None where it is none that can be read."""
    try:
        elf = read(path, symbols=True)
        return Object(str(path), owner, member, path.stat().st_size, elf, path.read_bytes, folder=folder)
    except (ElfError, OSError):
        return None
