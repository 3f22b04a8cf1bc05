"""A channel folder: packages enter and leave it so that it is valid at every moment.

Layout: ``channel/{linux-64,noarch}/`` with the packages and their index (`repodata`), ``channeldata.json``, and pages
for a browser. Every file appears by ``os.replace``, readable for everybody; a package is there before the index that
names it, and leaves after it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rattler import Version
from rattler.exceptions import InvalidVersionError

from tt_conda.base.documents import read_json
from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import digests, disk_errors, let_read, locked, make_shared_folder, sha256_of, write_atomically
from tt_conda.channel import channeldata as channel_wide
from tt_conda.channel import pages, repodata
from tt_conda.formats import conda

SUBDIRS: Final = ("linux-64", "noarch")
KINDS = {".conda": "packages.conda", ".tar.bz2": "packages"}
"""A package's file name ending and the table of ``repodata.json`` that it stands in."""
_CACHE = ".tt-conda-index.json"
_RACY = 20_000_000  # ns: a file younger than this when it was read may change again under the same mtime
_FORMAT = 2  # of that file


def kind_of(name: str) -> str | None:
    """The ``repodata.json`` table for the file ``name``; None for what is not a package (temporary names too)."""
    return next((kind for end, kind in KINDS.items() if name.endswith(end)), None) if name[0] != "." else None


def known_sha256(path: Path) -> str:
    """Sha256 of a package, from the index where the file's size, time and inode are still those it saw."""
    entry = _read_cache(path.parent).get(path.name)
    return str(entry["record"]["sha256"]) if entry and entry["stat"] == _stat(path) else sha256_of(path)


def read_record(path: Path) -> dict[str, Any]:
    """What ``repodata.json`` says, or would say, of a package file.

    Raises TtCondaError where it is damaged.
    """
    record: dict[str, Any] = read_entry(path)["record"]
    return record


def read_entry(path: Path) -> dict[str, Any]:
    """Read a package file: its ``record``, its description (``about``, for ``channeldata.json``), its ``run_exports``.

    Raises TtCondaError where it is damaged.
    """
    entry: dict[str, Any] | None = _read_cache(path.parent).get(path.name)
    return entry if entry and entry["stat"] == _stat(path) else _entry(path)


def in_tables(repodata: str | bytes) -> dict[str, dict[str, Any]]:
    """What a ``repodata.json`` says of each package, by file name.

    Raises:
        ValueError: it is none.
    """
    tables = read_json(repodata)
    try:
        return {name: record for kind in KINDS.values() for name, record in tables.get(kind, {}).items()}
    except AttributeError as error:
        raise ValueError("it holds no tables of packages") from error


def _read_tables(file: Path) -> dict[str, dict[str, Any]]:
    try:
        return in_tables(file.read_bytes())
    except ValueError as error:
        raise TtCondaError(f"{file} is no index: {error}", "Build or copy the channel again.") from error


def records(channel: Path) -> dict[Path, dict[str, Any]]:
    """What a channel folder's index says of each package, by its path; TtCondaError for a damaged index."""
    return {
        table.parent / name: record
        for table in sorted(channel.glob("*/repodata.json"))
        for name, record in _read_tables(table).items()
    }


def publish(
    packages: Iterable[Path],
    channel: Path,
    *,
    keep: bool = False,
    refuse: Callable[[list[Path]], TtCondaError] | None = None,
) -> list[Path]:
    """Move finished packages into ``channel`` (``keep``: leave the originals) and index it; where they are now.

    A package that replaces one of the same name with other content is taken out of ``repodata.json`` first; where
    there is a ``refuse``, what it makes of those is raised instead, and nothing is changed.
    """
    packages = list(packages)
    with _locked(channel), disk_errors(channel):
        moves = {path: channel / _entry(path)["record"]["subdir"] / path.name for path in packages}
        changed = [new for old, new in moves.items() if new.is_file() and digests(new) != digests(old)]
        if changed and refuse:
            raise refuse(changed)
        for folder in {new.parent for new in changed}:
            _index(folder, leave_out={new.name for new in changed})
        for old, new in moves.items():
            _move(old, new, keep)
        _index_all(channel, *(new.parent.name for new in moves.values()))
    return list(moves.values())


@dataclass(frozen=True)
class IndexedPackage:
    """A package as a channel folder lists it."""

    path: Path
    record: dict[str, Any]
    run_exports: dict[str, Any]


def listed(channel: Path) -> list[IndexedPackage]:
    """The packages that a channel folder's index names."""
    exports: dict[Path, dict[str, Any]] = {}
    for file in channel.glob("*/run_exports.json"):
        exports |= {file.parent / name: said for name, said in _read_tables(file).items()}
    return [IndexedPackage(path, record, exports.get(path, {})) for path, record in records(channel).items()]


def link(packages: Iterable[IndexedPackage], channel: Path) -> None:
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
        repodata.write_plain(channel / subdir, tables, exports)


def remove(packages: Iterable[Path], channel: Path) -> None:
    """Take ``packages`` (paths in the channel) out of ``repodata.json``, then delete them."""
    packages = list(packages)
    with _locked(channel):
        for folder in {path.parent for path in packages}:
            _index(folder, leave_out={path.name for path in packages if path.parent == folder})
        for path in packages:
            path.unlink(missing_ok=True)
        _index_all(channel)


