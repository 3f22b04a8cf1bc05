"""No file belongs to two packages: checked on the packages' own lists before anything is installed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from rattler import Client, RepoDataRecord

from tt_conda.base.cache import FactCache
from tt_conda.base.errors import TtCondaError
from tt_conda.base.location import local_path
from tt_conda.base.progress import console
from tt_conda.channel import network
from tt_conda.formats import conda
from tt_conda.formats.wheel import site_packages

_KNOWN: FactCache[list[str]] = FactCache("paths", list[str], __name__)


def check_clobber(records: Sequence[RepoDataRecord]) -> dict[str, list[str]]:
    """What each of ``records`` puts where in the prefix, by package name.

    Raises TtCondaError that names each path which two of them would write, and both packages, if one of the two is
    in a local channel. Where both are somebody else's (conda-forge has such pairs) it is a warning.
    """
    site = next((_site_packages(record) for record in records if record.name.normalized == "python"), "")
    lists = asyncio.run(_all_lists(records))
    paths = {
        record.name.normalized: [conda.installed_path(path, site) for path in files] if record.noarch.python else files
        for record, files in zip(records, lists, strict=True)
    }
    owner: dict[str, RepoDataRecord] = {}
    twice: list[tuple[str, str, str]] = []
    theirs: dict[tuple[str, str], list[str]] = {}
    for record in sorted(records, key=lambda record: record.file_name):
        for path in paths[record.name.normalized]:
            if (other := owner.setdefault(path, record)) is record:
                continue
            if local_path(other.url) or local_path(record.url):
                twice.append((path, other.file_name, record.file_name))
            else:
                theirs.setdefault((other.file_name, record.file_name), []).append(path)
    for (one, two), both in theirs.items():
        more = f" and {len(both) - 1} more" if len(both) > 1 else ""
        console.print(f"warning: {one} and {two} both hold {both[0]}{more}; one of the two stays", markup=False)
    if twice:
        more = f"\n  and {len(twice) - 10} more" if len(twice) > 10 else ""
        raise TtCondaError(
            "Two packages hold the same file; nothing was installed:\n"
            + "\n".join(f"  {path}: {one} and {two}" for path, one, two in twice[:10])
            + more,
            "Give the file to one of them in its recipe, or install only one of them.",
        )
    return paths


async def _all_lists(records: Sequence[RepoDataRecord]) -> list[list[str]]:
    client, few = network.client(), asyncio.Semaphore(16)

    async def one(record: RepoDataRecord) -> list[str]:
        async with few:
            return await _list(record, client)

    return await asyncio.gather(*(one(record) for record in records))


async def _list(record: RepoDataRecord, client: Client) -> list[str]:
    """The paths in one package, cached by its sha256."""
    key = record.sha256.hex() if record.sha256 else ""
    if key and (known := _KNOWN.get(key)) is not None:
        return known
    try:
        package = local_path(record.url) or record.url
        paths = conda.installed_files(await conda.read_members(package, conda.LISTS, client))
    except (OSError, *conda.DAMAGED) as error:
        raise TtCondaError(f"The package {record.url} cannot be read: {error}", "Build or fetch it again.") from error
    if key:
        _KNOWN.put(key, paths)
    return paths


def _site_packages(python: RepoDataRecord) -> str:
    version = ".".join(str(python.version).split(".")[:2])
    return python.python_site_packages_path or site_packages(version)
