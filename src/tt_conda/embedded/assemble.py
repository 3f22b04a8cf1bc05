"""The embedded channel made and kept up to date: the one entrance of this package is ``ensure_channel``."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tt_conda.base import settings
from tt_conda.base.code import code_digest
from tt_conda.base.documents import read_json
from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import disk_errors, locked, scratch_folder, sha256_of, write_atomically
from tt_conda.channel import index
from tt_conda.embedded import cpython, moved
from tt_conda.embedded.cpython import available_pythons
from tt_conda.embedded.table import LOCK, TABLE
from tt_conda.inputs.lock import refresh_command
from tt_conda.inputs.mirrors import WAY_OUT
from tt_conda.inputs.store import Store

if TYPE_CHECKING:
    from tt_conda.base.progress import Stage
    from tt_conda.embedded.table import Table, Unit

__all__ = ["available_pythons", "channel_dir", "ensure_channel"]

_SERIES = "af36f9a1190b6c1fc8a4e6f0fc3bed388e021662e3787719758ea41c6418fe8c"
"""Stands in the hash of every build string, beside the inputs. Another value gives every package another name, and what
was built with them is built again; code that makes the same bytes needs none."""


def channel_dir() -> Path:
    """The embedded channel's folder."""
    return settings.cache_dir() / "channel"


def _code_digest() -> str:
    """Hash of the code that assembles; packages.toml and inputs.lock count package by package."""
    return code_digest(__name__, without=(TABLE, LOCK))


def _state_key(code: str, pythons: dict[str, cpython.Interpreter]) -> str:
    digest = hashlib.sha256(f"{_SERIES}{code}".encode())
    for path in (TABLE, LOCK):
        digest.update(path.read_bytes())
    for version, python in pythons.items():
        digest.update(f"{version}{python.identity()}".encode())
    return digest.hexdigest()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        loaded = read_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _write_json(path: Path, content: object) -> None:
    write_atomically(path, json.dumps(content, indent=1, sort_keys=True))


def _is_current(folder: Path, state: str, names: Collection[str] | None) -> bool:
    stamp = _read_json(folder / ".stamp.json")
    if stamp.get("state") != state or (stamp.get("moved") and settings.pinned()):
        return False
    if not stamp["all"] and (names is None or not set(names) <= set(stamp["names"])):
        return False
    for name, size in stamp["files"].items():
        try:
            if (folder / name).stat().st_size != size:
                return False
        except OSError:
            return False
    return True


