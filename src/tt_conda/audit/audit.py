"""Targets in, findings out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.garbage import uncollected
from tt_conda.audit.rules import all_rules
from tt_conda.audit.scene import Scene

_ORDER = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}


@dataclass
class Report:
    """The result of an audit: its scene, and the findings, worst first."""

    scene: Scene
    findings: list[Finding] = field(default_factory=list)

    @cached_property
    def analyses(self) -> list[Analysis]:
        """Of the scene and of the further environments of the same targets."""
        return [Analysis(each) for each in (self.scene, *self.scene.others)]

    @property
    def is_clean(self) -> bool:
        """Whether there are no findings, or only notes."""
        return all(finding.severity is Severity.NOTE for finding in self.findings)


@uncollected()
def audit(scene: Scene, select: Iterable[str] = ()) -> Report:
    """Apply every rule to a scene.

    Args:
        scene: the targets.
        select: codes, or prefixes of codes (``TC3``), to check; empty means all.
    """
    wanted = tuple(select) or ("TC",)
    rules = [item for code, item in all_rules().items() if code.startswith(wanted)]
    report = Report(scene)
    found = {
        finding.fingerprint: finding
        for each in report.analyses for item in rules for finding in item.check(each)
    }  # fmt: skip
    report.findings = sorted(
        found.values(),
        key=lambda f: (_ORDER[f.severity], -f.bytes, f.code, f.subject, [str(p) for p in f.places]),
    )
    return report
