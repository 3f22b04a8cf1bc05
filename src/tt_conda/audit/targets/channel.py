"""Channel folders: the environments that together install every package in them, each a scene."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tt_conda.channel import environment
from tt_conda.channel.places import local_path
from tt_conda.errors import TtCondaError


def environments(channel: Path, others: Sequence[str | Path] = ()) -> tuple[list[list[Path]], list[Path]]:
    """Sort the packages of a channel into environments in which they can be installed together.

    The first holds the newest of each; the following ones hold what is left, until every package is in one.

    Args:
        channel: the folder.
        others: channels that its packages may take their dependencies from.

    Returns:
        The package files of each environment, and those that cannot be installed: what they need is not there.
    """
    records = _records(channel)
    names = sorted({record["name"] for record in records})
    together = _solve(channel, others, names)
    found = [together] if together else []
    inside = {path.name for chosen in found for path in chosen}
    broken: list[Path] = []
    for record in records:
        if record["file"] in inside:
            continue
        alone = _solve(channel, others, [_exactly(record)])
        if alone is None:
            broken.append(channel / record["subdir"] / record["file"])
        else:
            found.append(alone)
            inside.update(path.name for path in alone)
    return found, broken


def _solve(channel: Path, others: Sequence[str | Path], specs: list[str]) -> list[Path] | None:
    try:
        records = environment.solve(specs, [channel, *others])
    except TtCondaError:
        return None
    return [path for record in records if (path := local_path(record.url)) is not None]


def _exactly(record: dict[str, str]) -> str:
    return f"{record['name']} =={record['version']} {record['build']}"


def _records(channel: Path) -> list[dict[str, str]]:
    """Name, version, build and file of every package, the newest build first."""
    found = []
    for table in sorted(channel.glob("*/repodata.json")):
        data = json.loads(table.read_text())
        for kind in ("packages", "packages.conda"):
            for file, record in data.get(kind, {}).items():
                found.append((record.get("timestamp", 0), {
                    "name": record["name"], "version": record["version"], "build": record["build"], "file": file,
                    "subdir": table.parent.name,
                }))  # fmt: skip
    return [record for _, record in sorted(found, key=lambda pair: (-pair[0], pair[1]["file"]))]
