"""A channel folder: packages enter and leave it so that it is valid at every moment.

Layout: ``channel/{linux-64,noarch}/`` with the packages, ``repodata.json`` and, beside it, ``run_exports.json``
(CEP 12, https://github.com/conda/ceps/blob/main/cep-0012.md). Every file appears by ``os.replace``; a package is there
before the ``repodata.json`` that names it, and leaves after it.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import time
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rattler.exceptions import ExtractError, IoError
from rattler.package_streaming import PackageArchive

from tt_conda.channel.places import channel_url, local_path
from tt_conda.errors import TtCondaError
from tt_conda.files import digests, naming_full_disk, write_atomically

SUBDIRS = ("linux-64", "noarch")
KINDS = {".conda": "packages.conda", ".tar.bz2": "packages"}
"""A package's file name ending and the table of ``repodata.json`` that it stands in."""
_CACHE = ".tt-conda-index.json"
_RACY = 20_000_000  # ns: a file younger than this when it was read may change again under the same mtime
_STALE = ("repodata.json.zst", "repodata.json.bz2", "repodata_shards.msgpack.zst")


def kind_of(name: str) -> str | None:
    """The ``repodata.json`` table for the file ``name``; None for what is not a package (temporary names too)."""
    return next((kind for end, kind in KINDS.items() if name.endswith(end)), None) if name[0] != "." else None


def known_sha256(path: Path) -> str:
    """Sha256 of a package, from the index where the file's size, time and inode are still those it saw."""
    entry = _read_cache(path.parent).get(path.name)
    return str(entry["record"]["sha256"]) if entry and entry["stat"] == _stat(path) else digests(path)[0]


def read_record(path: Path) -> dict[str, Any]:
    """What ``repodata.json`` says, or would say, of a package file.

    Raises TtCondaError where it is damaged.
    """
    entry = _read_cache(path.parent).get(path.name)
    record: dict[str, Any] = (entry if entry and entry["stat"] == _stat(path) else _entry(path))["record"]
    return record


def names_in(channels: Iterable[str | Path]) -> set[str] | None:
    """Names of the packages in channels; None where one of them is not on this machine."""
    names: set[str] = set()
    for channel in channels:
        folder = local_path(channel_url(channel))
        if folder is None:
            return None
        names.update(record["name"] for record in records(folder).values())
    return names


def in_tables(repodata: str | bytes) -> dict[str, dict[str, Any]]:
    """What a ``repodata.json`` says of each package, by file name.

    Raises:
        ValueError: it is none.
    """
    tables = json.loads(repodata)
    try:
        return {name: record for kind in KINDS.values() for name, record in tables.get(kind, {}).items()}
    except AttributeError as error:
        raise ValueError("it holds no tables of packages") from error


def records(channel: Path) -> dict[Path, dict[str, Any]]:
    """What a channel folder's index says of each package, by its path."""
    return {
        table.parent / name: record
        for table in sorted(channel.glob("*/repodata.json"))
        for name, record in in_tables(table.read_bytes()).items()
    }


def publish(
    packages: Iterable[Path], channel: Path, *, keep: bool = False,
    refuse: Callable[[list[Path]], TtCondaError] | None = None,
) -> list[Path]:  # fmt: skip
    """Move finished packages into ``channel`` (``keep``: leave the originals) and index it; where they are now.

    A package that replaces one of the same name with other content is taken out of ``repodata.json`` first; where
    there is a ``refuse``, what it makes of those is raised instead, and nothing is changed.
    """
    packages = list(packages)
    with _alone(channel), naming_full_disk(channel):
        moves = {path: channel / _entry(path)["record"]["subdir"] / path.name for path in packages}
        changed = [new for old, new in moves.items() if new.is_file() and digests(new) != digests(old)]
        if changed and refuse:
            raise refuse(changed)
        for folder in {new.parent for new in changed}:
            _index(folder, leave_out={new.name for new in changed})
        for old, new in moves.items():
            _move(old, new, keep)
        for subdir in sorted({*SUBDIRS, *(new.parent.name for new in moves.values())}):
            _index(channel / subdir)
    return list(moves.values())


@dataclass(frozen=True)
class Listed:
    """A package as a channel folder lists it."""

    path: Path
    record: dict[str, Any]
    run_exports: dict[str, Any]


def listed(channel: Path) -> list[Listed]:
    """The packages that a channel folder's index names."""
    exports: dict[Path, dict[str, Any]] = {}
    for file in channel.glob("*/run_exports.json"):
        exports |= {file.parent / name: said for name, said in in_tables(file.read_bytes()).items()}
    return [Listed(path, record, exports.get(path, {})) for path, record in records(channel).items()]


def link(packages: Iterable[Listed], channel: Path) -> None:
    """Make ``channel``, a new folder, a channel of links to packages that are listed elsewhere: nothing is read."""
    packages = list(packages)
    for subdir in SUBDIRS:
        (channel / subdir).mkdir(parents=True)
        tables: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS.values()}
        exports: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS.values()}
        for package in packages:
            name = package.path.name
            if package.record["subdir"] == subdir and (kind := kind_of(name)) and name not in tables[kind]:
                (channel / subdir / name).symlink_to(package.path.resolve())
                tables[kind][name], exports[kind][name] = package.record, package.run_exports
        _write_tables(channel / subdir, tables, exports)