def validate(channel: Path) -> None:
    """Hash every package that ``channel`` names; TtCondaError naming each that is missing, truncated or other."""
    wrong: list[str] = []
    for subdir in {*SUBDIRS, *(path.parent.name for path in channel.glob("*/repodata.json"))}:
        file = channel / subdir / repodata.PLAIN
        try:
            table = in_tables(file.read_bytes())
        except (OSError, ValueError) as error:
            wrong.append(f"{file}: {error}")
            continue
        for name, record in sorted(table.items()):
            path = file.parent / name
            if not path.is_file():
                wrong.append(f"{path}: missing")
            elif (size := path.stat().st_size) != record["size"]:
                wrong.append(f"{path}: {size} bytes instead of {record['size']}")
            elif (found := sha256_of(path)) != record["sha256"]:
                wrong.append(f"{path}: sha256 {found} instead of {record['sha256']}")
    if wrong:
        raise TtCondaError(
            f"The channel {channel} is not what it says:\n  " + "\n  ".join(sorted(wrong)),
            "Delete those files and run `tt-conda build` again.",
        )


@contextmanager
def _locked(channel: Path) -> Iterator[None]:
    """Keep other processes out of ``channel``; sweep what a killed one left behind."""
    for subdir in SUBDIRS:
        make_shared_folder(channel / subdir)
    with locked(channel / ".tt-conda.lock"):
        for pattern in (".*.partial", "[!.]*/.*.partial", "[!.]*/shards/.*.partial"):
            for partial in channel.glob(pattern):
                partial.unlink()
        yield


def _move(old: Path, new: Path, keep: bool) -> None:
    make_shared_folder(new.parent)
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


def _index_all(channel: Path, *further: str) -> None:
    """Index the subdirs of a channel, its usual ones and `further`, then what is said of the whole channel."""
    entries = [entry for subdir in sorted({*SUBDIRS, *further}) for entry in _index(channel / subdir).values()]
    packages = [(entry["record"], entry["about"], entry["run_exports"]) for entry in entries]
    data = channel_wide.channeldata(packages, {*SUBDIRS, *further})
    with disk_errors(channel):
        write_atomically(channel / channel_wide.NAME, repodata.compact_json(data), shared=True)
        write_atomically(channel / pages.NAME, pages.channel_page(channel.resolve().name, data), shared=True)


def _index(folder: Path, leave_out: Collection[str] = ()) -> dict[str, Any]:
    """Index a subdir; what the index keeps of each package, by file name."""
    known = _read_cache(folder)
    entries: dict[str, Any] = {}
    for path in sorted(folder.iterdir()):
        if kind_of(path.name) and path.name not in leave_out:
            seen = known.get(path.name)
            entries[path.name] = seen if seen and seen["stat"] == _stat(path) else _entry(path, folder.name)
            let_read(path)
    tables: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS.values()}
    exports: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS.values()}
    for name, entry in entries.items():
        if kind := kind_of(name):
            tables[kind][name] = entry["record"]
            exports[kind][name] = {"run_exports": entry["run_exports"]}
    with disk_errors(folder):
        repodata.write(folder, tables, exports)
        page = pages.subdir_page(folder.name, {name: entry["record"] for name, entry in entries.items()})
        write_atomically(folder / pages.NAME, page, shared=True)
        write_atomically(folder / _CACHE, repodata.compact_json({"format": _FORMAT, "packages": entries}))
    return entries


def _entry(path: Path, subdir: str | None = None) -> dict[str, Any]:
    """What the index keeps of one package: its record, its description, its run exports, and what it saw."""

    try:
        start, stat = time.time_ns(), _stat(path)
        if path.suffix == ".conda":
            with zipfile.ZipFile(path) as archive:
                if broken := archive.testzip():
                    raise zipfile.BadZipFile(f"checksum of {broken}")
        members = ("info/index.json", "info/run_exports.json", *channel_wide.MEMBERS)
        files = asyncio.run(conda.read_members(path, members))
        record = read_json(files["info/index.json"] or b"")
        sha256, md5 = digests(path)
        expected = "{name}-{version}-{build}".format_map(record)
        about = channel_wide.describe(files)
        Version(record["version"])  # that indexes can be sorted by
    except FileNotFoundError as error:
        raise TtCondaError(f"There is no package {path}.", "Build it first.") from error
    except (OSError, InvalidVersionError, *conda.DAMAGED) as error:
        raise TtCondaError(f"The package {path} cannot be read: {error}", "Delete it and build it again.") from error
    record.setdefault("subdir", subdir or "noarch")
    if not path.name.startswith(expected + ".") or record["subdir"] != (subdir or record["subdir"]):
        raise TtCondaError(
            f"The package {path} says of itself that it is {record['subdir']}/{expected}.", "Move or rename it."
        )
    return {
        "record": {**record, "md5": md5, "sha256": sha256, "size": stat[0]},
        "about": about,
        "run_exports": read_json(files["info/run_exports.json"] or b"{}"),
        "stat": stat if start - stat[1] > _RACY else None,
    }


def _stat(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def _read_cache(folder: Path) -> dict[str, Any]:
    try:
        cache = read_json((folder / _CACHE).read_text())
        packages: dict[str, Any] = cache["packages"] if cache.get("format") == _FORMAT else {}
    except (OSError, ValueError, KeyError):
        return {}
    return packages
