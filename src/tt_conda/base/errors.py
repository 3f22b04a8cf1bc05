"""The one exception that people see: what went wrong, where, and the way out; and the one of being stopped."""

from __future__ import annotations


class TtCondaError(Exception):
    """A failure that is explained to the person and ends the command with exit code 2.

    ``what`` names the thing and the place (a file, a package, a soname); ``way_out`` says what to do next.
    Anything else that escapes is a bug and keeps its traceback.
    """

    def __init__(self, what: str, way_out: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.way_out = way_out

    def __str__(self) -> str:
        return f"{self.what}\n{self.way_out}" if self.way_out else self.what


class Stopped(BaseException):
    """^C or SIGTERM; not KeyboardInterrupt, which typer turns into an exit code without a word."""
