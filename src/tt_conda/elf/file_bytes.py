"""The bytes of a file that is not mapped: a mapped file that another process truncates ends its reader by SIGBUS."""

from __future__ import annotations

import os
from pathlib import Path

_WINDOW = 1 << 18
"""Bytes read at once: tables of ELF files lie close together."""


class FileBytes:
    """A file's bytes, read when they are sliced; like ``bytes``, a slice past the end is short."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not wait for a writer
        self._size = os.fstat(self._file).st_size
        self._start, self._window = 0, b""

    def __len__(self) -> int:
        """Size in bytes when it was opened."""
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        """The bytes of a slice with a step of 1."""
        start, end, _ = part.indices(self._size)
        if not self._start <= start <= end <= self._start + len(self._window):
            if end - start > _WINDOW:
                return self._read(start, end - start)
            self._start, self._window = start, self._read(start, _WINDOW)
        return self._window[start - self._start : max(start, end) - self._start]

    def _read(self, start: int, size: int) -> bytes:
        """The system may return less than was asked for, at most 2 GiB at once."""
        pieces: list[bytes] = []
        while size > 0 and (piece := os.pread(self._file, size, start)):
            pieces.append(piece)
            start, size = start + len(piece), size - len(piece)
        return b"".join(pieces)

    def find(self, what: bytes, start: int, end: int) -> int:
        """Position of ``what``, a single byte, in ``start:end``; -1 if it is not there."""
        while start < end:
            block = self[start : min(end, start + _WINDOW)]
            if not block:
                return -1
            if (at := block.find(what)) >= 0:
                return start + at
            start += len(block)
        return -1

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
