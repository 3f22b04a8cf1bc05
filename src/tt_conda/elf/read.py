"""Read what the dynamic linker reads: the dynamic section, its strings, symbols and notes.

Follows the System V gABI, chapter 5 (program loading and dynamic linking), and its GNU extensions. Everything is
found through the program headers, as ``ld.so`` does it: section headers may be stripped or wrong.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Literal

_ET_DYN, _ET_EXEC = 3, 2
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP, _PT_NOTE = 1, 2, 3, 4
DT_NEEDED, DT_HASH, DT_STRTAB, DT_SYMTAB, DT_STRSZ = 1, 4, 5, 6, 10
DT_SONAME, DT_RPATH, DT_RUNPATH = 14, 15, 29
DT_VERDEF, DT_VERDEFNUM, DT_VERNEED, DT_VERNEEDNUM = 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF
DT_GNU_HASH = 0x6FFFFEF5
_NT_GNU_BUILD_ID = 3
MACHINES = {62: "x86_64", 183: "aarch64"}
"""e_machine of the machines that tt-conda builds for; anything else (kernels' RISC-V objects) is data."""


class ElfError(ValueError):
    """The file is not an ELF object that can be read; the message names the file and the place."""


@dataclass(frozen=True)
class Segment:
    """One program header, sizes and offsets in bytes."""

    kind: int
    offset: int
    address: int
    file_size: int


@dataclass(frozen=True)
class DynamicEntry:
    """One entry of the dynamic section: its tag, its value and where the value stands in the file."""

    tag: int
    value: int
    offset: int


@dataclass(frozen=True)
class Symbols:
    """Names of the dynamic symbols. ``weak`` names are in ``undefined`` or ``defined`` as well."""

    defined: frozenset[str]
    undefined: frozenset[str]
    weak: frozenset[str]


@dataclass
class Elf:
    """The facts of one ELF file. ``rpath`` and ``runpath`` are None where the tag is absent."""

    path: Path
    machine: str
    kind: Literal["dyn", "exec", "other"]
    soname: str | None
    needed: tuple[str, ...]
    rpath: str | None
    runpath: str | None
    interpreter: str | None
    build_id: str | None
    version_needs: dict[str, tuple[str, ...]]
    version_offsets: dict[str, int] = field(repr=False)
    """Where in .dynstr the version table names each of these libraries; NEEDED may use another copy of the name."""
    entries: tuple[DynamicEntry, ...] = field(repr=False)
    strtab: tuple[int, int] = field(repr=False)
    """File offset and size of .dynstr in bytes."""

    @property
    def is_dynamic(self) -> bool:
        """Whether the dynamic linker has anything to do with it."""
        return bool(self.entries)

    @property
    def search_path(self) -> str | None:
        """What the loader uses of the two: RUNPATH hides RPATH (gABI, DT_RPATH)."""
        return self.runpath if self.runpath is not None else self.rpath

    @cached_property
    def symbols(self) -> Symbols:
        """The dynamic symbols, read when first asked for.

        Raises:
            ElfError: the symbol table leaves the file.
        """
        with _Image(self.path) as image:
            return image.symbols(self)


class _Image:
    """A mapped file with checked reads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            try:
                self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError as error:  # an empty file cannot be mapped
                raise ElfError(f"{path}: {error}") from None

    def __enter__(self) -> _Image:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.data.close()

    def unpack(self, form: str, offset: int) -> tuple[int, ...]:
        try:
            return struct.unpack_from(form, self.data, offset)
        except struct.error:
            raise ElfError(f"{self.path}: truncated: nothing at byte {offset}") from None

    def string(self, offset: int, limit: int) -> str:
        if not 0 <= offset < limit <= len(self.data):
            raise ElfError(f"{self.path}: a string at byte {offset} lies outside its table")
        end = self.data.find(b"\0", offset, limit)
        if end < 0:
            raise ElfError(f"{self.path}: the string at byte {offset} has no end")
        return self.data[offset:end].decode("utf-8", "surrogateescape")

    def segments(self) -> tuple[int, int, list[Segment]]:
        if self.data[:4] != b"\x7fELF":
            raise ElfError(f"{self.path}: not an ELF file")
        if self.data[4:6] != b"\x02\x01":
            raise ElfError(f"{self.path}: not a 64-bit little-endian ELF file")
        kind, machine = self.unpack("<HH", 16)
        (table,) = self.unpack("<Q", 32)
        size, count = self.unpack("<HH", 54)
        if count and size < 56:
            raise ElfError(f"{self.path}: program headers of {size} bytes")
        found = []
        for index in range(count):
            p_type, _, offset, address, _, file_size = self.unpack("<IIQQQQ", table + index * size)
            found.append(Segment(p_type, offset, address, file_size))
        return kind, machine, found

    def to_offset(self, address: int, segments: list[Segment]) -> int:
        for s in segments:
            if s.kind == _PT_LOAD and s.address <= address < s.address + s.file_size:
                return address - s.address + s.offset
        raise ElfError(f"{self.path}: no segment holds address {address:#x}")

    def facts(self) -> Elf:
        kind, machine, segments = self.segments()
        entries = self._dynamic(segments)
        values = {entry.tag: entry.value for entry in entries}
        table = (0, 0)
        if DT_STRTAB in values:
            table = (self.to_offset(values[DT_STRTAB], segments), values.get(DT_STRSZ, 0))

        def text(offset: int) -> str:
            return self.string(table[0] + offset, min(table[0] + table[1], len(self.data)))

        def one(tag: int) -> str | None:
            return text(values[tag]) if tag in values else None

        interpreter = None
        for s in segments:
            if s.kind == _PT_INTERP:
                interpreter = self.string(s.offset, min(s.offset + s.file_size, len(self.data)))
        needs = self._version_needs(values, segments, text)
        return Elf(
            path=self.path,
            machine=MACHINES.get(machine, f"e_machine {machine}"),
            kind="dyn" if kind == _ET_DYN else "exec" if kind == _ET_EXEC else "other",
            soname=one(DT_SONAME),
            needed=tuple(text(e.value) for e in entries if e.tag == DT_NEEDED),
            rpath=one(DT_RPATH),
            runpath=one(DT_RUNPATH),
            interpreter=interpreter,
            build_id=self._build_id(segments),
            version_needs={text(name): versions for name, versions in needs.items()},
            version_offsets={text(name): name for name in needs},
            entries=tuple(entries),
            strtab=table,
        )

    def _dynamic(self, segments: list[Segment]) -> list[DynamicEntry]:
        for s in segments:
            if s.kind == _PT_DYNAMIC:
                found = []
                for offset in range(s.offset, s.offset + s.file_size - 15, 16):
                    tag, value = self.unpack("<QQ", offset)
                    if tag == 0:
                        break
                    found.append(DynamicEntry(tag, value, offset + 8))
                return found
        return []

    def _build_id(self, segments: list[Segment]) -> str | None:
        for s in segments:
            if s.kind != _PT_NOTE:
                continue
            offset, end = s.offset, s.offset + s.file_size
            while offset + 12 <= end:
                name_size, size, note = self.unpack("<III", offset)
                start = offset + 12 + (name_size + 3 & ~3)
                if note == _NT_GNU_BUILD_ID and self.data[offset + 12 : offset + 16] == b"GNU\0":
                    return self.data[start : start + size].hex()
                offset = start + (size + 3 & ~3)
        return None

    def _version_needs(
        self, values: dict[int, int], segments: list[Segment], text: Callable[[int], str]
    ) -> dict[int, tuple[str, ...]]:
        needs: dict[int, tuple[str, ...]] = {}
        if DT_VERNEED not in values:
            return needs
        offset = self.to_offset(values[DT_VERNEED], segments)
        for _ in range(values.get(DT_VERNEEDNUM, 0)):
            _, count, name, aux, following = self.unpack("<HHIII", offset)
            versions, at = [], offset + aux
            for _ in range(count):
                _, _, _, version, step = self.unpack("<IHHII", at)
                versions.append(text(version))
                at += step
            needs[name] = tuple(versions)
            if not following:
                break
            offset += following
        return needs

    def symbols(self, elf: Elf) -> Symbols:
        values = {entry.tag: entry.value for entry in elf.entries}
        if DT_SYMTAB not in values:
            return Symbols(frozenset(), frozenset(), frozenset())
        _, _, segments = self.segments()
        start = self.to_offset(values[DT_SYMTAB], segments)
        count = self._symbol_count(values, segments, start)
        table = self.data[start : start + 24 * count]
        if len(table) != 24 * count:
            raise ElfError(f"{self.path}: the symbol table leaves the file")
        base, size = elf.strtab
        strings = self.data[base : base + size]
        defined: set[str] = set()
        undefined: set[str] = set()
        weak: set[str] = set()
        for name, info, _, section, _, _ in struct.iter_unpack("<IBBHQQ", table):
            binding = info >> 4
            if not name or binding == 0:  # STB_LOCAL
                continue
            end = strings.find(b"\0", name)
            text = strings[name:end].decode("utf-8", "surrogateescape")
            (defined if section else undefined).add(text)
            if binding == 2:  # STB_WEAK
                weak.add(text)
        return Symbols(frozenset(defined), frozenset(undefined), frozenset(weak))

    def references(self, elf: Elf) -> set[int]:
        values = {entry.tag: entry.value for entry in elf.entries}
        found = {e.value for e in elf.entries if e.tag in (DT_NEEDED, DT_SONAME, DT_RPATH, DT_RUNPATH)}
        _, _, segments = self.segments()
        if DT_SYMTAB in values:
            start = self.to_offset(values[DT_SYMTAB], segments)
            count = self._symbol_count(values, segments, start)
            found.update(row[0] for row in struct.iter_unpack("<I20x", self.data[start : start + 24 * count]))
        for tag, number, name_at, aux_at, aux_name, aux_form in (
            (DT_VERNEED, DT_VERNEEDNUM, 4, 8, 8, "<IHHII"),
            (DT_VERDEF, DT_VERDEFNUM, None, 12, 0, "<II"),
        ):
            if tag not in values:
                continue
            offset = self.to_offset(values[tag], segments)
            for _ in range(values.get(number, 0)):
                (count,) = self.unpack("<H", offset + (2 if tag == DT_VERNEED else 6))
                if name_at is not None:
                    found.add(self.unpack("<I", offset + name_at)[0])
                (aux,) = self.unpack("<I", offset + aux_at)
                at = offset + aux
                for _ in range(count):
                    found.add(self.unpack("<I", at + aux_name)[0])
                    at += self.unpack(aux_form, at)[-1]
                (following,) = self.unpack("<I", offset + aux_at + 4)
                if not following:
                    break
                offset += following
        return found

    def _symbol_count(self, values: dict[int, int], segments: list[Segment], start: int) -> int:
        if DT_HASH in values:
            return self.unpack("<II", self.to_offset(values[DT_HASH], segments))[1]
        if DT_GNU_HASH not in values:
            return 0
        # GNU hash tables name no count: it is one past the last symbol of the last chain.
        at = self.to_offset(values[DT_GNU_HASH], segments)
        buckets, first, bloom, _ = self.unpack("<IIII", at)
        heads = at + 16 + 8 * bloom
        last = max(self.unpack(f"<{buckets}I", heads), default=0)
        if last < first:  # no defined symbol is hashed: what lies between the tables is undefined
            return max(0, (self.to_offset(values[DT_STRTAB], segments) - start) // 24)
        chain = heads + 4 * buckets + 4 * (last - first)
        while not self.unpack("<I", chain)[0] & 1:
            last, chain = last + 1, chain + 4
        return last + 1


def read(path: Path) -> Elf:
    """Read the facts of one ELF file.

    Raises:
        ElfError: it is not a 64-bit little-endian ELF file, or it is truncated or inconsistent.
    """
    with _Image(path) as image:
        return image.facts()


def string_references(elf: Elf) -> set[int]:
    """Every offset into .dynstr that the dynamic section, the symbols or the version tables point to.

    Raises:
        ElfError: a table leaves the file.
    """
    with _Image(elf.path) as image:
        return image.references(elf)


def is_shared_object(path: Path) -> bool:
    """Tell whether ``path`` is a dynamically linked object of a machine that tt-conda builds for."""
    with path.open("rb") as file:
        head = file.read(20)
    if head[:6] != b"\x7fELF\x02\x01" or len(head) < 20:
        return False
    kind, machine = struct.unpack_from("<HH", head, 16)
    return kind in (_ET_DYN, _ET_EXEC) and machine in MACHINES
