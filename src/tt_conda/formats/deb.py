"""Debian packages, unpacked by ``dpkg-deb``."""

from __future__ import annotations

import subprocess
from email import message_from_string
from pathlib import Path

from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import disk_error_in, disk_errors

PROGRAMS = ("dpkg-deb",)


def unpack_deb(path: Path, dest: Path) -> None:
    """Unpack the files of a .deb below ``dest`` (``dpkg-deb`` itself refuses members that escape)."""
    with disk_errors(dest):
        dest.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(
            ["dpkg-deb", "--extract", str(path), str(dest)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError:
        raise TtCondaError(
            f"{path.name}: dpkg-deb, which unpacks it, is not on this machine",
            "Install dpkg, or use a conda-forge channel (tt-conda build --channel conda-forge).",
        ) from None
    if done.returncode:
        with disk_errors(dest):
            if error := disk_error_in(done.stdout, "Wrote only"):
                raise error
        raise TtCondaError(
            f"{path}: not a readable .deb\n  " + done.stdout.strip().replace("\n", "\n  "),
            "Delete the file and run the command again.",
        )


def deb_control(path: Path) -> dict[str, str]:
    """The control fields of a .deb, of each its first line."""
    done = subprocess.run(
        ["dpkg-deb", "--field", str(path)], stdout=subprocess.PIPE, text=True, errors="replace", check=False
    )
    return {key: value.partition("\n")[0] for key, value in message_from_string(done.stdout).items()}
