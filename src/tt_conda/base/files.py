"""Files: hashes, atomic writes, locks, temporary folders, full disks."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tt_conda.base.errors import TtCondaError


def digests(path: Path) -> tuple[str, str]:
    """Sha256 and md5 of a file, hexadecimal."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            sha256.update(block)
            md5.update(block)
    return sha256.hexdigest(), md5.hexdigest()


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def digest_of(paths: Iterable[Path], without: Collection[str] = ()) -> str:
    """Hash names and contents of files and folders; what is generated does not count, nor files called ``without``."""
    digest = hashlib.sha256()
    for root in paths:
        files = sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else [root]
        for file in files:
            if "__pycache__" not in file.parts and file.name not in without and file.is_file():
                name = file.relative_to(root) if root.is_dir() else file.name
                digest.update(f"{name}\0".encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


_FULL = {errno.ENOSPC: "The disk is full", errno.EDQUOT: "The disk quota is used up"}
_ELSEWHERE = "Use another folder (for the cache: TT_CONDA_CACHE), or change its permissions."
_REFUSED = {
    errno.EFBIG: ("the file size limit is too small", "Raise it (`ulimit -f unlimited`) and run the command again."),
    errno.EROFS: ("the file system is read-only", _ELSEWHERE),
    errno.EACCES: ("no permission", _ELSEWHERE),
    errno.EPERM: ("no permission", _ELSEWHERE),
}


def disk_error_in(said: str, *full: str) -> OSError | None:
    """The disk's error that another program's output, or an exception of rattler, tells of.

    Args:
        said: the text.
        full: the program's own words for a full disk.
    """
    numbers = (*_FULL, errno.EFBIG, errno.EROFS)
    known = (number for number in numbers if os.strerror(number) in said or f"os error {number}" in said)
    number = next(known, errno.ENOSPC if any(words in said for words in full) else 0)
    return OSError(number, os.strerror(number)) if number else None


@contextmanager
def disk_errors(*folders: Path) -> Iterator[None]:
    """Turn a full or read-only disk, and a refused write, into an error with a way out.

    Args:
        folders: where is written; the error names the fullest of them.

    Raises:
        TtCondaError: in place of an OSError, or of another exception that tells of one.
    """
    try:
        yield
    except TtCondaError:
        raise
    except Exception as error:
        cause = error if isinstance(error, OSError) and error.errno else disk_error_in(str(error))
        if cause and cause.errno in _FULL:
            there = [next(f for f in (path.absolute(), *path.absolute().parents) if f.is_dir()) for path in folders]
            free, worst = min((shutil.disk_usage(folder).free, folder) for folder in there)
            raise TtCondaError(
                f"{_FULL[cause.errno]}: {worst} has {free / 1e6:.1f} MB left.",
                "Make room there, or use a folder on another disk (for the cache: TT_CONDA_CACHE), and run the "
                "command again.",
            ) from error
        if cause and cause.errno in _REFUSED:
            reason, way_out = _REFUSED[cause.errno]
            raise TtCondaError(f"{folders[0]}: {reason} ({cause})", way_out) from error
        raise


@contextmanager
def locked(file: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Keep other processes out while `file` is locked; it is created if missing, and stays.

    By hand instead of by a library: flock(2) is all there is to it, and the kernel releases it when a process dies.

    Args:
        file: the lock.
        waiting: called once if another process holds the lock.
    """
    with file.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def scratch_folder(home: Path, prefix: str, *others: Path) -> Iterator[Path]:
    """A temporary folder below `home`, locked while in use.

    Only SIGKILL leaves it behind: the next call deletes folders of that `prefix`, in `home` and `others`, without a
    lock. On a file system without locks they stay.
    """
    for left in (path for folder in (home, *others) for path in folder.glob(f"{prefix}*")):
        if (handle := _claim(left, wait=False)) is not None:
            shutil.rmtree(left, ignore_errors=True)
            os.close(handle)
    handle = None
    while handle is None:  # another process may delete it as a leftover before it is locked
        scratch = Path(tempfile.mkdtemp(prefix=prefix, dir=home))
        handle = _claim(scratch, wait=True)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(handle)


def _claim(folder: Path, *, wait: bool) -> int | None:
    """A handle with the lock of a folder; None if another process has locked or deleted it."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    mine = wait
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        mine = True
    if mine and folder.is_dir():
        return handle
    os.close(handle)
    return None


def write_atomically(path: Path, content: str | bytes, *, shared: bool = False, mode: int | None = None) -> None:
    """Make ``path`` hold ``content``, whole or not at all; an unchanged file is left alone.

    With ``shared``, everybody may read the file, whatever the umask; ``mode`` is that of the file, else the umask's.
    """
    data = content.encode() if isinstance(content, str) else content
    with suppress(OSError):
        if path.read_bytes() == data:
            if shared:
                let_read(path)
            return
    partial = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.partial")
    try:
        partial.write_bytes(data)
        if mode is not None:
            partial.chmod(mode)
        if shared:
            let_read(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_output(path: Path, text: str) -> None:
    """Write a file that a person named, whole or not at all; a device or pipe is written to, a link's target replaced.

    Raises:
        TtCondaError: it cannot be written; an existing file is unchanged.
    """
    data = text.encode("utf-8", errors="backslashreplace")
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if path.exists() and not path.is_file():
            number = os.open(path, os.O_WRONLY | os.O_NONBLOCK)  # a FIFO without a reader: ENXIO instead of a wait
            os.set_blocking(number, True)
            with open(number, "wb") as file:  # noqa: PTH123
                file.write(data)
            return
        target = path.resolve()
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        mode = target.stat().st_mode & 0o7777 if target.exists() else None
        write_atomically(target, data, mode=mode)
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, for Python 3.12 and earlier
        reason = error.strerror if isinstance(error, OSError) else "too many levels of symbolic links"
        raise TtCondaError(f"{path}: {reason}", "Name a file that can be written.") from error


def let_read(path: Path) -> None:
    """Give everybody the right to read a file; nothing is taken away."""
    mode = path.stat().st_mode
    if mode & 0o444 != 0o444:
        path.chmod(mode | 0o444)


def make_shared_folder(folder: Path) -> None:
    """Make a folder, and the missing ones above it, readable for everybody; existing ones keep their rights."""
    if not folder.is_dir():
        make_shared_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        folder.chmod(folder.stat().st_mode | 0o555)
