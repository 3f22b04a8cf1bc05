"""Lock files in pixi's format (rattler-lock v7, ``pixi.lock``), written and installed exactly.

A package of a channel near the lock file is written as a path relative to it, so that a checkout can be moved.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
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

from tt_conda.channel import prefix as prefixes
from tt_conda.channel.places import channel_url, local_path
from tt_conda.errors import TtCondaError

_UPWARDS = 3
"""A channel at most this many folders above the lock file is near it."""


def write_lock(
    path: Path, records: Sequence[RepoDataRecord], specs: Sequence[str], channels: Sequence[str | Path]
) -> None:
    """Write ``path``: every record with its location, sha256, md5 and size (bytes), for this platform.

    ``specs`` are kept in comments. Raises TtCondaError for a record without sha256.
    """
    if bare := [record.file_name for record in records if not record.sha256]:
        raise TtCondaError(f"Channel without sha256 for {', '.join(bare)}.", "Index it with `tt-conda build`.")
    platform = LockPlatform(str(Subdir.current()))
    lock = LockFile([platform])
    lock.set_channels("default", [LockChannel(channel_url(channel)) for channel in channels])
    for record in records:
        lock.add_conda_package("default", platform, record)
    path = path.absolute()
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
        partial.write_text("# Written by `tt-conda lock`; for:\n" + "".join(f"#   {s}\n" for s in specs) + text)
        partial.replace(path)
    except OSError as error:
        raise TtCondaError(f"{path} cannot be written: {error}", "Choose another place.") from error
    finally:
        partial.unlink(missing_ok=True)


def read_lock(path: Path, channels: Sequence[str | Path] = ()) -> list[RepoDataRecord]:
    """The packages that ``path`` locks for this platform, where they are.

    ``channels`` (folders) are searched first, by file name; then the lock file's own location counts, relative to it.
    """
    path, here = path.absolute(), str(Subdir.current())
    again = f"Write it again: tt-conda lock SPEC… --output {path}"
    if not path.is_file():
        raise TtCondaError(f"There is no lock file {path}.", again)
    try:
        found = LockFile.from_path(path).default_environment()
        platforms = found.packages_by_platform() if found else {}
    except (ParseCondaLockError, ConversionError, IoError, OSError) as error:
        raise TtCondaError(f"{path} is not a lock file: {error}", again) from error
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


def install_frozen(
    path: Path, prefix: Path, channels: Sequence[str | Path] = (), specs: Sequence[str] = ()
) -> list[RepoDataRecord]:
    """Make ``prefix`` hold exactly what ``path`` locks, or refuse before anything is written.

    Refused, each with a TtCondaError: a missing package, one with another sha256, a machine that the packages do not
    run on (``__glibc`` and its like), a spec of ``specs`` that the lock does not satisfy.
    """
    records = read_lock(path, channels)
    again = f"tt-conda lock {' '.join(map(repr, specs))} --output {path}"
    for spec in specs:
        if not any(MatchSpec(spec).matches(record) for record in records):
            raise TtCondaError(f"{path} does not hold {spec!r}.", again)
    _fits_machine(records)
    with prefixes.alone(prefix):
        prefixes.transact(records, prefix, [*specs] or _specs(path), distrust=True)
    return records


def _specs(path: Path) -> list[str]:
    """What the lock file was written for, from its comments."""
    return re.findall(r"^#   (.+)$", path.read_text(), flags=re.M)


def _fits_machine(records: Sequence[RepoDataRecord]) -> None:
    """The solver is not asked about a lock file, so the virtual packages are compared here."""
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
