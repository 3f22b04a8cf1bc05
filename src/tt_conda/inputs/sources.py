"""A source tree from the pinned archives of a lock file."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from pathlib import Path

from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import disk_errors
from tt_conda.formats.archive import unpack_tar
from tt_conda.formats.deb import unpack_deb
from tt_conda.inputs.debian import fetch_debs
from tt_conda.inputs.lock import Deb, Lock, Source, Want, find_deb, find_source, load


def unpack_sources(lock_file: Path, dest: Path) -> list[Path]:
    """Unpack a lock file's archives to the folders in its ``want`` tables (``into``), fetching those not in the cache.

    Args:
        lock_file: with ``[[source]]`` and ``[[deb]]`` pins.
        dest: the folder that ``into`` is relative to; created if needed.

    Returns:
        The filled folders, in the lock file's order.

    Raises:
        TtCondaError: a pin is missing, an archive cannot be fetched or read, or two archives contain the same file.
    """
    lock = load(lock_file)
    wanted = [(want, _pin(lock, want)) for want in lock.want if want.into]
    files = fetch_debs([pin for _, pin in wanted], lock=lock_file)
    filled: list[Path] = []
    with disk_errors(dest):
        dest.mkdir(parents=True, exist_ok=True)
        for want, pin in wanted:
            with tempfile.TemporaryDirectory(dir=dest, prefix=".unpack-") as scratch:
                _extract(files[pin.sha256], Path(scratch))
                filled.append(dest / want.into)
                _move(_folder(Path(scratch), want, lock), filled[-1], files[pin.sha256])
    return filled


def _pin(lock: Lock, want: Want) -> Deb | Source:
    return find_deb(lock, want.deb) if want.deb else find_source(lock, want.source, want.part or "orig")


def _extract(archive: Path, folder: Path) -> None:
    if archive.suffix == ".deb":
        unpack_deb(archive, folder)
        return
    try:
        with tarfile.open(archive) as tar:
            unpack_tar(tar, folder)
    except (tarfile.TarError, EOFError) as error:
        raise TtCondaError(
            f"{archive}: not a readable archive: {error}", "Delete the file and run the command again."
        ) from error


def _folder(root: Path, want: Want, lock: Lock) -> Path:
    """The folder with the requested contents."""
    pattern = want.folder or "*"
    found = [path for path in sorted(root.glob(pattern)) if path.is_dir() and not path.is_symlink()]
    if len(found) != 1:
        raise TtCondaError(
            f"{lock.path}: {want.source or want.deb}: {len(found)} folders in the archive match {pattern!r}",
            "Name one of them as `folder` in its [[want]] table.",
        )
    return found[0]


def _move(folder: Path, target: Path, archive: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for item in sorted(folder.iterdir()):
        if (target / item.name).exists():
            raise TtCondaError(
                f"{archive.name}: {target / item.name} already exists", "Use another `into`, or an empty folder."
            )
        shutil.move(item, target / item.name)
