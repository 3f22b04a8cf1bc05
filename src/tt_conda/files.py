"""Files: their hashes, writing them whole or not at all, and the full disk."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tt_conda.errors import TtCondaError


def digests(path: Path) -> tuple[str, str]:
    """Sha256 and md5 of a file, hexadecimal."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            sha256.update(block)
            md5.update(block)
    return sha256.hexdigest(), md5.hexdigest()


def recorded(content: bytes) -> tuple[str, str]:
    """Hash and size (bytes) of a file's content as RECORD has them: sha256 in URL-safe base 64 without padding.

    https://packaging.python.org/en/latest/specifications/recording-installed-packages/
    """
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
    return f"sha256={digest}", str(len(content))


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


def write_atomically(path: Path, text: str) -> None:
    """Make ``path`` hold ``text``, whole or not at all; an unchanged file is left alone."""
    with suppress(OSError):
        if path.read_text() == text:
            return
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(text)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
