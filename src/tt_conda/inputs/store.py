"""The content-addressed store of downloaded inputs: ``inputs/<sha256>/<file name>`` in the cache folder."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tt_conda.base import settings
from tt_conda.base.documents import read_json
from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import disk_errors, scratch_folder, sha256_of, write_atomically


def is_plain_name(name: str) -> bool:
    """Whether a name is valid for a stored file: no path, printable, and not hidden like the store's own files."""
    return 0 < len(name.encode(errors="replace")) <= 255 and name[0] != "." and "/" not in name and name.isprintable()


def _identity(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


@dataclass(frozen=True)
class Store:
    """Files by sha256. ``get`` returns only verified files: by hash the first time, then by size, time and inode."""

    folder: Path

    @classmethod
    def default(cls) -> Store:
        """The store in the cache folder."""
        return cls(settings.cache_dir() / "inputs")

    def path(self, sha256: str, filename: str) -> Path:
        """The path of a file, stored or not."""
        if not is_plain_name(filename):
            raise TtCondaError(f"{filename!r} is not a plain file name", "Correct it in the lock file.")
        return self.folder / sha256[:2] / sha256 / filename

    def get(self, sha256: str, filename: str, size: int | None = None) -> Path | None:
        """The verified file, or None if it is missing or damaged (and then removed)."""
        path = self.path(sha256, filename)
        mark = path.parent / ".verified"
        try:
            identity = _identity(path)
        except OSError:
            return None
        if size is None or identity[0] == size:
            with suppress(OSError, ValueError):
                if read_json(mark.read_text()) == identity:
                    return path
            if sha256_of(path) == sha256:
                with suppress(OSError):
                    self._mark(path)
                return path
        shutil.rmtree(path.parent, ignore_errors=True)
        return None

    def put(self, source: Path, sha256: str, filename: str | None = None) -> Path:
        """Store ``source`` atomically under ``sha256``, which must be its hash. The source may be moved."""
        target = self.path(sha256, filename or source.name)
        got = sha256_of(source)
        if got != sha256:
            raise TtCondaError(f"{source.name}: expected sha256 {sha256}, got {got}")
        with disk_errors(self.folder):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                source.replace(target)
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.EACCES, errno.EPERM):
                    raise
                handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".part-")
                try:
                    with source.open("rb") as reader, os.fdopen(handle, "wb") as writer:
                        shutil.copyfileobj(reader, writer, 1 << 20)
                    Path(temporary).replace(target)
                except BaseException:
                    Path(temporary).unlink(missing_ok=True)
                    raise
            self._mark(target)
        return target

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A temporary folder on the store's own disk, for downloads that are then ``put``."""
        with ExitStack() as stack:
            with disk_errors(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                folder = stack.enter_context(scratch_folder(self.folder, ".tmp-"))
            yield folder

    def _mark(self, path: Path) -> None:
        write_atomically(path.parent / ".verified", json.dumps(_identity(path)))
