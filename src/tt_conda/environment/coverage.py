"""The environments that together install every package of a channel folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tt_conda.base.errors import TtCondaError
from tt_conda.base.location import local_path
from tt_conda.channel import index
from tt_conda.environment import solver

Sorted = tuple[list[list[Path]], list[list[Path]]]


def sort_packages(channel: Path, others: Callable[[], Sequence[str | Path]] = tuple) -> Sorted:
    """Sort the packages of a channel into environments in which they can be installed together.

    The first environment has the newest package of each name; the others have the rest.

    Args:
        channel: the folder.
        others: gives the channels that its packages may take their dependencies from; asked when they need any.

    Returns:
        The package files of each environment. Then each package with a dependency that no channel has, together with
        its available dependencies.
    """
    found, broken = _sort(channel, ())
    return _sort(channel, others()) if broken else (found, broken)


def _sort(channel: Path, others: Sequence[str | Path]) -> Sorted:
    records = _records(channel)
    names = sorted({record["name"] for record in records})
    together = _solve(channel, others, names)
    found = [together] if together else []
    inside = {path.name for chosen in found for path in chosen}
    broken: list[list[Path]] = []
    for record in records:
        if record["file"] in inside:
            continue
        alone = _solve(channel, others, [_exactly(record)])
        if alone is None:
            package = channel / record["subdir"] / record["file"]
            broken.append([package, *_what_is_there(record["depends"], [channel, *others])])
        else:
            found.append(alone)
            inside.update(path.name for path in alone)
    return found, broken


def _solve(channel: Path, others: Sequence[str | Path], specs: list[str]) -> list[Path] | None:
    try:
        records = solver.solve(specs, [channel, *others])
    except TtCondaError:
        return None
    return [path for record in records if (path := local_path(record.url)) is not None]


def _what_is_there(depends: Sequence[str], channels: Sequence[str | Path]) -> list[Path]:
    try:
        records, _ = solver.solve_present(depends, channels)
    except TtCondaError:
        return []
    return [path for record in records if (path := local_path(record.url)) is not None]


def _exactly(record: dict[str, Any]) -> str:
    return f"{record['name']} =={record['version']} {record['build']}"


def _records(channel: Path) -> list[dict[str, Any]]:
    """Name, version, build and file of every package, the newest build first."""
    found = []
    for path, record in index.records(channel).items():
        found.append((record.get("timestamp", 0), {
            "name": record["name"], "version": record["version"], "build": record["build"], "file": path.name,
            "subdir": path.parent.name, "depends": record.get("depends", []),
        }))  # fmt: skip
    return [record for _, record in sorted(found, key=lambda pair: (-pair[0], pair[1]["file"]))]
