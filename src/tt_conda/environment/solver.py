"""Which packages satisfy specs on this machine: solved by py-rattler from one or more channels."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from pathlib import Path

import rattler
from rattler import Gateway, MatchSpec, Override, RepoDataRecord, VirtualPackage, VirtualPackageOverrides
from rattler.exceptions import (
    FetchRepoDataError,
    GatewayError,
    InvalidMatchSpecError,
    SolverError,
)

from tt_conda.base.errors import TtCondaError
from tt_conda.base.location import channel_url, local_path
from tt_conda.base.settings import cache_dir
from tt_conda.channel import index, network

_UNREADABLE = (GatewayError, FetchRepoDataError, OSError)


def solve(
    specs: Sequence[str],
    channels: Sequence[str | Path],
    locked: Sequence[RepoDataRecord] | None = None,
    constraints: Sequence[str] = (),
    glibc: str = "",
) -> list[RepoDataRecord]:
    """The packages that satisfy ``specs`` on this machine, in order of installation; ``locked`` are preferred.

    A package that one of ``constraints`` names satisfies it, if it comes at all. Channels come in order of priority
    (strict). ``glibc``: the version to choose for, instead of this machine's. Raises TtCondaError with the solver's own
    explanation.
    """
    urls = list(dict.fromkeys(map(channel_url, channels)))  # output/ may be given, too
    parse_specs([*specs, *constraints])
    overrides = VirtualPackageOverrides(libc=Override.string(glibc) if glibc else None)
    try:
        solution = asyncio.run(
            rattler.solve(
                urls,
                list(specs),
                gateway=_gateway(urls),
                virtual_packages=VirtualPackage.detect(overrides),
                locked_packages=_still_there(locked or ()),
                constraints=list(constraints) or None,
            )
        )
        order = [record.name.normalized for record in RepoDataRecord.sort_topologically(list(solution))]
        return sorted(solution, key=lambda record: order.index(record.name.normalized))
    except SolverError as error:
        raise TtCondaError(
            f"{', '.join([*specs, *constraints])} cannot be installed here.\n{str(error).strip()}",
            f"Searched: {', '.join(urls)}. Loosen a version, build what is missing (`tt-conda build`), or add a"
            " --channel.",
        ) from error
    except _UNREADABLE as error:
        raise _unreadable(urls, error) from error


def offered(names: Collection[str], channels: Sequence[str | Path]) -> dict[str, list[RepoDataRecord]]:
    """The packages called ``names`` that a solver sees: of each name those in the first channel that has it.

    Raises TtCondaError where a channel cannot be read.
    """
    urls = list(dict.fromkeys(map(channel_url, channels)))
    found: dict[str, list[RepoDataRecord]] = {}
    try:
        answers = asyncio.run(_gateway(urls).query(urls, index.SUBDIRS, sorted(names), recursive=False))
    except _UNREADABLE as error:
        raise _unreadable(urls, error) from error
    for records in answers:
        here: dict[str, list[RepoDataRecord]] = {}
        for record in records:
            here.setdefault(record.name.normalized, []).append(record)
        found = {**here, **found}
    return found


def solve_present(specs: Sequence[str], channels: Sequence[str | Path]) -> tuple[list[RepoDataRecord], list[str]]:
    """The packages that satisfy those of ``specs`` that the channels have, and the names of the others.

    Raises TtCondaError where what is there does not fit together, too.
    """
    wanted = parse_specs([spec for spec in specs if not spec.startswith("__")])
    present = offered(wanted, channels)
    absent = [name for name in wanted if name not in present]
    rest = [spec for name, spec in wanted.items() if name in present]
    return solve(rest, channels) if rest else [], absent


def _gateway(urls: Sequence[str]) -> Gateway:
    return network.gateway(cache_dir() / "repodata", [url for url in urls if url.startswith("file:")])


def _unreadable(urls: Sequence[str], error: Exception) -> TtCondaError:
    return TtCondaError(f"A channel cannot be read ({', '.join(urls)}):\n{error}", "Check its name and the network.")


def parse_specs(specs: Sequence[str]) -> dict[str, str]:
    """``specs`` by package name.

    Raises:
        TtCondaError: one is not a package spec.
    """
    parsed = {}
    for spec in specs:
        try:
            parsed[MatchSpec(spec, strict=True).name.normalized] = spec
        except InvalidMatchSpecError as error:
            raise TtCondaError(f"{spec!r} is not a package spec: {error}", "Write it as 'name >=1.2'.") from error
    return parsed


def _still_there(records: Sequence[RepoDataRecord]) -> list[RepoDataRecord]:
    """Those of ``records`` that a local channel has not replaced: rattler would prefer them even when gone."""
    tables: dict[Path, dict[Path, dict[str, str]]] = {}
    kept = []
    for record in records:
        path = local_path(record.url)
        if path is None:
            kept.append(record)
            continue
        channel = path.parent.parent
        if channel not in tables:
            try:
                tables[channel] = index.records(channel)
            except (OSError, ValueError):
                tables[channel] = {}
        found = tables[channel].get(path, {}).get("sha256")
        if record.sha256 and found == record.sha256.hex():
            kept.append(record)
    return kept
