"""A folder of files → a ``.conda`` file and its line in repodata.json."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import struct
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from rattler.package_streaming import extract
from rattler_build import FileEntry, assemble_package

_TIMESTAMP = datetime(2024, 1, 1, tzinfo=timezone.utc)


@dataclass
class Metadata:
    """What a package says about itself."""

    name: str
    version: str
    build: str
    subdir: str
    license: str
    noarch: Literal["python", "generic"] | None = None
    depends: list[str] = field(default_factory=list)
    constrains: list[str] = field(default_factory=list)
    summary: str = ""
    homepage: str = ""
    entry_points: tuple[str, ...] = ()
    run_exports: dict[str, list[str]] = field(default_factory=dict)

    @property
    def filename(self) -> str:
        """Name of the package file."""
        return f"{self.name}-{self.version}-{self.build}.conda"


def _zstd_frame(data: bytes) -> bytes:
    """``data`` as a Zstandard frame of raw blocks (RFC 8878, 3.1.1): valid, not compressed, no library needed."""
    frame = bytearray(struct.pack("<IBI", 0xFD2FB528, 0b10100000, len(data)))
    block = 1 << 17
    for start in range(0, max(len(data), 1), block):
        part = data[start : start + block]
        header = (start + block >= len(data)) | len(part) << 3
        frame += struct.pack("<I", header)[:3] + part
    return bytes(frame)


def _more_info(metadata: Metadata) -> dict[str, object]:
    """The files below ``info/`` that ``assemble_package`` does not write."""
    files: dict[str, object] = {}
    if metadata.noarch == "python":
        link = {"type": "python", "entry_points": list(metadata.entry_points)}
        files["link.json"] = {"noarch": link, "package_metadata_version": 1}
    if metadata.run_exports:
        files["run_exports.json"] = metadata.run_exports
    return files


def _add_info(path: Path, files: Mapping[str, object], work: Path) -> None:
    """Add JSON files to the ``info/`` of a package."""
    unpacked = work / "info"
    extract(path, unpacked)
    for name, content in files.items():
        (unpacked / "info" / name).write_text(json.dumps(content, indent=2))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for file in sorted((unpacked / "info").rglob("*")):
            if file.is_file():
                item = tarfile.TarInfo(file.relative_to(unpacked).as_posix())
                item.size, item.mtime, item.mode = file.stat().st_size, int(_TIMESTAMP.timestamp()), 0o644
                with file.open("rb") as content:
                    tar.addfile(item, content)
    rewritten = work / "rewritten.conda"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(rewritten, "w", zipfile.ZIP_STORED) as sink:
        for member in source.infolist():
            data = source.read(member)
            # a new entry: the old one's zip64 field holds the old size, which rattler's reader refuses
            entry = zipfile.ZipInfo(member.filename, member.date_time)
            sink.writestr(entry, _zstd_frame(buffer.getvalue()) if member.filename.startswith("info-") else data)
    rewritten.replace(path)


def _usual_modes(root: Path) -> None:
    """Everybody may read, the owner may write, and what is a program is one for all: whatever the machine's habits."""
    for folder, _, names in os.walk(root):
        Path(folder).chmod(0o755)
        for name in names:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)


def _entries(root: Path) -> list[FileEntry]:
    """Files and links below ``root``; given a folder, ``assemble_package`` would leave the hidden ones out."""
    paths = (path for path in root.rglob("*") if path.is_symlink() or not path.is_dir())
    return [FileEntry.from_paths(path, path.relative_to(root)) for path in sorted(paths)]


def write(metadata: Metadata, files: Path, licenses: Path, work: Path) -> tuple[Path, dict[str, Any]]:
    """Write the package into ``work``; returns it and its record for repodata.json."""
    files.mkdir(parents=True, exist_ok=True)
    _usual_modes(files)
    built = assemble_package(
        metadata.name, metadata.version, metadata.subdir, metadata.build, work,
        files=_entries(files), homepage=metadata.homepage or None, license=metadata.license,
        summary=metadata.summary or None, depends=metadata.depends, constrains=metadata.constrains,
        noarch=metadata.noarch, license_files=[p for p in sorted(licenses.rglob("*")) if p.is_file()],
        compression_level=2, compression_threads=1, timestamp=_TIMESTAMP, detect_prefix=False,
    ).path  # fmt: skip
    if more := _more_info(metadata):
        _add_info(built, more, work)
    data = built.read_bytes()
    record: dict[str, Any] = {
        "name": metadata.name, "version": metadata.version, "build": metadata.build, "build_number": 0,
        "depends": metadata.depends, "constrains": metadata.constrains, "license": metadata.license,
        "subdir": metadata.subdir, "timestamp": int(_TIMESTAMP.timestamp() * 1000), "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(), "md5": hashlib.md5(data, usedforsecurity=False).hexdigest(),
    }  # fmt: skip
    if metadata.noarch:
        record["noarch"] = metadata.noarch
    return built, record
