"""The installed distribution's RECORD and INSTALLER (PyPA: recording installed projects)."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path


def recorded(content: bytes) -> tuple[str, str]:
    """Hash and size (bytes) of a file's content as RECORD has them: sha256 in URL-safe base 64 without padding.

    https://packaging.python.org/en/latest/specifications/recording-installed-packages/
    """
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
    return f"sha256={digest}", str(len(content))


def read_rows(record: str) -> list[list[str]]:
    """The rows of a RECORD: path below site-packages, hash, size; damaged lines may give shorter ones.

    Raises:
        ValueError: it is not CSV.
    """
    try:
        return [row for row in csv.reader(io.StringIO(record)) if row]
    except csv.Error as error:
        raise ValueError(f"not a RECORD: {error}") from error


def dump_rows(rows: Iterable[Sequence[str]]) -> str:
    """The text of a RECORD, its lines sorted."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(sorted(rows, key=",".join))
    return text.getvalue()


def write_record(
    root: Path, site_packages: Path, dist_info: str, files: Iterable[Path], *, hashed: bool = True
) -> set[Path]:
    """Write INSTALLER, and a RECORD of the files in site-packages and ``bin/``, for pip and importlib.

    Libraries and data moved to the prefix's own folders are not listed, so that pip cannot remove them. Files that
    contain the prefix, such as a script's first line, are listed without a hash: installation rewrites them.

    Args:
        root: the prefix or package.
        site_packages: the folder of its modules.
        dist_info: name of the distribution's folder there.
        files: all that it installs.
        hashed: with hashes and sizes.

    Returns:
        The files written.
    """
    folder = site_packages / dist_info
    if not folder.is_dir():
        return set()
    installer, record = folder / "INSTALLER", folder / "RECORD"
    installer.write_text("conda\n")
    rows: list[tuple[str, str, str]] = []
    for path in {*files, installer} - {record}:
        if path.is_relative_to(site_packages) or path.is_relative_to(root / "bin"):
            content = path.read_bytes() if hashed else b""
            stays = hashed and bytes(root) not in content
            rows.append((os.path.relpath(path, site_packages), *(recorded(content) if stays else ("", ""))))
    record.write_text(dump_rows([*rows, (f"{dist_info}/RECORD", "", "")]))
    return {installer, record}
