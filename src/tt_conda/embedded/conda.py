"""A folder of files → a ``.conda`` file."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from rattler_build import FileEntry, assemble_package

from tt_conda.formats.conda import add_info

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


def _more_info(metadata: Metadata) -> dict[str, bytes]:
    """The files of ``info/`` that ``assemble_package`` does not write."""
    files: dict[str, object] = {}
    if metadata.noarch == "python":
        link = {"type": "python", "entry_points": list(metadata.entry_points)}
        files["link.json"] = {"noarch": link, "package_metadata_version": 1}
    if metadata.run_exports:
        files["run_exports.json"] = metadata.run_exports
    return {f"info/{name}": json.dumps(content, indent=2).encode() for name, content in files.items()}


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


def write(metadata: Metadata, files: Path, licenses: Path, work: Path) -> Path:
    """Write the package into ``work``."""
    files.mkdir(parents=True, exist_ok=True)
    _usual_modes(files)
    built = assemble_package(
        metadata.name,
        metadata.version,
        metadata.subdir,
        metadata.build,
        work,
        files=_entries(files),
        homepage=metadata.homepage or None,
        license=metadata.license,
        summary=metadata.summary or None,
        depends=metadata.depends,
        constrains=metadata.constrains,
        noarch=metadata.noarch,
        license_files=[p for p in sorted(licenses.rglob("*")) if p.is_file()],
        compression_level=2,
        compression_threads=1,
        timestamp=_TIMESTAMP,
        detect_prefix=False,
    ).path
    if more := _more_info(metadata):
        add_info(built, more, int(_TIMESTAMP.timestamp()))
    return built
