"""The installed distribution's RECORD and INSTALLER (PyPA: recording installed projects)."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
from collections.abc import Iterable
from pathlib import Path


def recorded(content: bytes) -> tuple[str, str]:
    """Hash and size (bytes) of a file's content as RECORD has them: sha256 in URL-safe base 64 without padding.

    https://packaging.python.org/en/latest/specifications/recording-installed-packages/
    """
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
    return f"sha256={digest}", str(len(content))


def write_record(root: Path, site_packages: Path, dist_info: str, files: Iterable[Path]) -> set[Path]:
    """Write INSTALLER, and a RECORD of the files in site-packages and ``bin/``, for pip and importlib.

    Libraries and data moved to the prefix's own folders are not listed, so that pip cannot remove them. Files that
    contain the prefix, such as a script's first line, are listed without a hash: installation rewrites them.

    Returns:
        The files written.
    """
    folder = site_packages / dist_info
    if not folder.is_dir():
        return set()
    installer = folder / "INSTALLER"
    installer.write_text("conda\n")
    rows: list[tuple[str, str, str]] = []
    for path in {*files, installer}:
        if path.is_relative_to(site_packages) or path.is_relative_to(root / "bin"):
            content = path.read_bytes()
            hashed = recorded(content) if bytes(root) not in content else ("", "")
            rows.append((os.path.relpath(path, site_packages), *hashed))
    rows.append((f"{dist_info}/RECORD", "", ""))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(sorted(rows))
    record = folder / "RECORD"
    record.write_text(text.getvalue())
    return {installer, record}
