"""Debian packages and tar archives unpacked."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

from tt_conda.errors import TtCondaError
from tt_conda.inputs.store import disk_errors


def unpack_deb(path: Path, dest: Path) -> None:
    """Unpack the files of a .deb below ``dest`` (``dpkg-deb`` itself refuses members that escape)."""
    with disk_errors(dest):
        dest.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(
            ["dpkg-deb", "--extract", str(path), str(dest)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
        )  # fmt: skip
    except FileNotFoundError:
        raise TtCondaError(
            f"{path.name}: dpkg-deb, which unpacks it, is not on this machine",
            "Install dpkg, or use a conda-forge channel (tt-conda build --channel conda-forge).",
        ) from None
    if done.returncode:
        signs = ("No space left", "Wrote only", "File too large", "quota exceeded")
        if any(sign in done.stdout for sign in signs) or shutil.disk_usage(dest).free < 1 << 20:
            with disk_errors(dest):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(dest))
        raise TtCondaError(
            f"{path}: not a readable .deb\n  " + done.stdout.strip().replace("\n", "\n  "),
            "Delete the file and run the command again.",
        )


def deb_control(path: Path) -> dict[str, str]:
    """The control fields of a .deb."""
    done = subprocess.run(
        ["dpkg-deb", "--field", str(path)], stdout=subprocess.PIPE, text=True, errors="replace", check=False
    )
    fields: dict[str, str] = {}
    for line in done.stdout.splitlines():
        key, colon, value = line.partition(": ")
        if colon and not line.startswith(" "):
            fields[key] = value
    return fields


def unpack_tar(tar: tarfile.TarFile, dest: Path) -> None:
    """Unpack an archive below ``dest``, which exists, as tarfile's ``data`` filter does, on every Python.

    The filter (PEP 706) came with Python 3.10.12, 3.11.4 and 3.12; Debian 12 has 3.11.2.

    Raises:
        tarfile.TarError: a member or the target of a link is outside ``dest``, or a member is a device or a pipe.
    """
    if hasattr(tarfile, "data_filter"):
        tar.extractall(dest, filter="data")
    else:  # lazily: each member is checked when those before it, links among them, are on the disk
        tar.extractall(dest, members=_filtered(tar, dest.resolve()))


def _filtered(tar: tarfile.TarFile, dest: Path) -> Iterator[tarfile.TarInfo]:
    for member in tar:
        path = dest / member.name
        if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
            raise tarfile.TarError(f"{member.name} is a device or a pipe")
        # a hard link names another member; a symbolic link is relative to its own folder
        target = (path.parent if member.issym() else dest) / member.linkname if member.linkname else path
        # the link itself may be in the way of resolving its path
        for place in (path.parent.resolve() / path.name, path if member.isdir() else path.parent, target):
            if not place.resolve().is_relative_to(dest):
                raise tarfile.TarError(f"{member.name} leads out of the folder that it is unpacked in")
        member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
        yield member
