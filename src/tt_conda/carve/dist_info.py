"""The installed distribution's RECORD and INSTALLER (PyPA: recording installed projects)."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
from pathlib import Path


def write_record(root: Path, site_packages: Path, dist_info: str) -> None:
    """Write INSTALLER, and a RECORD of what lies below site-packages and in ``bin/``: pip and importlib read it."""
    folder = site_packages / dist_info
    if not folder.is_dir():
        return
    (folder / "INSTALLER").write_text("conda\n")
    rows: list[tuple[str, str, str]] = []
    for base in (site_packages, root / "bin"):
        for parent, _, files in os.walk(base):
            for file in files:
                path = Path(parent) / file
                if path.is_symlink():  # to data that another package may own
                    continue
                digest = hashlib.sha256(path.read_bytes()).digest()
                value = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
                rows.append((os.path.relpath(path, site_packages), f"sha256={value}", str(path.stat().st_size)))
    rows.append((f"{dist_info}/RECORD", "", ""))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(sorted(rows))
    (folder / "RECORD").write_text(text.getvalue())