def ensure_channel(names: Collection[str] | None = None) -> Path:
    """Make sure that the embedded channel holds ``names`` and what they depend on (None: everything).

    Returns:
        the channel's folder; use it as ``file://`` channel. It is valid at every moment, also while this runs.

    Raises:
        TtCondaError: no supported CPython is on the machine, an input can't be fetched, the disk is full, …
    """
    pythons = cpython.require_any()
    folder = channel_dir()
    code = _code_digest()
    state = _state_key(code, pythons)
    if not _is_current(folder, state, names):
        with _locked(folder):
            if not _is_current(folder, state, names):
                _update(folder, state, code, pythons, names)
    if moves := _read_json(folder / ".stamp.json").get("moved"):
        moved.tell(tuple(moves))
    return folder


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes out, and make files that everybody may read."""
    with disk_errors(folder):
        (folder / ".records").mkdir(parents=True, exist_ok=True)
        (folder / ".lock").touch()
    with locked(folder / ".lock"):
        umask = os.umask(0o022)
        try:
            yield
        finally:
            os.umask(umask)


class _Record:
    """Facts of one package file in the channel: its key, the code that made it, its dependencies."""

    def __init__(self, folder: Path, unit: Unit, key: str, code: str, providers: dict[str, str]) -> None:
        self.folder, self.unit, self.key, self.code, self.providers = folder, unit, key, code, providers
        label = f"{unit.entry.name}-{unit.python}" if unit.python else unit.entry.name
        self.path = folder / ".records" / f"{label}.json"
        self.content = _read_json(self.path)

    @property
    def file(self) -> str:
        """The package, relative to the channel."""
        return f"{self.unit.subdir}/{self.content['file']}"

    def is_current(self) -> bool:
        """Whether the package is there and made of what it would be made of now."""
        if (self.content.get("key"), self.content.get("code")) != (self.key, self.code):
            return False
        if any(self.providers.get(what) != package for what, package in self.content["resolved"].items()):
            return False
        path = self.folder / self.file
        return path.is_file() and path.stat().st_size == self.content["size"]


def _closure(table: Table, names: Collection[str], records: dict[Unit, _Record]) -> set[str]:
    """``names`` and what they depend on, as far as it is known before they are built."""
    wanted: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in wanted:
            continue
        if name not in table.entries:
            if name in names:
                raise TtCondaError(f"the embedded channel has no package {name!r}", "Use a conda-forge channel.")
            continue
        wanted.add(name)
        todo += [spec.split()[0] for spec in table.entries[name].depends]
        for unit, record in records.items():
            if unit.entry.name == name and record.is_current():
                todo += [spec.split()[0] for spec in record.content["depends"]]
    return wanted


def _update(
    folder: Path,
    state: str,
    code: str,
    pythons: dict[str, cpython.Interpreter],
    names: Collection[str] | None,
) -> None:
    from tt_conda.base.progress import stage
    from tt_conda.embedded.table import Table
    from tt_conda.inputs.debian import GoneError, successors

    pins = Table.load()
    newer = {} if settings.pinned() else moved.read(folder)
    _forget_lost(folder)
    while True:  # what a package depends on is known for certain once it is built
        table = pins.with_successors(newer, Store.default())
        records: dict[Unit, _Record] = {}
        for unit in table.units(pythons):
            identity = pythons[unit.python].identity() if unit.entry.cpython else ""
            records[unit] = _Record(folder, unit, table.key(unit, _SERIES, identity), code, table.providers())
        wanted = set(table.entries) if names is None else _closure(table, names, records)
        missing = [u for u, record in records.items() if u.entry.name in wanted and not record.is_current()]
        if not missing:
            break
        try:
            with stage("Embedded channel", total=2 * len(missing)) as progress:
                inputs = _fetch(table, missing, progress)
                _build(folder, table, pythons, missing, records, inputs, progress)
        except GoneError as gone:
            if settings.pinned():
                raise
            newer |= successors(gone)
            moved.write(folder, newer)
            continue
    _publish(folder, records)
    current = [record for record in records.values() if record.is_current()]
    files = {record.file: record.content["size"] for record in current}
    for subdir in index.SUBDIRS:
        files[f"{subdir}/repodata.json"] = (folder / subdir / "repodata.json").stat().st_size
    everything = len(current) == len(records)
    content = {
        "state": state,
        "all": everything,
        "names": sorted({r.unit.entry.name for r in current}),
        "files": files,
        "moved": sorted(
            moved.describe(table.moved[deb.sha256], deb)
            for deb in {deb.sha256: deb for record in current for deb in table.debs(record.unit)}.values()
            if deb.sha256 in table.moved
        ),
    }
    _write_json(folder / ".stamp.json", content)


def _forget_lost(folder: Path) -> None:
    """Have the index name nothing that somebody deleted or cut; it will be made again."""
    lost = [
        path
        for path, record in index.records(folder).items()
        if not path.is_file() or path.stat().st_size != record["size"]
    ]
    if lost:
        index.remove(lost, folder)


def _publish(folder: Path, records: dict[Unit, _Record]) -> None:
    """Index the packages that are current, and remove the others."""
    current = {folder / record.file for record in records.values() if record.is_current()}
    index.remove({*folder.glob("*/*.conda")} - current, folder)


def _fetch(table: Table, units: list[Unit], progress: Stage) -> dict[str, Path]:
    """The inputs of ``units`` by sha256; wheels and Debian packages at the same time."""
    from tt_conda.base.process import Pool
    from tt_conda.inputs.debian import fetch_debs
    from tt_conda.inputs.wheels import fetch_all

    wheels = {pin.sha256: pin for pin in (table.wheel(unit) for unit in units if unit.entry.wheel)}
    debs = {pin.sha256: pin for unit in units for pin in table.debs(unit)}
    with Pool(2) as pool:
        jobs = [
            pool.submit(fetch_all, list(wheels.values()), lock=table.lock.path),
            pool.submit(fetch_debs, list(debs.values()), lock=table.lock.path),
        ]
        found = {sha256: path for job in jobs for sha256, path in job.result().items()}
    progress.advance(len(units))
    return found


def _build(
    folder: Path,
    table: Table,
    pythons: dict[str, cpython.Interpreter],
    units: list[Unit],
    records: dict[Unit, _Record],
    inputs: dict[str, Path],
    progress: Stage,
) -> None:
    def weight(unit: Unit) -> int:
        pins = sum(deb.size for deb in table.debs(unit))
        if unit.entry.cpython:
            return 1 << 40
        return pins + (table.wheel(unit).size if unit.entry.wheel and not unit.entry.files else 0)

    pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 2)
    try:
        jobs = {
            pool.submit(_build_one, folder, table, pythons, unit, records[unit], inputs): unit
            for unit in sorted(units, key=weight, reverse=True)
        }
        for job in jobs:
            job.result()
            progress.advance()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _build_one(
    folder: Path,
    table: Table,
    pythons: dict[str, cpython.Interpreter],
    unit: Unit,
    record: _Record,
    inputs: dict[str, Path],
) -> None:
    from tt_conda.embedded import conda
    from tt_conda.embedded.stage import Folders, stage

    with disk_errors(folder), scratch_folder(folder, ".tmp-") as work:
        folders = Folders(work)
        try:
            metadata, resolved = stage(table, unit, pythons.get(unit.python), inputs, folders, record.key)
        except TtCondaError as error:
            raise _unfit(table, unit, error) from error
        built = conda.write(metadata, folders.files, folders.licenses, work)
        target = folder / unit.subdir / metadata.filename
        if target.is_file() and sha256_of(target) != sha256_of(built):
            index.remove([target], folder)  # the index names the other one
        target.parent.mkdir(exist_ok=True)
        built.replace(target)
        record.content = {
            "key": record.key,
            "code": record.code,
            "file": metadata.filename,
            "resolved": resolved,
            "depends": metadata.depends,
            "size": target.stat().st_size,
        }
        _write_json(record.path, record.content)


def _unfit(table: Table, unit: Unit, error: TtCondaError) -> TtCondaError:
    """The error of a package that cannot be made; where a newer file than the pinned is in it, that is why."""
    moves = [moved.describe(table.moved[deb.sha256], deb) for deb in table.debs(unit) if deb.sha256 in table.moved]
    if not moves:
        return error
    return TtCondaError(
        f"{error.what}\n  It is made of files that Debian has superseded: {', '.join(moves)}",
        f"The current file does not fit. For the pinned one, {WAY_OUT}; or pin the current one\n"
        f"({refresh_command(table.lock.path)}) and correct {TABLE}.",
    )
