"""Wheels made by hand, and folders as values."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

from tt_conda.formats.archive import extract, open_wheel

NAME = "pkg-1.0-cp310-cp310-manylinux_2_34_x86_64.whl"
DIST_INFO = "pkg-1.0.dist-info"


def make_wheel(folder: Path, members: Mapping[str | zipfile.ZipInfo, str | bytes], name: str = NAME) -> Path:
    """Write a wheel of these members and the metadata that every wheel has."""
    wheel = folder / name
    info = "-".join(name.split("-")[:2]) + ".dist-info"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, content)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: pkg\nVersion: 1.0\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


def unpack_wheel(path: Path, dest: Path) -> None:
    with open_wheel(path) as archive:
        extract(archive, dest)


def tree(folder: Path) -> dict[str, str]:
    """Every file with its content, every link with its target; RECORD, which holds hashes, as its list of files."""
    found = {}
    for base, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(base, name)
            key = str(path.relative_to(folder))
            if path.is_symlink():
                found[key] = f"→ {path.readlink()}"
            elif path.is_file():
                found[key] = path.read_bytes().decode("latin-1")
                if name == "RECORD":
                    found[key] = "\n".join(line.split(",")[0] for line in found[key].splitlines())
    return found
