"""Standard streams that may be closed, full, or without a reader."""

from __future__ import annotations

import io
import locale
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from tt_conda.base.errors import ReaderGone, TtCondaError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Results(io.FileIO):
    """Standard output: a result that cannot be written is a failure."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data) or 0
        except BrokenPipeError as error:
            raise ReaderGone from error
        except OSError as error:
            raise TtCondaError(
                f"Standard output cannot be written: {error.strerror}", "Redirect it to a file with room, or to a pipe."
            ) from error


class _Messages(io.FileIO):
    """Standard error: a message that cannot be shown does not stop the work."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data) or 0
        except BrokenPipeError as error:
            raise ReaderGone from error
        except OSError:
            return memoryview(data).nbytes


def secure() -> None:
    """Open closed standard streams, and have failures to write them reported as what they are.

    A closed descriptor would be given to the next file that is opened, which then received messages. Results have
    nowhere to go then: writing them fails (as in gnulib's stdopen), whereas messages are dropped.
    """
    for number, flags in enumerate((os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)  # takes the lowest free number: this one
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = _text(sys.stdout, _Results(1, "w", closefd=False))
    sys.stderr = _text(sys.stderr, _Messages(2, "w", closefd=False))


def _text(old: TextIO | None, raw: io.FileIO) -> io.TextIOWrapper:
    """A text stream like ``old``, except that it shows characters that its encoding lacks as escapes."""
    if old is not None:
        with suppress(OSError):
            old.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=old.encoding if old else locale.getpreferredencoding(False),
        errors="backslashreplace", line_buffering=raw.fileno() == 2 or raw.isatty(),
        write_through=bool(getattr(old, "write_through", False)),
    )  # fmt: skip
