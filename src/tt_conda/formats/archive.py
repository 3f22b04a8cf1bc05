"""Zip and tar archives from outside: opened with a clear error, unpacked without trusting their member names."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from tt_conda.base.errors import TtCondaError

DAMAGED_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
"""Exceptions of the standard library on a damaged member."""
_FETCH_AGAIN = "Delete the file and fetch it again; if the index serves this very file, report it there."


def _refuse(archive: str, member: str, why: str) -> TtCondaError:
    return TtCondaError(
        f"{archive}: member {member!r} {why}",
        "The wheel was not unpacked. No honest build produces such a member: check the wheel's origin.",
    )


def safe_members(zf: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """All members of ``zf``, after checking that none would be written outside the target folder."""
    archive = Path(zf.filename).name if zf.filename else "zip file"
    seen: set[str] = set()
    members = zf.infolist()
    for info in members:
        # ``filename`` is cut at a NUL and has its separators normalised, so the original name is checked
        name = info.orig_filename
        parts = PurePosixPath(name).parts
        if "\0" in name:
            raise _refuse(archive, name, "has a NUL byte in its name")
        if "\\" in name:
            raise _refuse(archive, name, "has a backslash in its name")
        if name.startswith("/") or (len(name) > 1 and name[1] == ":" and name[0].isalpha()):
            raise _refuse(archive, name, "has an absolute name")
        if not parts or ".." in parts:
            raise _refuse(archive, name, "leads outside the target folder")
        mode = info.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _refuse(archive, name, "is a symbolic link or a special file")
        key = "/".join(parts)
        if key in seen and not info.is_dir():
            raise _refuse(archive, name, "occurs twice")
        seen.add(key)
    return members


def open_wheel(path: Path) -> zipfile.ZipFile:
    """Open a wheel, with a clear error for a truncated or foreign file."""
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError:
        raise TtCondaError(f"{path}: there is no such file", "Check the path.") from None
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
        what = f"{path}: not a readable wheel ({error}), perhaps truncated"
        raise TtCondaError(what, _FETCH_AGAIN) from error


def extract(zf: zipfile.ZipFile, dest: Path, rename: Callable[[str], str | None] | None = None) -> list[Path]:
    """Unpack the checked members of ``zf`` below ``dest``, their CRCs verified; returns the files written.

    ``rename`` maps a member's name to its path below ``dest``, or to None to leave it out.
    """
    archive = zf.filename or "zip file"
    members = safe_members(zf)
    written: list[Path] = []
    made: set[Path] = set()
    for info in members:
        if info.is_dir():
            continue
        name = rename(info.filename) if rename else info.filename
        if name is None:
            continue
        target = dest / name
        if target.parent not in made:
            target.parent.mkdir(parents=True, exist_ok=True)
            made.add(target.parent)
        try:
            with zf.open(info) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
        except (*DAMAGED_ZIP, OSError) as error:
            target.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
                raise  # the disk's; a damaged archive may have an invalid offset
            what = f"{archive}: member {info.filename!r} is damaged ({error})"
            raise TtCondaError(what, _FETCH_AGAIN) from error
        target.chmod(0o755 if (info.external_attr >> 16) & 0o111 else 0o644)
        written.append(target)
    return written


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
