"""Which dependencies of a package its channels do not have, so that its tests cannot run here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rattler import BuildString, MatchSpec, PackageRecord

from tt_conda.channel import index
from tt_conda.channel.places import channel_url, local_path

_Tables = dict[str, list[dict[str, Any]]]


def lacking(package: Path, channels: Iterable[str | Path]) -> list[str]:
    """Names of what a package depends on and no channel has, or only in builds that its ``constrains`` keep away.

    A version that is not there is not lacking: a wrong pin must be seen. Empty where a channel is not on this machine.

    Args:
        package: a package file.
        channels: folders or URLs.
    """
    tables: _Tables = {}
    for channel in channels:
        folder = local_path(channel_url(channel))
        if folder is None:
            return []
        for record in index.records(folder).values():
            tables.setdefault(record["name"], []).append(record)
    record = index.read_record(package)
    constrains = [MatchSpec(spec) for spec in record.get("constrains", ())]
    names = dict.fromkeys(spec.split()[0] for spec in record["depends"] if not spec.startswith("__"))
    names.pop(record["name"], None)
    return sorted(
        name for name in names if not any(_goes_with(each, constrains, tables) for each in tables.get(name, ()))
    )


def _goes_with(candidate: dict[str, Any], constrains: list[MatchSpec], tables: _Tables) -> bool:
    """Whether what a package depends on itself can be in one environment with ``constrains``."""
    for spec in constrains:
        name = spec.name.normalized
        for dependency in candidate["depends"]:
            if dependency.split()[0] == name:
                wanted = MatchSpec(dependency)
                if not any(spec.matches(r) and wanted.matches(r) for r in map(_record, tables.get(name, ()))):
                    return False
    return True


def _record(record: dict[str, Any]) -> PackageRecord:
    return PackageRecord(
        record["name"], record["version"], BuildString(record["build"]), record["build_number"], record["subdir"]
    )
