"""Which dependencies of a package its channels do not have, so that its tests cannot run here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rattler import MatchSpec, RepoDataRecord

from tt_conda.channel import index
from tt_conda.environment import solver


def missing_dependencies(package: Path, channels: Sequence[str | Path]) -> list[str]:
    """Names of what a package depends on and no channel has, or only in builds that its ``constrains`` keep away.

    A version that is not there is not lacking: a wrong pin must be seen.

    Args:
        package: a package file.
        channels: folders or URLs, in order of priority.

    Raises:
        TtCondaError: a channel cannot be read.
    """
    record = index.read_record(package)
    constrains = {spec.split()[0]: MatchSpec(spec) for spec in record.get("constrains", ())}
    names = {spec.split()[0] for spec in record["depends"] if not spec.startswith("__")} - {record["name"]}
    offered = solver.offered(names | constrains.keys(), channels)
    return sorted(
        name for name in names if not any(_goes_with(each, constrains, offered) for each in offered.get(name, ()))
    )


def _goes_with(
    candidate: RepoDataRecord, constrains: Mapping[str, MatchSpec], offered: Mapping[str, list[RepoDataRecord]]
) -> bool:
    """Whether what a package depends on itself can be in one environment with ``constrains``."""
    for spec in candidate.depends:
        if constraint := constrains.get(name := spec.split()[0]):
            dependency = MatchSpec(spec)
            if not any(constraint.matches(each) and dependency.matches(each) for each in offered.get(name, ())):
                return False
    return True
