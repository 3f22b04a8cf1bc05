"""The ``.conda`` file: a zip, not compressed, of ``metadata.json`` and two tar archives compressed with Zstandard.

``info-NAME.tar.zst`` holds what the package says of itself, ``pkg-NAME.tar.zst`` what it installs
(https://docs.conda.io/projects/conda/en/stable/user-guide/concepts/packages.html#conda-file-format).
"""

from __future__ import annotations

import io
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import IO

import zstandard

from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import naming_full_disk

INFO, FILES = "info", "pkg"
"""The two parts of a package."""

_DAMAGED = (zipfile.BadZipFile, zstandard.ZstdError, tarfile.TarError, KeyError, EOFError)


@dataclass
class TarPart:
    """One of the two tar archives: its entries by name, in their order."""

    tar: tarfile.TarFile
    entries: dict[str, tarfile.TarInfo]

    def read(self, name: str) -> bytes:
        """The content of a file (of a hard link: of the file that it is one to)."""
        file = self.tar.extractfile(self.entries[name])
        return file.read() if file else b""

    def open(self, name: str) -> IO[bytes]:
        """The content of a file, to be read in pieces."""
        return self.tar.extractfile(self.entries[name]) or io.BytesIO()


@dataclass
class Entry:
    """A file or link to be written."""

    name: str
    mode: int
    content: bytes | IO[bytes]
    size: int = 0
    """Bytes of the content, where it is read in pieces."""
    link: str = ""
    """Where a symbolic link leads; empty: it is none."""
    folder: bool = False


@contextmanager
def opened(package: Path, kinds: Iterable[str] = (INFO, FILES)) -> Iterator[dict[str, TarPart]]:
    """Open parts of a package; unpacked, they are in temporary files.

    Raises:
        TtCondaError: it is no ``.conda`` file, or a damaged one, or there is no room for temporary files.
    """
    with ExitStack() as stack:
        parts: dict[str, TarPart] = {}
        try:
            archive = stack.enter_context(zipfile.ZipFile(package))
            for kind in kinds:
                raw = stack.enter_context(tempfile.TemporaryFile())
                scratch = Path(tempfile.gettempdir())
                with archive.open(f"{kind}-{package.stem}.tar.zst") as compressed, naming_full_disk(scratch):
                    zstandard.ZstdDecompressor().copy_stream(compressed, raw)
                raw.seek(0)
                tar = stack.enter_context(tarfile.open(fileobj=raw))
                parts[kind] = TarPart(tar, {entry.name: entry for entry in tar})
        except (*_DAMAGED, FileNotFoundError, PermissionError) as error:
            raise TtCondaError(
                f"The package {package} cannot be read: {error}", "Name a .conda file; fetch or build it again."
            ) from error
        yield parts


def write(package: Path, parts: Mapping[str, Iterable[Entry]], date: int, level: int) -> None:
    """Write a package, whole or not at all, so that the same entries give the same bytes.

    Args:
        package: the file.
        parts: entries by part, in the order in which they are written.
        date: seconds since 1970 that every entry carries; a zip has none before 1980.
        level: of Zstandard's compression, 1 to 22.

    Raises:
        TtCondaError: the disk is full, or that of temporary files.
    """
    folders = package.parent, Path(tempfile.gettempdir())
    partial = package.with_name(f".{package.name}.partial")
    when = datetime.fromtimestamp(max(date, 315532800), timezone.utc).timetuple()[:6]
    try:
        with (
            naming_full_disk(package.parent),  # the end of the zip
            zipfile.ZipFile(partial, "w") as archive,
            tempfile.TemporaryFile() as scratch,
            naming_full_disk(*folders),  # while both files are there: then the fullest is the one
        ):
            archive.writestr(_member("metadata.json", when), '{"conda_pkg_format_version":2}')
            for kind in (FILES, INFO):
                scratch.seek(0)
                scratch.truncate()
                # one thread: what several give need not be the same
                with zstandard.ZstdCompressor(level=level).stream_writer(scratch, closefd=False) as sink:
                    _tar(sink, parts[kind], date)
                member = _member(f"{kind}-{package.stem}.tar.zst", when)
                member.file_size = scratch.tell()
                scratch.seek(0)
                with archive.open(member, "w") as target:
                    shutil.copyfileobj(scratch, target, 1 << 20)
        partial.replace(package)
    finally:
        partial.unlink(missing_ok=True)


def _member(name: str, when: tuple[int, ...]) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, when)  # type: ignore[arg-type]  # six numbers
    member.external_attr = 0o100644 << 16
    member.create_system = 3  # Unix
    return member


def _tar(sink: IO[bytes], entries: Iterable[Entry], date: int) -> None:
    with tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT, bufsize=1 << 20) as tar:
        for entry in entries:
            item = tarfile.TarInfo(entry.name)
            item.mtime, item.mode = date, entry.mode
            if entry.link:
                item.type, item.linkname = tarfile.SYMTYPE, entry.link
                tar.addfile(item)
                continue
            if entry.folder:
                item.type = tarfile.DIRTYPE
                tar.addfile(item)
                continue
            content = io.BytesIO(entry.content) if isinstance(entry.content, bytes) else entry.content
            item.size = len(entry.content) if isinstance(entry.content, bytes) else entry.size
            tar.addfile(item, content)
