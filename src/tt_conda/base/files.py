"""Files: their hashes, writing them whole or not at all, and the full disk."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import threading
from collections.abc import Collection, Iterable, Iterator
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


@contextmanager
def naming_full_disk(*folders: Path) -> Iterator[None]:
    """Turn "no space left" (an OSError, or rattler's text) into a message that names the fullest of ``folders``."""
    try:
        yield
    except Exception as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT) if isinstance(error, OSError) else False
        if not full and "os error 28" not in str(error) and "os error 122" not in str(error):
            raise
        there = [next(f for f in (folder.absolute(), *folder.absolute().parents) if f.is_dir()) for folder in folders]
        worst = min(there, key=lambda folder: shutil.disk_usage(folder).free)
        free = shutil.disk_usage(worst).free / 1e6
        raise TtCondaError(
            f"The disk is full: {worst} has {free:.1f} MB left.", "Make room there and run the same command again."
        ) from error


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn a full disk (or quota, or file size limit) below ``folder`` into an error with a way out."""
    try:
        yield
    except OSError as error:
        reasons = {
            errno.ENOSPC: "the disk is full",
            errno.EDQUOT: "the disk quota is used up",
            errno.EFBIG: "the file size limit (ulimit -f) is too small",
            errno.EROFS: "the file system is read-only",
            errno.EACCES: "it may not be written to",
        }
        if error.errno in reasons:
            raise TtCondaError(
                f"{folder}: {reasons[error.errno]}",
                "Free space there, or name a folder on a larger disk (for the cache: TT_CONDA_CACHE), "
                "and run the command again.",
            ) from error
        raise


def write_atomically(path: Path, content: str | bytes, *, shared: bool = False) -> None:
    """Make ``path`` hold ``content``, whole or not at all; an unchanged file is left alone.

    With ``shared``, everybody may read the file, whatever the umask.
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
        if shared:
            let_read(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


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
