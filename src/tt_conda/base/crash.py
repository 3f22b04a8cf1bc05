"""Exceptions that no command expects: the machine's are explained, the rest are bugs, whose traceback goes to a log."""

from __future__ import annotations

import errno
import os
import platform
import shlex
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tt_conda import __version__
from tt_conda.base import settings
from tt_conda.base.secrets import hide

_WAYS_OUT = {
    errno.ENOSPC: "Free space on that disk, and run the command again.",
    errno.EDQUOT: "Free space within the quota, and run the command again.",
    errno.EFBIG: "Raise the file size limit (ulimit -f), and run the command again.",
    errno.EROFS: "Name a folder that can be written to.",
    errno.EACCES: "Check the owner and the permissions.",
    errno.EPERM: "Check the owner and the permissions.",
    errno.ENAMETOOLONG: "Use a shorter path.",
    errno.ELOOP: "Look for a symlink that leads back to itself.",
    errno.EMFILE: "Raise the limit of open files (ulimit -n).",
    errno.ENFILE: "The machine has too many open files: end some programs.",
    errno.ENOMEM: "Free memory, or run the command on a larger machine.",
    errno.EIO: "Check the disk.",
    errno.ENOENT: "Check the path.",
    errno.ENOTDIR: "Check the path: a part of it is not a folder.",
    errno.EISDIR: "Name a file instead of a folder.",
    errno.EAGAIN: "The machine has too many processes (ulimit -u): end some programs.",
}


def explain(error: BaseException) -> tuple[str, str] | None:
    """Message and way out for a failure of the machine (memory, disks, permissions); None for a bug."""
    if isinstance(error, MemoryError):
        return "The memory is used up.", _WAYS_OUT[errno.ENOMEM]
    if isinstance(error, OSError) and error.errno in _WAYS_OUT:
        try:
            Path.cwd()
        except OSError:
            return "The working folder no longer exists.", "Change to one that does: cd /"
        place = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else None
        if place or error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR):
            return f"{place}: {error.strerror}" if place else f"{error.strerror}", _WAYS_OUT[error.errno]
    return None


def write_log(error: BaseException) -> str:
    """Write an unexpected exception's traceback to a file below the cache folder, else to one for temporary files.

    Returns:
        The file's path, or why there is none.
    """
    lines = [
        f"tt-conda {__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"{time.strftime('%Y-%m-%d %H:%M:%S %z')}: {shlex.join(sys.argv)}",
        "",
        *traceback.format_exception(error),
    ]
    data = hide("\n".join(lines)).encode(errors="backslashreplace")
    why = ""
    for name in ("cache", "temporary"):
        try:
            place = settings.cache_dir() / "logs" if name == "cache" else Path(tempfile.gettempdir())
            place.mkdir(parents=True, exist_ok=True)
            number, log = tempfile.mkstemp(".log", f"crash-{time.strftime('%Y%m%d-%H%M%S')}-", place)
            with os.fdopen(number, "wb") as file:
                file.write(data)
        except (OSError, RuntimeError) as problem:
            why = f"could not be written ({problem})"
            continue
        return log
    return why
