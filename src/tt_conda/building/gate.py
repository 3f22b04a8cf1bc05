"""What building asks of the audit: a package in which it finds an error is not published."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from tt_conda.audit.audit import audit
from tt_conda.audit.config import load_config
from tt_conda.audit.finding import Severity
from tt_conda.audit.targets import read_targets
from tt_conda.audit.verdict import judge
from tt_conda.base.errors import TtCondaError
from tt_conda.base.location import local_path
from tt_conda.building.inventory import package_facts
from tt_conda.building.missing import missing_dependencies
from tt_conda.channel import index
from tt_conda.environment import prefix as prefixes
from tt_conda.environment import solver


def check_package(package: Path, recipe: Path, channels: Sequence[str | Path]) -> list[str]:
    """Audit a package that was just built, among its dependencies.

    Args:
        package: the file.
        recipe: the folder of its recipe; an ``audit.toml`` there says what is known and stays.
        channels: where its dependencies come from; what one that is in none of them would bring is not missed.

    Returns:
        The warnings about it that its recipe does not ignore, the costliest first.

    Raises:
        TtCondaError: one of them is an error.
    """
    facts = package_facts(package)
    if not facts.objects:
        return []
    with tempfile.TemporaryDirectory(prefix="tt-conda-gate-") as folder:
        needed, absent = _dependencies(package, channels, Path(folder, "prefix"))
        with read_targets([package, *needed]) as scene:
            scene.kind = "files" if absent else "installed"
            verdict = judge(audit(scene), load_config(folder=recipe))
    if lost := [item for item in scene.unreadable if item.owner in {path.name for path in needed}]:
        raise TtCondaError(
            f"{lost[0].owner}, which {package.name} needs, cannot be read: {lost[0].why}", "Run the same command again."
        )
    owner = f"{facts.name} {facts.version}"
    mine = [finding for finding in verdict.findings if any(place.owner == owner for place in finding.places)]
    if absent:  # what is missing is known to be: its package is
        mine = [finding for finding in mine if finding.code != "TC201"]
    errors = [finding for finding in mine if finding.severity is Severity.ERROR]
    if errors:
        said = "\n".join(f"  {finding.code} {finding.message}" for finding in errors)
        raise TtCondaError(
            f"{package.name} is not published, because of what the audit found in it:\n{said}",
            f"{errors[0].remedy}\nWhat a rule means: tt-conda explain {errors[0].code}. What is known and stays goes,"
            f" with its reason, into {recipe / 'audit.toml'}.",
        )
    return [f"{finding.code} {finding.message}" for finding in mine if finding.severity is Severity.WARNING]


def _dependencies(
    package: Path, channels: Sequence[str | Path], prefix: Path
) -> tuple[list[Path], list[str]]:  # fmt: skip
    """Dependencies as targets: packages on this machine as they are, those of other channels in an environment.

    And the names of those that no channel has, or not in a build that the package can be with.
    """
    record = index.read_record(package)
    absent = missing_dependencies(package, channels)
    specs = [spec for spec in record["depends"] if not spec.startswith("__") and spec.split()[0] not in absent]
    records = solver.solve(specs, channels, constraints=record.get("constrains", ())) if specs else []
    packages = [local_path(record.url) for record in records]
    here = [path for path in packages if path is not None]
    if len(here) == len(packages):
        return here, absent
    with prefixes.locked(prefix):
        prefixes.transact(records, prefix, specs, distrust=False)
    return [prefix], absent
