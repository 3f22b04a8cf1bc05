"""A folder of files → a ``.conda`` file and its line in repodata.json."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from rattler.package_streaming import extract
from rattler_build import assemble_package

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


def _add_link_json(path: Path, entry_points: Sequence[str], work: Path) -> None:
    """Give a noarch Python package the ``info/link.json`` that ``assemble_package`` does not write."""
    unpacked = work / "info"
    extract(path, unpacked)
    link = {"noarch": {"type": "python", "entry_points": list(entry_points)}, "package_metadata_version": 1}
    (unpacked / "info/link.json").write_text(json.dumps(link, indent=2))
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


def write(metadata: Metadata, files: Path, licenses: Path, work: Path) -> tuple[Path, dict[str, Any]]:
    """Write the package into ``work``; returns it and its record for repodata.json."""
    files.mkdir(parents=True, exist_ok=True)
    built = assemble_package(
        metadata.name, metadata.version, metadata.subdir, metadata.build, work,
        files_dir=files, homepage=metadata.homepage or None, license=metadata.license,
        summary=metadata.summary or None, depends=metadata.depends, constrains=metadata.constrains,
        noarch=metadata.noarch, license_files=[p for p in sorted(licenses.rglob("*")) if p.is_file()],
        compression_level=2, compression_threads=1, timestamp=_TIMESTAMP, detect_prefix=False,
    ).path  # fmt: skip
    if metadata.noarch == "python":
        _add_link_json(built, metadata.entry_points, work)
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
