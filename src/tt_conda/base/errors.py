"""Errors that are explained to the person, reasons to end early, and the exit codes of every command."""

from __future__ import annotations

import signal
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes, the same for every command; `run` and `shell` return their command's code instead.

    A code above 128 is 128 + the number of a signal, as shells report it. docs/exit-codes.md explains them.
    """

    DONE = 0
    FOUND = 1
    FAILED = 2
    CRASHED = 3
    INTERRUPTED = 128 + signal.SIGINT
    READER_GONE = 128 + signal.SIGPIPE
    TERMINATED = 128 + signal.SIGTERM


class TtCondaError(Exception):
    """A failure that is explained to the person and ends the command with exit code 2.

    ``what`` names the thing and the place (a file, a package, a soname); ``way_out`` says what to do next.
    Anything else that escapes is a bug: its traceback goes to a log file, and the exit code is 3.
    """

    def __init__(self, what: str, way_out: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.way_out = way_out

    def __str__(self) -> str:
        return f"{self.what}\n{self.way_out}" if self.way_out else self.what


class Stopped(KeyboardInterrupt):
    """^C or SIGTERM. asyncio hands on a KeyboardInterrupt, but logs other exceptions of a callback and goes on."""


class ReaderGone(BaseException):
    """The reader of standard output or standard error has closed it. No OSError: nobody may take it for a bad disk."""
