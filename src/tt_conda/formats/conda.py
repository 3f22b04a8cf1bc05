"""Conda packages, read and written: the ``.conda`` format, and for reading the older ``.tar.bz2``.

A ``.conda`` file is a zip, not compressed, of ``metadata.json`` and two tar archives compressed with Zstandard.

``info-NAME.tar.zst`` holds what the package says of itself, ``pkg-NAME.tar.zst`` what it installs
(https://docs.conda.io/projects/conda/en/stable/user-guide/concepts/packages.html#conda-file-format).
"""

from __future__ import annotations

import bz2
import io
import shutil
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import IO

import zstandard
from rattler import Client
from rattler.exceptions import ExtractError, IoError
from rattler.package_streaming import PackageArchive

from tt_conda.base.documents import read_json
from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import disk_errors
from tt_conda.formats.archive import DAMAGED_ZIP

INFO, FILES = "info", "pkg"
"""The two parts of a package."""

DAMAGED = (
    *DAMAGED_ZIP,
    zstandard.ZstdError,
    tarfile.TarError,
    ExtractError,
    IoError,
    ValueError,
    KeyError,
    TypeError,
    OverflowError,
)
"""Exceptions on a damaged package, besides OSError."""
LISTS = ("info/paths.json", "info/link.json", "info/files")
"""Members that list a package's files; see :func:`installed_files`."""


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


async def read_members(
    package: Path | str, names: Sequence[str], client: Client | None = None
) -> dict[str, bytes | None]:
    """Members of a package's ``info/``, without reading the rest; None for each that is missing.

    Args:
        package: a file, or the URL of one: of it, only the parts with `names` are fetched.
        names: such as ``info/index.json``.
        client: for a URL.

    Raises:
        OSError: there is no such file.
        DAMAGED: one of these exceptions if it cannot be read.
    """
    if isinstance(package, Path):
        archive = await PackageArchive.from_path(package)
    else:
        archive = await PackageArchive.from_url(client or Client(), package)
    return dict(await archive.read_files(list(names)))


def installed_files(lists: Mapping[str, bytes | None]) -> list[str]:
    """Paths that a package installs, as in its archive; see :func:`installed_path`.

    Args:
        lists: the content of :data:`LISTS`. Older packages have ``info/files`` only.

    Raises:
        DAMAGED: one of these exceptions if a list is damaged, or has a path outside the environment.
    """
    listed = read_json(lists.get("info/paths.json") or b"{}").get("paths", ())
    paths = [str(entry["_path"]) for entry in listed if entry.get("path_type") != "directory"]
    paths = paths or (lists.get("info/files") or b"").decode().splitlines()
    paths += [f"bin/{command}" for command in commands(lists.get("info/link.json"))]
    if outside := next((path for path in paths if path[0] == "/" or ".." in path.split("/")), None):
        raise ValueError(f"its file {outside} would leave the environment")
    return paths


def commands(link: bytes | None) -> list[str]:
    """Names of the commands that a ``noarch: python`` package gets when it is installed, from ``info/link.json``."""
    noarch = read_json(link or b"{}").get("noarch") or {}
    return [str(point).partition("=")[0].strip() for point in noarch.get("entry_points") or []]


def installed_path(path: str, site_packages: str) -> str:
    """Where a file of a ``noarch: python`` package goes in an environment (CEP 20, and conda's ``python-scripts/``).

    Args:
        path: as in the archive.
        site_packages: the folder of the environment's Python, relative to the prefix.
    """
    for folder, target in (("site-packages/", f"{site_packages}/"), ("python-scripts/", "bin/")):
        if path.startswith(folder):
            return target + path.removeprefix(folder)
    return path


def entries(package: Path) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """Every entry of a ``.conda`` or ``.tar.bz2`` package in its order, read once from begin to end.

    Read an entry by :func:`content` before asking for the next one. The checksums at the end of the archives count.

    Raises:
        OSError: the file cannot be read.
        DAMAGED: one of these exceptions if it is damaged.
    """
    for part in _compressed_parts(package):
        with closing(part), tarfile.open(fileobj=part, mode="r|", bufsize=1 << 18) as tar:
            for entry in tar:
                yield tar, entry
            while part.read(1 << 20):
                pass


def _compressed_parts(package: Path) -> Iterator[IO[bytes]]:
    """The tar archives of a package, to be closed by the caller: one in ``.tar.bz2``, two in ``.conda``."""
    if not package.name.endswith(".conda"):
        yield bz2.open(package)  # noqa: SIM115  # the caller closes it
        return
    with zipfile.ZipFile(package) as archive:
        for name in archive.namelist():
            if name.endswith(".tar.zst"):
                yield zstandard.ZstdDecompressor().stream_reader(archive.open(name), read_across_frames=True)


def content(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    """The content of a file.

    Raises:
        ValueError: the archive ends before.
    """
    file = tar.extractfile(entry)
    found = file.read() if file else b""
    if len(found) != entry.size:
        raise ValueError(f"{entry.name} ends after {len(found)} of {entry.size} bytes")
    return found


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
                with archive.open(f"{kind}-{package.stem}.tar.zst") as compressed, disk_errors(scratch):
                    zstandard.ZstdDecompressor().copy_stream(compressed, raw)
                raw.seek(0)
                tar = stack.enter_context(tarfile.open(fileobj=raw))
                parts[kind] = TarPart(tar, {entry.name: entry for entry in tar})
        except (*DAMAGED, FileNotFoundError, PermissionError) as error:
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
            disk_errors(package.parent),  # the end of the zip
            zipfile.ZipFile(partial, "w") as archive,
            tempfile.TemporaryFile() as scratch,
            disk_errors(*folders),  # while both files are there: then the fullest is the one
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


def add_info(package: Path, files: Mapping[str, bytes], date: int) -> None:
    """Add files to a package's ``info/``, in place; what it installs keeps its bytes.

    Args:
        package: the ``.conda`` file.
        files: path, such as ``info/link.json`` → content.
        date: seconds since 1970 that every entry of ``info/`` carries.
    """
    with opened(package, [INFO]) as parts:
        info = parts[INFO]
        found = {name: info.read(name) for name, entry in info.entries.items() if entry.isfile()}
    found.update(files)
    raw, partial = io.BytesIO(), package.with_name(f".{package.name}.partial")
    _tar(raw, (Entry(name, 0o644, found[name]) for name in sorted(found, key=PurePosixPath)), date)
    with zipfile.ZipFile(package) as source, zipfile.ZipFile(partial, "w") as sink:
        for member in source.infolist():
            data = _stored_frame(raw.getvalue()) if member.filename.startswith(f"{INFO}-") else source.read(member)
            # a new entry: the old one's zip64 field holds the old size, which rattler's reader refuses
            sink.writestr(zipfile.ZipInfo(member.filename, member.date_time), data)
    partial.replace(package)


def _stored_frame(data: bytes) -> bytes:
    """Bytes as a Zstandard frame of raw blocks (RFC 8878, 3.1.1), which no compressor's version changes."""
    frame = bytearray(struct.pack("<IBI", 0xFD2FB528, 0b10100000, len(data)))
    block = 1 << 17
    for start in range(0, max(len(data), 1), block):
        part = data[start : start + block]
        header = (start + block >= len(data)) | len(part) << 3
        frame += struct.pack("<I", header)[:3] + part
    return bytes(frame)


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
