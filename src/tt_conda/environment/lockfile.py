"""Lock files in pixi's format (rattler-lock v7, ``pixi.lock``), written and installed exactly.

A package of a channel near the lock file is written as a path relative to it, so that a checkout can be moved.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rattler import (
    LockChannel,
    LockFile,
    LockPlatform,
    MatchSpec,
    PackageName,
    PackageRecord,
    RepoDataRecord,
    Subdir,
    VirtualPackage,
)
from rattler.exceptions import ConversionError, IoError, ParseCondaLockError
from rattler.lock.package import CondaLockedBinaryPackage

from tt_conda.base.errors import TtCondaError
from tt_conda.base.location import channel_url, local_path
from tt_conda.environment import prefix as prefixes

_UPWARDS = 3
"""A channel at most this many folders above the lock file is near it."""


DEFAULT = "default"
"""The environment that a lock file has where no other is named."""

WORKSPACE = "tt-conda.lock"
"""Name of a workspace's lock file, beside its ``pixi.toml``."""


@dataclass(frozen=True)
class Locked:
    """What a lock file holds of one environment."""

    records: Sequence[RepoDataRecord]
    specs: Sequence[str]
    """What it was solved for."""


def write_lock(
    path: Path, records: Sequence[RepoDataRecord], specs: Sequence[str], channels: Sequence[str | Path]
) -> None:
    """Write ``path`` for one environment; see :func:`write_locks` and :func:`check_place`."""
    check_place(path)
    write_locks(path, {DEFAULT: Locked(records, specs)}, channels)


def write_locks(path: Path, environments: Mapping[str, Locked], channels: Sequence[str | Path]) -> None:
    """Write ``path``: every record with its location, sha256, md5 and size (bytes), for this platform.

    What they are for is kept in comments. Raises TtCondaError for a record without sha256, and where ``path`` is there
    and no file: what it holds depends on where it lies, so it is no stream.
    """
    records = [record for locked in environments.values() for record in locked.records]
    if bare := [record.file_name for record in records if not record.sha256]:
        raise TtCondaError(f"Channel without sha256 for {', '.join(bare)}.", "Index it with `tt-conda build`.")
    platform = LockPlatform(str(Subdir.current()))
    lock = LockFile([platform])
    head = "# Written by `tt-conda lock`; for:\n"
    for name, locked in environments.items():
        lock.set_channels(name, [LockChannel(channel_url(channel)) for channel in channels])
        for record in locked.records:
            lock.add_conda_package(name, platform, record)
        head += f"# {name}:\n" + "".join(f"#   {spec}\n" for spec in locked.specs)
    path = path.absolute()
    if path.exists() and not path.is_file():
        raise TtCondaError(f"{path} cannot be written: it is no file.", "Choose another place.")
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.to_path(partial)
        text = partial.read_text()
        for folder in {file.parent for record in records if (file := local_path(record.url))}:
            near = os.path.relpath(folder, path.parent)
            near = near if near.startswith("..") else f"./{near}"
            if near.count("..") <= _UPWARDS:
                text = re.sub(rf"^(\s*- conda: ){re.escape(str(folder))}/", rf"\g<1>{near}/", text, flags=re.M)
        partial.write_text(head + text)
        partial.replace(path)
    except (OSError, IoError) as error:
        raise TtCondaError(f"{path} cannot be written: {error}", "Choose another place.") from error
    finally:
        partial.unlink(missing_ok=True)


def read_lock(path: Path, channels: Sequence[str | Path] = (), environment: str = DEFAULT) -> list[RepoDataRecord]:
    """The packages that ``path`` locks of an environment for this platform, where they are.

    ``channels`` (folders) are searched first, by file name; then the lock file's own location counts, relative to it.
    """
    path, here = path.absolute(), str(Subdir.current())
    again = _again(path)
    lock = _read(path)
    try:
        found = lock.environment(environment)
        platforms = found.packages_by_platform() if found else {}
    except ConversionError as error:
        raise TtCondaError(f"{path} is not a lock file: {error}", again) from error
    if found is None:
        has = ", ".join(names(path)) or "none"
        raise TtCondaError(f"{path} has no environment {environment!r}; it has: {has}.", again)
    packages = next((found for platform, found in platforms.items() if str(platform.subdir) == here), None)
    if packages is None:
        others = ", ".join(sorted(str(platform) for platform in platforms)) or "nothing"
        raise TtCondaError(f"{path} is for {others}, and this machine is {here}.", again)
    folders = [folder for channel in channels if (folder := local_path(channel_url(channel)))]
    records = []
    for package in packages:
        record = package.package_record if isinstance(package, CondaLockedBinaryPackage) else None
        if record is None or not record.sha256:
            raise TtCondaError(f"{path} has no sha256 for {package.location}.", again)
        name = package.location.rsplit("/", 1)[1]
        places = [folder / record.subdir / name for folder in folders]
        own = local_path(package.location)
        place = next((place for place in places if place.is_file()), path.parent / own if own else None)
        url = Path(os.path.normpath(place)).as_uri() if place else package.location
        records.append(RepoDataRecord(record, name, url, url.rsplit("/", 2)[0]))
    return records


