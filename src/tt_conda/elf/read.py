"""Read an ELF file like the dynamic linker: the dynamic section, its strings, symbols and notes.

Follows the System V gABI, chapter 5 (program loading and dynamic linking), and its GNU extensions. Everything is
found through the program headers, as in ``ld.so``: section headers may be stripped or wrong.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import compress
from pathlib import Path
from types import TracebackType
from typing import Literal

from tt_conda.elf.file_bytes import FileBytes
from tt_conda.elf.traces import Traces, named_libraries, traces

_ET_DYN, _ET_EXEC = 3, 2
PT_LOAD, _PT_DYNAMIC, _PT_INTERP, _PT_NOTE, _PT_TLS = 1, 2, 3, 4, 7
PT_GNU_STACK = 0x6474E551
PF_X, PF_W = 1, 2
DT_NEEDED, DT_PLTRELSZ, DT_HASH, DT_STRTAB, DT_SYMTAB, DT_RELA, DT_RELASZ, DT_STRSZ, DT_JMPREL = (
    1,
    2,
    4,
    5,
    6,
    7,
    8,
    10,
    23,
)
DT_SONAME, DT_RPATH, DT_SYMBOLIC, DT_RUNPATH, DT_FLAGS = 14, 15, 16, 29, 30
_DF_SYMBOLIC = 2
_DT_FLAGS_1, _DF_1_NODEFLIB = 0x6FFFFFFB, 0x800
DT_RELR = 36
_COPY = frozenset({5, 1024})  # R_X86_64_COPY, R_AARCH64_COPY
_TPOFF = frozenset({18, 1030})  # R_X86_64_TPOFF64, R_AARCH64_TLS_TPREL64: an offset in the static TLS block
_SPECIAL = _COPY | _TPOFF
_VER_FLG_WEAK, _HIDDEN = 2, 0x8000
DT_VERSYM, DT_RELACOUNT = 0x6FFFFFF0, 0x6FFFFFF9
DT_VERDEF, DT_VERDEFNUM, DT_VERNEED, DT_VERNEEDNUM = 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF
DT_GNU_HASH = 0x6FFFFEF5
_NAMES = (DT_NEEDED, DT_SONAME, DT_RPATH, DT_RUNPATH, 0x6FFFFEFA, 0x6FFFFEFB, 0x6FFFFEFC, 0x7FFFFFFD, 0x7FFFFFFF)
"""All tags with a string value; the last five: CONFIG, DEPAUDIT, AUDIT, AUXILIARY, FILTER."""
_NT_GNU_BUILD_ID = 3
_SHT_NOTE, _SHT_NOBITS, _SHF_ALLOC = 7, 8, 2
MACHINES = {62: "x86_64", 183: "aarch64"}
"""e_machine of the supported machines; objects of others (the kernels' RISC-V objects) are data."""


_NOT_LOCAL = bytes(info >= 16 for info in range(256))  # STB_LOCAL is 0
_WEAK = bytes(info >> 4 == 2 for info in range(256))
_UNIQUE = bytes(info >> 4 > 2 for info in range(256))
_GNU_UNIQUE = bytes(info >> 4 == 10 for info in range(256))  # STB_GNU_UNIQUE
_PROTECTED = bytes(other & 3 == 3 for other in range(256))
"""st_info and st_other → 0 or 1, for bytes.translate."""


class ElfError(ValueError):
    """The file is not a readable ELF object; the message names the file and the place."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One program header, sizes and offsets in bytes."""

    kind: int
    flags: int
    offset: int
    address: int
    file_size: int
    memory_size: int
    alignment: int
    at: int
    """Offset of the header in the file."""


@dataclass(frozen=True)
class DynamicEntry:
    """One entry of the dynamic section: its tag, its value and the value's offset in the file."""

    tag: int
    value: int
    offset: int


@dataclass(frozen=True)
class Symbols:
    """Names of the dynamic symbols. ``weak`` names are in ``undefined`` or ``defined`` as well."""

    defined: frozenset[str]
    undefined: frozenset[str]
    weak: frozenset[str]
    unique: frozenset[str] = frozenset()
    """Defined with STB_GNU_UNIQUE: the first definition serves the whole process (inline variables, static locals)."""
    protected: frozenset[str] = frozenset()
    """Defined, and never interposed (STV_PROTECTED)."""
    wanted_versions: dict[str, str] = field(default_factory=dict)
    """Undefined name → the required version; names without one are not listed."""
    given_versions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Defined name → its versions; names without one are not listed."""
    relocated: frozenset[str] = frozenset()
    """Defined, and used by the object itself through a relocation, so that another object can interpose them."""
    borrowed: frozenset[str] = frozenset()
    """Defined as a program's copy of another object's variable (copy relocations)."""
    old: frozenset[str] = frozenset()
    """Defined only for references with a version: no version of the name is the default (``name@VERSION``)."""
    unique_sizes: dict[str, int] = field(default_factory=dict)
    """Name in ``unique`` → its size in bytes."""
    static_tls: frozenset[str] = frozenset()
    """Thread-local variables that it accesses in the initial-exec model, which need static TLS; ``""``: its own local
    ones."""


@dataclass(frozen=True)
class References:
    """Offsets into .dynstr: those of symbols, and all others."""

    symbols: frozenset[int]
    names: frozenset[int]


@dataclass
class Elf:
    """The facts of one ELF file. ``rpath`` and ``runpath`` are None if the tag is absent."""

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
    """Library (as in NEEDED) → the versions required from it."""
    version_gives: tuple[str, ...]
    """The versions that it defines, except its base version (its own name)."""
    weak_versions: frozenset[str]
    """The optional ones (VER_FLG_WEAK)."""
    version_offsets: dict[str, tuple[int, ...]] = field(repr=False)
    """Offset in .dynstr of each library's name in the version table; NEEDED may use another copy of the name."""
    entries: tuple[DynamicEntry, ...] = field(repr=False)
    strtab: tuple[int, int] = field(repr=False)
    """File offset and size of .dynstr in bytes."""
    segments: tuple[Segment, ...] = field(repr=False)
    """The program headers that decide whether it loads, in their order: PT_LOAD, PT_TLS, PT_GNU_STACK."""

    @property
    def is_dynamic(self) -> bool:
        """Whether it has a dynamic section."""
        return bool(self.entries)

    @property
    def search_path(self) -> str | None:
        """The one in effect: RUNPATH hides RPATH (gABI, DT_RPATH)."""
        return self.runpath if self.runpath is not None else self.rpath

    @property
    def is_symbolic(self) -> bool:
        """Whether it prefers its own definitions (``-Bsymbolic``), so that they are never interposed."""
        return any(e.tag == DT_SYMBOLIC or (e.tag == DT_FLAGS and e.value & _DF_SYMBOLIC) for e in self.entries)

    @property
    def avoids_default(self) -> bool:
        """Whether the machine's default folders are not searched for its dependencies (``-z nodefaultlib``)."""
        return any(e.tag == _DT_FLAGS_1 and e.value & _DF_1_NODEFLIB for e in self.entries)

    @property
    def wants_executable_stack(self) -> bool:
        """Whether loading it needs an executable stack: PT_GNU_STACK says so, or is absent where that is the default.

        The defaults are glibc's (DEFAULT_STACK_PERMS in sysdeps/x86_64/stackinfo.h and sysdeps/aarch64/stackinfo.h).
        The last header counts (elf/dl-load.c).
        """
        flags = [s.flags for s in self.segments if s.kind == PT_GNU_STACK]
        return bool(flags[-1] & PF_X) if flags else self.machine == "x86_64"

    @property
    def loads(self) -> list[Segment]:
        """The parts of the file that the linker maps (PT_LOAD)."""
        return [s for s in self.segments if s.kind == PT_LOAD]

    @property
    def tls(self) -> tuple[int, int]:
        """Size and alignment of its thread-local variables in bytes (PT_TLS)."""
        return next(((s.memory_size, max(1, s.alignment)) for s in self.segments if s.kind == _PT_TLS), (0, 1))

    @property
    def has_relr(self) -> bool:
        """Whether it has relocations in the compact form (DT_RELR, gABI)."""
        return any(e.tag == DT_RELR for e in self.entries)

    @cached_property
    def symbols(self) -> Symbols:
        """The dynamic symbols, read on first use.

        Raises:
            ElfError: the symbol table extends past the end of the file.
        """
        with _Image(self.path) as image:
            return image.symbols(self)

    @cached_property
    def traces(self) -> Traces:
        """Traces of static libraries in its read-only data, read on first use."""
        with _Image(self.path) as image:
            return traces(image.data)

    @cached_property
    def named_libraries(self) -> frozenset[str]:
        """The file names of shared objects in its read-only data, read on first use."""
        with _Image(self.path) as image:
            return named_libraries(image.data)


class _Image:
    """A file, on disk or in memory, with checked reads."""

    data: FileBytes | bytes

    def __init__(self, path: Path, content: bytes | None = None) -> None:
        self.path = path
        if content is not None:
            self.data = content
            return
        self.data = FileBytes(path)

    def __enter__(self) -> _Image:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(self.data, FileBytes):
            self.data.close()

    def unpack(self, form: str, offset: int) -> tuple[int, ...]:
        data = self.data[offset : offset + (size := struct.calcsize(form))] if offset >= 0 else b""
        if len(data) != size:
            raise ElfError(f"{self.path}: truncated: nothing at byte {offset}")
        return struct.unpack(form, data)

    def table(self, address: int, size: int, segments: list[Segment]) -> bytes:
        start = self.to_offset(address, segments)
        found = self.data[start : start + size] if size <= len(self.data) - start else b""
        if len(found) != size:
            raise ElfError(f"{self.path}: the table at address {address:#x} extends past the end of the file")
        return found

    def string(self, offset: int, limit: int) -> str:
        if not 0 <= offset < limit <= len(self.data):
            raise ElfError(f"{self.path}: a string at byte {offset} is outside its table")
        end = self.data.find(b"\0", offset, limit)
        if end < 0:
            raise ElfError(f"{self.path}: the string at byte {offset} is not terminated")
        return self.data[offset:end].decode("utf-8", "surrogateescape")

    def segments(self) -> tuple[int, int, list[Segment]]:
        if self.data[:4] != b"\x7fELF":
            raise ElfError(f"{self.path}: not an ELF file{'' if self.data[:1] else ': it is empty'}")
        if self.data[4:6] != b"\x02\x01":
            raise ElfError(f"{self.path}: not a 64-bit little-endian ELF file")
        kind, machine = self.unpack("<HH", 16)
        (table,) = self.unpack("<Q", 32)
        size, count = self.unpack("<HH", 54)
        if count and size < 56:
            raise ElfError(f"{self.path}: program headers of {size} bytes")
        found = []
        for index in range(count):
            at = table + index * size
            p_type, flags, offset, address, _, file_size, memory, alignment = self.unpack("<IIQQQQQQ", at)
            found.append(Segment(p_type, flags, offset, address, file_size, memory, alignment, at))
        return kind, machine, found

    def to_offset(self, address: int, segments: list[Segment]) -> int:
        for s in segments:
            if s.kind == PT_LOAD and s.address <= address < s.address + s.file_size:
                return address - s.address + s.offset
        raise ElfError(f"{self.path}: no segment contains address {address:#x}")

    def facts(self) -> Elf:
        kind, machine, segments = self.segments()
        entries = self._dynamic(segments)
        values = {entry.tag: entry.value for entry in entries}
        table = (0, 0)
        if DT_STRTAB in values:
            table = (self.to_offset(values[DT_STRTAB], segments), values.get(DT_STRSZ, 0))
            if sum(table) > len(self.data):
                raise ElfError(f"{self.path}: truncated: its strings end at byte {sum(table)}")

        def text(offset: int) -> str:
            return self.string(table[0] + offset, min(table[0] + table[1], len(self.data)))

        def one(tag: int) -> str | None:
            return text(values[tag]) if tag in values else None

        interpreter = None
        for s in segments:
            if s.kind == _PT_INTERP:
                interpreter = self.string(s.offset, min(s.offset + s.file_size, len(self.data)))
        versions: dict[str, tuple[str, ...]] = {}
        version_offsets: dict[str, tuple[int, ...]] = {}
        weak: set[str] = set()
        for at, found in self._version_needs(values, segments):
            name = text(at)
            versions[name] = versions.get(name, ()) + tuple(text(version) for _, _, version in found)
            weak.update(text(version) for flags, _, version in found if flags & _VER_FLG_WEAK)
            version_offsets[name] = (*version_offsets.get(name, ()), at)
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
            version_needs=versions,
            version_gives=tuple(text(at) for _, at in self._version_gives(values, segments)),
            weak_versions=frozenset(weak),
            version_offsets=version_offsets,
            entries=tuple(entries),
            strtab=table,
            segments=tuple(s for s in segments if s.kind in (PT_LOAD, _PT_TLS, PT_GNU_STACK)),
        )

    def _dynamic(self, segments: list[Segment]) -> list[DynamicEntry]:
        for s in segments:
            if s.kind == _PT_DYNAMIC and not self._is_elsewhere(s.address):
                found = []
                for offset in range(s.offset, s.offset + s.file_size - 15, 16):
                    tag, value = self.unpack("<QQ", offset)
                    if tag == 0:
                        break
                    found.append(DynamicEntry(tag, value, offset + 8))
                return found
        return []

    def _is_elsewhere(self, address: int) -> bool:
        """Whether the file holds only what its sections do not say to be elsewhere: debug information, kept apart.

        ``eu-strip`` leaves the library's program headers in it, whose contents the file lacks: the section headers say
        so (SHT_NOBITS). It is one only if all that would be loaded, but the notes, is elsewhere.
        """
        try:
            (table,) = self.unpack("<Q", 40)
            size, count = self.unpack("<HH", 58)
            rows = [self.unpack("<4xIQQ", table + at * size) for at in range(count)] if table else []
        except ElfError:
            return False  # the loader does not read them
        loaded = [(kind, at) for kind, flags, at in rows if flags & _SHF_ALLOC and kind != _SHT_NOTE]
        return (_SHT_NOBITS, address) in loaded and all(kind == _SHT_NOBITS for kind, _ in loaded)

    def _build_id(self, segments: list[Segment]) -> str | None:
        for s in segments:
            if s.kind != _PT_NOTE:
                continue
            offset, end = s.offset, s.offset + s.file_size
            while offset + 12 <= end:
                name_size, size, note = self.unpack("<III", offset)
                start = offset + 12 + (name_size + 3 & ~3)
                if note == _NT_GNU_BUILD_ID and self.data[offset + 12 : offset + 16] == b"GNU\0":
                    if start + size > min(end, len(self.data)):
                        raise ElfError(f"{self.path}: the build id at byte {start} extends past the end of its note")
                    return self.data[start : start + size].hex()
                offset = start + (size + 3 & ~3)
        return None

    def _chain(self, offset: int, count: int, size: int) -> Iterator[int]:
        """Offsets of the records of a version table; the last word of each is the distance to the next."""
        for _ in range(count):
            (step,) = self.unpack("<I", offset + size - 4)
            yield offset
            if not step:
                return
            if step < size:
                raise ElfError(f"{self.path}: the version table at byte {offset} overlaps itself")
            offset += step

    def _version_needs(
        self, values: dict[int, int], segments: list[Segment]
    ) -> Iterator[tuple[int, tuple[tuple[int, int, int], ...]]]:
        """The name of a library, and flags, index and name of each version required from it.

        Names are .dynstr offsets.
        """
        if DT_VERNEED not in values:
            return
        start = self.to_offset(values[DT_VERNEED], segments)
        for offset in self._chain(start, values.get(DT_VERNEEDNUM, 0), 16):
            _, count, name, aux = self.unpack("<HHII", offset)
            yield name, tuple(self.unpack("<HHI", at + 4) for at in self._chain(offset + aux, count, 16))  # type: ignore[misc]

    def _version_definitions(self, values: dict[int, int], segments: list[Segment]) -> Iterator[int]:
        if DT_VERDEF not in values:
            return
        start = self.to_offset(values[DT_VERDEF], segments)
        for offset in self._chain(start, values.get(DT_VERDEFNUM, 0), 20):
            count, _, aux = self.unpack("<HII", offset + 6)
            for at in self._chain(offset + aux, count, 8):
                yield self.unpack("<I", at)[0]

    def _version_gives(self, values: dict[int, int], segments: list[Segment]) -> Iterator[tuple[int, int]]:
        """Index and name (offset into .dynstr) of each defined version, without the base version."""
        if DT_VERDEF not in values:
            return
        start = self.to_offset(values[DT_VERDEF], segments)
        for offset in self._chain(start, values.get(DT_VERDEFNUM, 0), 20):
            flags, index, _, _, aux = self.unpack("<HHHII", offset + 2)
            if not flags & 1:  # VER_FLG_BASE
                yield index, self.unpack("<I", offset + aux)[0]

    def _symbol_table(self, values: dict[int, int], segments: list[Segment]) -> bytes:
        if DT_SYMTAB not in values:
            return b""
        return self.table(values[DT_SYMTAB], 24 * self._symbol_count(values, segments), segments)

    def symbols(self, elf: Elf) -> Symbols:
        values = {entry.tag: entry.value for entry in elf.entries}
        _, _, segments = self.segments()
        table = self._symbol_table(values, segments)
        base, size = elf.strtab
        raw = self.data[base : base + size]
        if len(raw) != size:
            raise ElfError(f"{self.path}: truncated while it was read")
        text = raw.decode("latin-1")  # one character per byte; names that are not ASCII are decoded below
        count = len(table) // 24
        offsets = memoryview(table).cast("I")[::6].tolist()
        sections = memoryview(table).cast("H")[3::12].tolist()
        infos, others = table[4::24], table[5::24]
        # One pass per question, each a loop in C: there are hundreds of thousands of symbols.
        named = [at and keep for at, keep in zip(offsets, infos.translate(_NOT_LOCAL), strict=True)]
        if not raw.endswith(b"\0") or max(offsets, default=0) >= size:
            self._check_names(list(compress(offsets, named)), raw)
        find = text.find
        names = [text[at : find("\0", at)] for at in offsets]
        if not raw.isascii():
            names = [
                name if name.isascii() else name.encode("latin-1").decode("utf-8", "surrogateescape") for name in names
            ]
        is_defined = [keep and section for keep, section in zip(named, sections, strict=True)]
        used = borrowed = protected = static_tls = frozenset[str]()
        relocated = self._relocated_symbols(values, segments, count)
        if any(relocated):
            marks = list(zip(names, is_defined, relocated, strict=True))
            used = frozenset(name for name, here, mark in marks if mark in (1, 5) and here)
            borrowed = frozenset(name for name, here, mark in marks if mark & 2 and here)
            if max(relocated) & 4:
                static_tls = frozenset(name for name, _, mark in marks if mark & 4)
        if 1 in (hides := others.translate(_PROTECTED)):
            protected = frozenset(
                name for name, here, mark in zip(names, is_defined, hides, strict=True) if mark and here
            )
        unique_sizes = {}
        if 1 in (singles := infos.translate(_GNU_UNIQUE)):
            sizes = memoryview(table).cast("Q")[2::3].tolist()
            unique_sizes = {
                name: size for name, here, size in compress(zip(names, is_defined, sizes, strict=True), singles) if here
            }
        wanted, given, old = self._versions_of(values, segments, (names, named, sections))
        return Symbols(
            frozenset(compress(names, is_defined)),
            frozenset(name for name, keep, section in zip(names, named, sections, strict=True) if keep and not section),
            frozenset(compress(names, infos.translate(_WEAK))) - {""},
            frozenset(compress(names, infos.translate(_UNIQUE))) - {""},
            protected, wanted, given, used, borrowed, old, unique_sizes, static_tls,
        )  # fmt: skip

    def _check_names(self, offsets: list[int], strings: bytes) -> None:
        for at in offsets:
            if strings.find(b"\0", at) < 0:
                raise ElfError(f"{self.path}: a symbol's name, at byte {at} of .dynstr, is not terminated")

    def _versions_of(
        self,
        values: dict[int, int],
        segments: list[Segment],
        symbols: tuple[list[str], list[int], list[int]],
    ) -> tuple[dict[str, str], dict[str, tuple[str, ...]], frozenset[str]]:
        """Undefined name → its version; defined name → its versions; defined names without a default version."""
        wanted: dict[str, str] = {}
        given: dict[str, tuple[str, ...]] = {}
        old: set[str] = set()
        default: set[str] = set()
        names, named, sections = symbols
        indices, versions = self._symbol_versions(values, segments, len(names))
        if not versions:
            return wanted, given, frozenset()
        for at, index in enumerate(indices):
            version = versions.get(index & 0x7FFF)
            if not version or not named[at] or not (name := names[at]):
                continue
            if sections[at]:
                given[name] = (*given.get(name, ()), version)
                (old if index >= _HIDDEN + 3 else default).add(name)  # index 2, the first version, always applies
            else:
                wanted[name] = version
        return wanted, given, frozenset(old - default)

    def _symbol_versions(
        self, values: dict[int, int], segments: list[Segment], count: int
    ) -> tuple[list[int], dict[int, str]]:
        """The version index of each symbol (.gnu.version), and index → name."""
        offsets = [(index, at) for _, found in self._version_needs(values, segments) for _, index, at in found]
        start = self.to_offset(values[DT_STRTAB], segments) if DT_STRTAB in values else 0
        names = {
            index & 0x7FFF: self.string(start + at, min(start + values.get(DT_STRSZ, 0), len(self.data)))
            for index, at in [*offsets, *self._version_gives(values, segments)]
        }
        if DT_VERSYM not in values or not names:
            return [], {}
        return memoryview(self.table(values[DT_VERSYM], 2 * count, segments)).cast("H").tolist(), names

    def _relocated_symbols(self, values: dict[int, int], segments: list[Segment], count: int) -> bytearray:
        """For each symbol, whether a relocation refers to it (gABI, r_info).

        1 if so, plus 2 for a copy relocation, plus 4 for one that needs static TLS; the first symbol stands for the
        object's own local variables. Tables that extend past the end of the file are ignored.
        """
        flags = bytearray(count)
        for tag, size, relative in ((DT_RELA, DT_RELASZ, DT_RELACOUNT), (DT_JMPREL, DT_PLTRELSZ, None)):
            if tag in values:
                try:
                    table = self.table(values[tag], values.get(size, 0) // 24 * 24, segments)
                except ElfError:
                    continue
                # those without a symbol come first, and are the majority
                words = memoryview(table)[24 * values.get(relative, 0) if relative else 0 :].cast("I")
                for index in set(words[3::6].tolist()):
                    if index < count:
                        flags[index] |= 1
                if not _SPECIAL.isdisjoint(kinds := words[2::6].tolist()):
                    for index, kind in zip(words[3::6].tolist(), kinds, strict=True):
                        if kind in _SPECIAL and index < count:
                            flags[index] |= 2 if kind in _COPY else 4
        if flags:
            flags[0] &= 4
        return flags

    def references(self, elf: Elf) -> References:
        values = {entry.tag: entry.value for entry in elf.entries}
        _, _, segments = self.segments()
        names = {entry.value for entry in elf.entries if entry.tag in _NAMES}
        for name, versions in self._version_needs(values, segments):
            names.update((name, *(at for _, _, at in versions)))
        names.update(self._version_definitions(values, segments))
        symbols = {row[0] for row in struct.iter_unpack("<I20x", self._symbol_table(values, segments))}
        return References(frozenset(symbols), frozenset(names))

    def _symbol_count(self, values: dict[int, int], segments: list[Segment]) -> int:
        if DT_HASH in values:
            return self.unpack("<II", self.to_offset(values[DT_HASH], segments))[1]
        if DT_GNU_HASH not in values:
            return self._relocated(values, segments)
        # GNU hash tables have no count: it is one past the last symbol of the last chain.
        at = self.to_offset(values[DT_GNU_HASH], segments)
        buckets, first, bloom, _ = self.unpack("<IIII", at)
        heads = at + 16 + 8 * bloom
        last = max(self.unpack(f"<{buckets}I", heads), default=0)
        if last < first:  # no symbol is hashed, as none is defined
            return max(first, self._relocated(values, segments))
        chain = heads + 4 * buckets + 4 * (last - first)
        while not self.unpack("<I", chain)[0] & 1:
            last, chain = last + 1, chain + 4
        return last + 1

    def _relocated(self, values: dict[int, int], segments: list[Segment]) -> int:
        """One past the last symbol used by a relocation: without a table that counts symbols, only these matter."""
        count = 0
        for tag, size in ((DT_RELA, DT_RELASZ), (DT_JMPREL, DT_PLTRELSZ)):
            if tag in values:
                table = self.table(values[tag], values.get(size, 0) // 24 * 24, segments)
                count = max(count, 1 + max((row[0] for row in struct.iter_unpack("<12xI8x", table)), default=-1))
        return count


def read(path: Path, content: bytes | None = None, *, symbols: bool = False) -> Elf:
    """Read the facts of one ELF file.

    Args:
        path: the file, or the name of ``content`` in messages.
        content: the bytes of a file that is not on disk; its symbols and traces are then read at once.
        symbols: read them at once, so that no error is raised later.

    Raises:
        ElfError: it is not a 64-bit little-endian ELF file, or it is truncated or inconsistent.
    """
    with _Image(path, content) as image:
        elf = image.facts()
        if symbols or content is not None:
            elf.__dict__["symbols"] = image.symbols(elf)
        if content is not None:
            elf.__dict__["traces"] = traces(content)
        return elf


def string_references(elf: Elf) -> References:
    """Every offset into .dynstr used by the dynamic section, the symbols or the version tables.

    Raises:
        ElfError: a table extends past the end of the file.
    """
    with _Image(elf.path) as image:
        return image.references(elf)


HEAD = 20
"""Bytes that identify a program or shared object: e_ident, e_type and e_machine."""


def is_object(head: bytes) -> bool:
    """Whether a file with these first bytes is a program or shared object for a supported machine."""
    return (
        head[:6] == b"\x7fELF\x02\x01"
        and len(head) >= HEAD
        and int.from_bytes(head[16:18], "little") in (_ET_DYN, _ET_EXEC)
        and int.from_bytes(head[18:20], "little") in MACHINES
    )


def is_shared_object(path: Path) -> bool:
    """Whether ``path`` is a program or shared object for a supported machine."""
    if not path.is_file():  # a FIFO would wait for a writer
        return False
    with path.open("rb") as file:
        return is_object(file.read(HEAD))
