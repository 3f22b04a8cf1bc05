"""Collect the sources of packages in a folder: ``tt-conda fetch``."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.markup import escape

from tt_conda.base import settings
from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import disk_errors
from tt_conda.base.progress import Stage, console, stage
from tt_conda.building.variants import Output
from tt_conda.inputs.debian import fetch_debs
from tt_conda.inputs.lock import Wheel
from tt_conda.inputs.store import Store
from tt_conda.inputs.transfer import write_listing
from tt_conda.inputs.wheels import fetch_wheel
from tt_conda.offline import cache, git
from tt_conda.offline.download import NotDownloaded, download
from tt_conda.offline.folder import NotThere, SourceFolder
from tt_conda.offline.pins import Archive, Fault, Listed, Pin, Repository, Wanted, wanted

_SOON = 10.0
"""Seconds."""


@dataclass
class Collected:
    """A folder of sources, compared with what some packages are made of."""

    root: Path
    there: list[Pin] = field(default_factory=list)
    """What it had, and is right."""
    fetched: list[Pin] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    """What it lacks or has wrong, now."""


class NotFetched(Exception):
    """A source cannot be had; the message says why."""


def check(root: Path, outputs: Sequence[Output]) -> Collected:
    """Compare a folder with what packages are made of; nothing in it is written.

    Raises:
        TtCondaError: there is no such folder.
    """
    if not root.is_dir():
        raise TtCondaError(f"there is no folder {root}", "Run the command without --check: it makes it.")
    sources = wanted(outputs)
    result = Collected(root, faults=list(sources.faults))
    folder = SourceFolder(root)
    with stage(f"Check {root}", total=len(sources.pins)) as progress:
        for pin in sources.pins:
            progress.describe(pin.name)
            if why := _trouble(folder, pin):
                result.faults.append(sources.fault(pin, why))
            else:
                result.there.append(pin)
            progress.advance()
    return result


def collect(root: Path, outputs: Sequence[Output]) -> Collected:
    """Fetch into a folder what it lacks of what packages are made of; what is there and right stays.

    Each source is put there whole or not at all, so an interrupted call goes on when it is made again. One that cannot
    be had does not keep the others from being fetched.

    Args:
        root: the folder; made if need be.
        outputs: the packages.

    Raises:
        TtCondaError: the folder cannot be written to, or its disk is full.
    """
    sources = wanted(outputs)
    result = Collected(root, faults=list(sources.faults))
    with disk_errors(root, settings.cache_dir()):
        root.mkdir(parents=True, exist_ok=True)
        with stage(f"Sources in {root}", total=len(sources.pins)) as progress:
            for pin in sources.pins:
                progress.describe(pin.name)
                _collect(SourceFolder(root), pin, sources, result, progress)
                progress.advance()
        write_listing(root)
    return result


def _collect(folder: SourceFolder, pin: Pin, sources: Wanted, result: Collected, progress: Stage) -> None:
    if not _trouble(folder, pin):
        result.there.append(pin)
        return
    start = time.monotonic()
    try:
        _fetch(folder, pin, progress)
    except (NotFetched, NotThere) as error:
        result.faults.append(sources.fault(pin, str(error)))
        console.print(f"  {pin.name}: {error}", markup=False, style="yellow")
    else:
        result.fetched.append(pin)
        console.print(f"  {escape(pin.name)} [dim]{time.monotonic() - start:.1f} s[/dim]")


def _trouble(folder: SourceFolder, pin: Pin) -> str:
    """Why a source in the folder cannot be built from; empty: it can."""
    with Store(cache.folder()).scratch() as scratch:
        try:
            folder.verify(pin, scratch)
        except NotThere as error:
            return str(error)
    return ""


def _fetch(folder: SourceFolder, pin: Pin, progress: Stage) -> None:
    with Store(folder.root).scratch() as scratch:
        match pin:
            case Repository():
                _fetch_repository(folder, pin, scratch, progress)
            case Archive():
                _put(_fetch_archive(pin, scratch, progress), folder.root / pin.place)
            case Listed():
                file = Path(shutil.copyfile(_fetch_listed(pin), scratch / pin.entry.filename))
                _put(file, folder.root / pin.place)


def _fetch_repository(folder: SourceFolder, pin: Repository, scratch: Path, progress: Stage) -> None:
    """Fetch a commit or tag, verify it, and then its submodules in the same way."""
    trial = SourceFolder(scratch / "folder")
    bundle = trial.root / pin.place
    bundle.parent.mkdir(parents=True)
    known = (git.bundle_from(there, pin, bundle, scratch / there.name) for there in cache.find_repositories(pin))
    alone = Repository(pin.url, pin.commit, pin.tag, pin.expected_commit)
    try:
        if not any(known):
            git.bundle_of(pin, bundle, scratch / "fetched", _part(progress, pin.name))
        opened = trial.open(alone, scratch / "tree")
        parts = git.submodules(opened.tree, opened.commit, pin.url) if pin.submodules else []
    except git.GitError as error:
        raise NotFetched(str(error)) from None
    place = folder.root / pin.place
    place.parent.mkdir(parents=True, exist_ok=True)
    bundle.replace(place)
    for number, part in enumerate(parts):
        if not _trouble(folder, part.pin):
            continue
        try:
            (inner := scratch / str(number)).mkdir()
            _fetch_repository(folder, part.pin, inner, progress)
        except NotFetched as error:
            raise NotFetched(f"its submodule {part.path}, {part.pin.name}: {error}") from None


def _fetch_archive(pin: Archive, scratch: Path, progress: Stage) -> Path:
    if found := cache.find_archive(pin):
        name = found.name.partition("_")[2]  # KEY_NAME
        return Path(shutil.copyfile(found, scratch / name))
    said = []
    for url in pin.urls:
        try:
            file = download(url, scratch, _part(progress, url))
            if cache.is_pinned(file, pin):
                return file
            file.unlink()
            raise NotDownloaded("the server gives a file with another hash, which was not used")
        except NotDownloaded as error:
            said.append(f"{url}: {error}" if len(pin.urls) > 1 else str(error))
    raise NotFetched("; ".join(said))


def _part(progress: Stage, name: str) -> Callable[[int, int], None]:
    """Show how far a download is; elsewhere than on a terminal only one that takes longer than a few seconds."""
    start = time.monotonic()

    def show(done: int, total: int) -> None:
        if console.is_terminal or time.monotonic() - start > _SOON:
            progress.part(name, done, total)

    return show


def _fetch_listed(pin: Listed) -> Path:
    try:
        if isinstance(pin.entry, Wheel):
            return fetch_wheel(pin.entry, lock=pin.lock)
        return fetch_debs([pin.entry], lock=pin.lock)[pin.entry.sha256]
    except TtCondaError as error:
        raise NotFetched(error.what) from None


def _put(file: Path, place: Path) -> None:
    """Make a file the only one of a folder."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    file.replace(place / file.name)
