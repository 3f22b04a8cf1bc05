"""Before a build: its sources from a folder, all of them verified, into the caches that builds take them from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tt_conda.base import settings
from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import disk_errors, locked
from tt_conda.base.progress import stage
from tt_conda.building.variants import Output
from tt_conda.inputs.store import Store
from tt_conda.offline import cache
from tt_conda.offline.folder import NotThere, Opened, SourceFolder
from tt_conda.offline.pins import Archive, Fault, Repository, wanted


def supply(root: Path, outputs: Sequence[Output]) -> None:
    """Verify every source of packages in a folder, and have builds take them from there.

    Args:
        root: the folder of sources, one that ``check`` accepts.
        outputs: what is going to be built.

    Raises:
        TtCondaError: the folder lacks sources or has other ones (nothing of it was used then); the disk is full.
    """
    check(root)
    sources = wanted(outputs)
    faults = list(sources.faults)
    folder = SourceFolder(root)
    with disk_errors(settings.cache_dir()), _lock(), Store(cache.folder()).scratch() as scratch:
        ours = [pin for pin in sources.pins if isinstance(pin, Repository | Archive)]
        keys = dict(zip(ours, cache.keys(ours), strict=True))
        archives: dict[Archive, Path] = {}
        repositories: dict[Repository, Opened] = {}
        with stage(f"Sources from {root}", total=len(sources.pins)) as progress:
            for number, pin in enumerate(sources.pins):
                progress.describe(pin.name)
                try:
                    match pin:
                        case Repository():
                            opened = folder.open(pin, scratch / str(number))
                            if not cache.is_there(keys[pin], opened.commit):
                                opened.check_out()
                                repositories[pin] = opened
                        case Archive():
                            archives[pin] = folder.file(pin)
                        case _:
                            folder.file(pin)
                except NotThere as error:
                    faults.append(sources.fault(pin, str(error)))
                progress.advance()
            if faults:
                raise lacking(root, faults, len(sources.pins) + len(sources.faults))
            for archive, file in archives.items():
                if not cache.is_there(keys[archive]):
                    cache.put_archive(archive, keys[archive], file)
            for repository, opened in repositories.items():
                cache.put_checkout(repository, keys[repository], opened.tree, opened.commit)
    settings.ask_store_first(root)


def check(root: Path) -> None:
    """Refuse what is no folder, before anything else is done.

    Raises:
        TtCondaError: there is none, or its name cannot stand in ``TT_CONDA_STORES``.
    """
    if not root.is_dir():
        raise TtCondaError(
            f"--sources: there is no folder {root}", "Name one that `tt-conda fetch` made (also: TT_CONDA_SOURCES)."
        )
    if "," in str(root):
        raise TtCondaError(f"--sources: {root} has a comma in its name", "Rename the folder, or link to it.")


def lacking(root: Path, faults: Sequence[Fault], total: int) -> TtCondaError:
    """The error that names what a folder of sources lacks, or has wrong."""
    lines = [f"  {fault.name}\n    for {', '.join(fault.wanted_by)}: {fault.why}" for fault in faults]
    return TtCondaError(
        "\n".join([f"{root}: {len(faults)} of {total} sources are missing or wrong:", *lines]),
        "Where there is a network, run `tt-conda fetch` on the folder with the same packages and options: it fetches "
        "what is missing or wrong, and nothing else.",
    )


@contextmanager
def _lock() -> Iterator[None]:
    """Keep another process from putting the same sources into the cache."""
    cache.folder().mkdir(parents=True, exist_ok=True)
    with locked(cache.folder() / ".supply.lock"):
        yield