def names(path: Path) -> list[str]:
    """The environments that a lock file has, sorted; TtCondaError where it is none."""
    return sorted(name for name, _ in _read(path.absolute()).environments())


def check_place(path: Path) -> None:
    """Raise TtCondaError where ``path`` is, or would be, a workspace's, which has environments of its own."""
    if _of_workspace(path):
        raise TtCondaError(
            f"{path} is for the environments of the pixi.toml beside it.",
            "Name another file with --output; or name the packages in pixi.toml, and call `tt-conda lock` alone.",
        )


def _of_workspace(path: Path) -> bool:
    path = path.resolve()
    return path.name == WORKSPACE and path.with_name("pixi.toml").is_file()


def _read(path: Path) -> LockFile:
    if not path.is_file():
        raise TtCondaError(f"There is no lock file {path}.", _again(path))
    try:
        return LockFile.from_path(path)
    except (ParseCondaLockError, ConversionError, IoError, OSError) as error:
        raise TtCondaError(f"{path} is not a lock file: {error}", _again(path)) from error


def _again(path: Path, specs: str = "SPEC…") -> str:
    if _of_workspace(path):
        return f"Write it again, in {path.absolute().parent}: tt-conda lock"
    return f"Write it again: tt-conda lock {specs} --output {path}"


def install_frozen(
    path: Path,
    prefix: Path,
    channels: Sequence[str | Path] = (),
    specs: Sequence[str] = (),
    environment: str = DEFAULT,
) -> list[RepoDataRecord]:
    """Make ``prefix`` hold exactly what ``path`` locks of an environment, or refuse before anything is written.

    Refused, each with a TtCondaError: a missing package, one with another sha256, a machine that the packages do not
    run on (``__glibc`` and its like), a spec of ``specs`` that the lock does not satisfy.
    """
    records = read_lock(path, channels, environment)
    again = _again(path, " ".join(map(repr, specs)))
    for spec in specs:
        if not any(MatchSpec(spec).matches(record) for record in records):
            raise TtCondaError(f"{path} does not hold {spec!r}.", again)
    fits_machine(records)
    with prefixes.locked(prefix):
        prefixes.transact(records, prefix, [*specs] or locked_specs(path, environment), distrust=True)
    return records


def locked_specs(path: Path, environment: str = DEFAULT) -> list[str]:
    """What the lock file was written for, from its comments."""
    section = re.search(rf"^# {re.escape(environment)}:\n((?:#   .+\n)*)", path.read_text(), flags=re.M)
    return re.findall(r"^#   (.+)$", section[1], flags=re.M) if section else []


def fits_machine(records: Sequence[RepoDataRecord]) -> None:
    """Raise TtCondaError for a package that this machine's ``__glibc`` and its like do not satisfy.

    The solver, which would do so, is not asked about a lock file.
    """
    detected = [virtual.into_generic() for virtual in VirtualPackage.detect()]
    has = {
        virtual.name.normalized: PackageRecord(
            PackageName(virtual.name.normalized), str(virtual.version), virtual.build_string, 0, "noarch"
        )
        for virtual in detected
    }
    for record in records:
        for spec in (MatchSpec(depend) for depend in record.depends if depend.startswith("__")):
            virtual = has.get(spec.name.normalized)
            if virtual is None or not spec.matches(virtual):
                found = f"{virtual.name.normalized} {virtual.version}" if virtual else "none"
                raise TtCondaError(
                    f"{record.file_name} needs {spec}, and this machine has {found}.", "Use a newer system."
                )
