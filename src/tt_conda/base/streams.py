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
    """Standard error: a message that cannot be shown does not stop the work.

    Nothing is kept to be written later: an exception that a signal raises while a buffer is written would leave it
    full, and the message would be shown again at the end.
    """

    def write(self, data: ReadableBuffer, /) -> int:
        left = memoryview(data)
        try:
            while left and (written := super().write(left)):  # None: it does not block, and is full
                left = left[written:]
        except BrokenPipeError as error:
            raise ReaderGone from error
        except OSError:
            pass
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
    is_messages = isinstance(raw, _Messages)
    return io.TextIOWrapper(
        raw if is_messages else io.BufferedWriter(raw),  # as Python does it itself for -u
        encoding=old.encoding if old else locale.getpreferredencoding(False), errors="backslashreplace",
        line_buffering=is_messages or raw.isatty(),
        write_through=is_messages or bool(getattr(old, "write_through", False)),
    )  # fmt: skip