def remove(packages: Iterable[Path], channel: Path) -> None:
    """Take ``packages`` (paths in the channel) out of ``repodata.json``, then delete them."""
    packages = list(packages)
    with _alone(channel):
        for folder in {path.parent for path in packages}:
            _index(folder, leave_out={path.name for path in packages if path.parent == folder})
        for path in packages:
            path.unlink(missing_ok=True)


def validate(channel: Path) -> None:
    """Hash every package that ``channel`` names; TtCondaError naming each that is missing, truncated or other."""
    wrong: list[str] = []
    for subdir in {*SUBDIRS, *(path.parent.name for path in channel.glob("*/repodata.json"))}:
        repodata = channel / subdir / "repodata.json"
        try:
            table = in_tables(repodata.read_bytes())
        except (OSError, ValueError) as error:
            wrong.append(f"{repodata}: {error}")
            continue
        for name, record in sorted(table.items()):
            path = repodata.parent / name
            if not path.is_file():
                wrong.append(f"{path}: missing")
            elif (size := path.stat().st_size) != record["size"]:
                wrong.append(f"{path}: {size} bytes instead of {record['size']}")
            elif (found := digests(path)[0]) != record["sha256"]:
                wrong.append(f"{path}: sha256 {found} instead of {record['sha256']}")
    if wrong:
        raise TtCondaError(
            f"The channel {channel} is not what it says:\n  " + "\n  ".join(sorted(wrong)),
            "Delete those files and run `tt-conda build` again.",
        )


@contextmanager
def _alone(channel: Path) -> Iterator[None]:
    """Keep other processes out of ``channel``; sweep what a killed one left behind."""
    for subdir in SUBDIRS:
        (channel / subdir).mkdir(parents=True, exist_ok=True)
    with (channel / ".tt-conda.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for partial in channel.glob("[!.]*/.*.partial"):
            partial.unlink()
        yield


def _move(old: Path, new: Path, keep: bool) -> None:
    new.parent.mkdir(parents=True, exist_ok=True)
    if old.resolve() == new.resolve():
        return
    if not keep:
        with suppress(OSError):  # another file system: copied below
            old.replace(new)
            return
    partial = new.with_name(f".{new.name}.partial")
    try:
        try:
            os.link(old, partial)
        except OSError:
            shutil.copy2(old, partial)
        partial.replace(new)
    finally:
        partial.unlink(missing_ok=True)
    if not keep:
        old.unlink()


def _index(folder: Path, leave_out: Collection[str] = ()) -> None:
    known = _read_cache(folder)
    entries: dict[str, Any] = {}
    for path in sorted(folder.iterdir()):
        if kind_of(path.name) and path.name not in leave_out:
            seen = known.get(path.name)
            entries[path.name] = seen if seen and seen["stat"] == _stat(path) else _entry(path, folder.name)
    tables: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS.values()}
    exports: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS.values()}
    for name, entry in entries.items():
        if kind := kind_of(name):
            tables[kind][name] = entry["record"]
            exports[kind][name] = {"run_exports": entry["run_exports"]}
    for stale in _STALE:  # written by others, and preferred by some readers
        (folder / stale).unlink(missing_ok=True)
    with naming_full_disk(folder):
        _write_tables(folder, tables, exports)
        write_atomically(folder / _CACHE, _json(entries))


def _write_tables(folder: Path, tables: Mapping[str, Any], exports: Mapping[str, Any]) -> None:
    info = {"info": {"subdir": folder.name}}
    write_atomically(folder / "run_exports.json", _json({**info, **exports}))
    write_atomically(folder / "repodata.json", _json({**info, **tables, "removed": [], "repodata_version": 1}))


def _entry(path: Path, subdir: str | None = None) -> dict[str, Any]:
    """What the index keeps of one package: its ``repodata.json`` record, its run exports, and what it saw."""

    async def read() -> dict[str, bytes | None]:
        archive = await PackageArchive.from_path(path)
        return await archive.read_files(["info/index.json", "info/run_exports.json"])

    try:
        start, stat = time.time_ns(), _stat(path)
        if path.suffix == ".conda":
            with zipfile.ZipFile(path) as archive:
                if broken := archive.testzip():
                    raise zipfile.BadZipFile(f"checksum of {broken}")
        files = asyncio.run(read())
        record = json.loads(files["info/index.json"] or b"")
        sha256, md5 = digests(path)
        expected = "{name}-{version}-{build}".format_map(record)
    except FileNotFoundError as error:
        raise TtCondaError(f"There is no package {path}.", "Build it first.") from error
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, ExtractError, IoError) as error:
        raise TtCondaError(f"The package {path} cannot be read: {error}", "Delete it and build it again.") from error
    record.setdefault("subdir", subdir or "noarch")
    if not path.name.startswith(expected + ".") or record["subdir"] != (subdir or record["subdir"]):
        raise TtCondaError(
            f"The package {path} says of itself that it is {record['subdir']}/{expected}.", "Move or rename it."
        )
    return {
        "record": {**record, "md5": md5, "sha256": sha256, "size": stat[0]},
        "run_exports": json.loads(files["info/run_exports.json"] or b"{}"),
        "stat": stat if start - stat[1] > _RACY else None,
    }


def _stat(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def _read_cache(folder: Path) -> dict[str, Any]:
    try:
        cache: dict[str, Any] = json.loads((folder / _CACHE).read_text())
    except (OSError, ValueError):
        return {}
    return cache


def _json(content: object) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).replace('},"', '},\n"') + "\n"
