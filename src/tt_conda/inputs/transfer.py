"""Copy stores: ``tt-conda store export`` and ``tt-conda store import``."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import disk_errors, write_atomically
from tt_conda.base.progress import stage
from tt_conda.inputs.debian import fetch_debs
from tt_conda.inputs.lock import Deb, Sha256, Source, Wheel, load
from tt_conda.inputs.mirrors import LISTING, FileToFetch, Mirror
from tt_conda.inputs.store import Store, is_plain_name
from tt_conda.inputs.wheels import fetch_all


def _plain(name: str) -> str:
    if not is_plain_name(name):
        raise ValueError(f"{name!r} is not a plain file name")
    return name


class StoredFile(BaseModel):
    """One file of a store."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    sha256: Sha256
    filename: Annotated[str, AfterValidator(_plain)]
    size: Annotated[int, Field(ge=0)]


class Listing(BaseModel):
    """The content of ``store.json``."""

    model_config = ConfigDict(extra="ignore")

    format: Literal[1] = 1
    files: list[StoredFile]


def _scan(folder: Path) -> list[StoredFile]:
    """The files of a store's folder, by path; files in other places do not belong to it."""
    found = []
    for path in sorted(folder.glob("??/*/*")):
        name = path.parent.name
        is_in_place = re.fullmatch(r"[0-9a-f]{64}", name) and path.parents[1].name == name[:2]
        if is_in_place and is_plain_name(path.name) and path.is_file():
            found.append(StoredFile(sha256=name, filename=path.name, size=path.stat().st_size))
    return found


def _pinned(locks: Iterable[Path]) -> dict[Path, list[Wheel | Deb | Source]]:
    return {path: [*lock.wheel, *lock.deb, *lock.source] for path in locks for lock in (load(path),)}


def export(dest: Path, locks: Sequence[Path] = (), store: Store | None = None) -> int:
    """Copy files of the store to another folder atomically, with a listing.

    Existing files are verified and kept, so an interrupted export resumes when run again.

    Args:
        dest: the folder; created if needed.
        locks: export only the files pinned here, fetched if the store lacks them; empty: the whole store.
        store: default: the one in the cache folder.

    Returns:
        the number of files in the folder.

    Raises:
        TtCondaError: a file cannot be fetched, or the folder cannot be written to.
    """
    store, target = store or Store.default(), Store(dest)
    files: dict[str, Path] = {}
    names: dict[str, str] = {}
    for path, pins in _pinned(locks).items():
        files |= fetch_all([pin for pin in pins if isinstance(pin, Wheel)], store=store, lock=path)
        files |= fetch_debs([pin for pin in pins if not isinstance(pin, Wheel)], store=store, lock=path)
        names |= {pin.sha256: pin.filename for pin in pins}
    if not locks:
        for file in _scan(store.folder):
            if found := store.get(file.sha256, file.filename):
                files[file.sha256], names[file.sha256] = found, file.filename
    if dest.exists() and not dest.is_dir():
        raise TtCondaError(f"{dest} is not a folder", "Name a folder; it is created if missing.")
    with stage(f"Export to {dest}", total=len(files)) as progress:
        for sha256, path in files.items():
            progress.describe(names[sha256])
            if not target.get(sha256, names[sha256]):
                with target.scratch() as scratch, disk_errors(dest):
                    target.put(Path(shutil.copyfile(path, scratch / names[sha256])), sha256)
            progress.advance()
        return write_listing(dest)


def write_listing(dest: Path) -> int:
    """Write the listing of a store's folder, which is made if need be; the number of its files.

    Raises:
        TtCondaError: the folder cannot be written to.
    """
    listing = Listing(files=_scan(dest))
    with disk_errors(dest):
        dest.mkdir(parents=True, exist_ok=True)
        write_atomically(dest / LISTING, json.dumps(listing.model_dump(), indent=1) + "\n")
    return len(listing.files)


def import_(source: str, locks: Sequence[Path] = (), store: Store | None = None) -> tuple[int, int]:
    """Copy files from another store, verified by hash; existing files are not fetched again.

    Args:
        source: a folder (an export, or somebody's ``inputs`` folder), or the URL of an export.
        locks: import only the files pinned here; empty: everything.
        store: default: the one in the cache folder.

    Returns:
        The numbers of imported and of existing files.

    Raises:
        TtCondaError: the source cannot be read, lacks files, or has different ones under their names (the rest was
            imported); the disk is full.
    """
    store, mirror = store or Store.default(), Mirror(source)
    wanted: Collection[FileToFetch] = [pin for pins in _pinned(locks).values() for pin in pins]
    if not locks:
        wanted = _read_listing(mirror) if mirror.is_url else _scan(_folder(mirror))
    elif not mirror.is_url:
        _folder(mirror)
    unique = {file.sha256: file for file in wanted}
    here, failed = 0, []
    with stage(f"Import from {mirror.location}", total=len(unique)) as progress:
        for file in unique.values():
            progress.describe(file.filename)
            if store.get(file.sha256, file.filename, file.size):
                here += 1
            elif not mirror.fetch(file, store):
                failed.append(file)
            progress.advance()
    taken = len(unique) - here - len(failed)
    if failed:
        lines = [f"  {file.filename}: {mirror.said[file.sha256]}" for file in failed[:10]]
        more = [f"  and {len(failed) - 10} more"] if len(failed) > 10 else []
        raise TtCondaError(
            "\n".join(
                [f"{mirror.location}: {len(failed)} of {len(unique)} files could not be imported:", *lines, *more]
            ),
            f"The others are in {store.folder} ({taken} imported now, {here} before). Import these from another store, "
            "or export the source again, and repeat the command.",
        )
    return taken, here


def _folder(mirror: Mirror) -> Path:
    folder = Path(mirror.location).expanduser()
    if not folder.is_dir():
        raise TtCondaError(f"{mirror.location}: there is no such folder", "Name a folder, or an http(s) URL.")
    return folder


def _read_listing(mirror: Mirror) -> list[StoredFile]:
    try:
        return Listing.model_validate_json(mirror.read_listing()).files
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise TtCondaError(
            f"{mirror.location}/{LISTING}: {where or 'the file'}: {first['msg']}",
            "Nothing was imported. Use a folder made by `tt-conda store export`.",
        ) from error
