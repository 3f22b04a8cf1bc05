"""Traces of static libraries in an object's read-only data, left even by hidden symbols: source names, version strings.

``assert`` and similar macros embed ``__FILE__``, so an implementation file's path in two objects means that both
contain its code. Header paths mean nothing: templates and inline functions are compiled wherever they are included.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from tt_conda.elf.file_bytes import FileBytes

LIMIT = 16 << 20
"""Maximum bytes of read-only data scanned per object."""

_SOURCES = (b".c\0", b".cc\0", b".cpp\0", b".cxx\0", b".cu\0")
_GENERATED = (".pb.cc", ".pyx.c", ".pyx.cpp")
_BANNERS = (b"opyright", b" version ")
_LONGEST = 300
_SHT_NOBITS, _SHF_WRITE, _SHF_ALLOC, _SHF_EXECINSTR = 8, 1, 2, 4
_PT_LOAD, _PF_WRITE_EXECUTE = 1, 3


@dataclass(frozen=True)
class Traces:
    """Strings in an object that identify its sources."""

    sources: frozenset[str] = frozenset()
    """Paths of implementation files (C, C++, CUDA), as passed to the compiler."""
    banners: frozenset[str] = frozenset()
    """Lines with a copyright or a version."""


def traces(data: bytes | FileBytes) -> Traces:
    """Find source names and version strings in the first :data:`LIMIT` bytes of an ELF file's read-only data.

    The data are ``.rodata`` if there are section headers, else the segments that are neither writable nor executable
    (gABI, chapters 4 and 5). Damaged parts are skipped.
    """
    sources: set[str] = set()
    banners: set[str] = set()
    left = LIMIT
    for offset, size in _read_only(data):
        block = data[offset : offset + min(size, left)]
        left -= len(block)
        for ending in _SOURCES:
            if ending in block:
                pieces = block.split(ending)
                sources.update(_paths(pieces[:-1], ending[:-1].decode()))
        for mark in _BANNERS:
            banners.update(_around(block, mark))
        if left <= 0:
            break
    return Traces(frozenset(sources), frozenset(banners))


def named_libraries(data: bytes | FileBytes) -> frozenset[str]:
    """The file names of shared objects in an ELF file's read-only data: what it may open at run time."""
    found: set[str] = set()
    for offset, size in _read_only(data):
        block = data[offset : offset + min(size, LIMIT)]
        at = block.find(b".so")
        while at >= 0:
            end = block.find(b"\0", at, at + _LONGEST)
            text = block[max(0, at - _LONGEST, block.rfind(b"\0", max(0, at - _LONGEST), at) + 1) : max(end, 0)]
            if text.isascii():
                found.add(text.decode().rpartition("/")[2])
            at = block.find(b".so", at + 3)
    return frozenset(found)


def _paths(pieces: list[bytes], ending: str) -> Iterator[str]:
    for piece in pieces:
        tail = piece[piece.rfind(b"\0") + 1 :] if len(piece) < _LONGEST else piece[piece.rfind(b"\0", -_LONGEST) + 1 :]
        if len(tail) < _LONGEST and b"/" in tail and tail.isascii():
            path = tail.decode() + ending
            if path.isprintable() and " " not in path and not path.endswith(_GENERATED):
                yield path


def _around(block: bytes, mark: bytes) -> Iterator[str]:
    at = block.find(mark)
    while at >= 0:
        start = block.rfind(b"\0", max(0, at - _LONGEST), at) + 1
        end = block.find(b"\0", at, at + _LONGEST)
        if end > 0 and (start or at < _LONGEST):
            text = block[start:end]
            if text.isascii():
                yield text.decode().strip()
        at = block.find(mark, at + _LONGEST if end < 0 else end)


def _read_only(data: bytes | FileBytes) -> list[tuple[int, int]]:
    """Offset and size of the parts with constants."""
    try:
        (table,) = _unpack("<Q", data, 40)
        size, count, names = _unpack("<HHH", data, 58)
        rows = [_unpack("<IIQQQQ", data, table + at * size) for at in range(count)] if table else []
        strings = rows[names][4] if names < len(rows) else 0
        found = [
            (row[4], row[5]) for row in rows
            if strings and row[1] != _SHT_NOBITS and row[2] & (_SHF_WRITE | _SHF_ALLOC | _SHF_EXECINSTR) == _SHF_ALLOC
            and data[strings + row[0] : strings + row[0] + 7] == b".rodata"
        ]  # fmt: skip
        if found:
            return found
    except (struct.error, OverflowError):  # offsets that no file has
        pass
    try:
        (table,) = _unpack("<Q", data, 32)
        size, count = _unpack("<HH", data, 54)
        loads = [_unpack("<IIQQQQ", data, table + at * size) for at in range(count)]
    except (struct.error, OverflowError):  # offsets that no file has
        return []
    return [(row[2], row[5]) for row in loads if row[0] == _PT_LOAD and not row[1] & _PF_WRITE_EXECUTE]


def _unpack(form: str, data: bytes | FileBytes, offset: int) -> tuple[int, ...]:
    return struct.unpack(form, data[offset : offset + struct.calcsize(form)])
