"""Apply a project's decisions to a report: ignored, accepted and open findings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tt_conda.audit.audit import Report
from tt_conda.audit.baseline import Accepted
from tt_conda.audit.config import Config, Ignore
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.rules import all_rules, nearest
from tt_conda.audit.scene import Scene
from tt_conda.base.errors import TtCondaError

BADNESS = {Severity.NOTE: 0, Severity.WARNING: 1, Severity.ERROR: 2}


@dataclass
class Verdict:
    """A report's findings, sorted by decision."""

    report: Report
    findings: list[Finding] = field(default_factory=list)
    """Neither ignored nor accepted, worst first."""
    ignored: list[tuple[Finding, str]] = field(default_factory=list)
    """With the reason."""
    accepted: list[Finding] = field(default_factory=list)
    """Listed in the baseline file."""
    gone: list[Accepted] = field(default_factory=list)
    """Listed in the baseline file, but no longer found."""
    unused: list[Ignore] = field(default_factory=list)
    """Ignores of the configuration file that matched nothing."""
    fail_on: Severity = Severity.WARNING

    @property
    def scene(self) -> Scene:
        """What was judged."""
        return self.report.scene

    @property
    def is_clean(self) -> bool:
        """Whether no open finding has severity :attr:`fail_on` or higher."""
        return all(BADNESS[finding.severity] < BADNESS[self.fail_on] for finding in self.findings)


def judge(
    report: Report, config: Config | None = None, *, select: Iterable[str] = (), ignore: Iterable[str] = (),
    accepted: Sequence[Accepted] = (), severity: Severity = Severity.NOTE,
) -> Verdict:  # fmt: skip
    """Sort a report's findings by the decisions about them.

    Args:
        report: the findings.
        config: the project's decisions.
        select: the codes, or prefixes of codes, that were checked; empty means all.
        ignore: codes, or prefixes of codes, to ignore in this run.
        accepted: the findings of a baseline file.
        severity: hide findings of lower severity.
    """
    config = config or Config()
    looked_for, dropped = tuple(select) or ("TC",), tuple(ignore)
    verdict = Verdict(report, fail_on=config.fail_on)
    known = {item.fingerprint for item in accepted}
    used: set[Ignore] = set()
    for finding in report.findings:
        hit = [item for item in config.ignore if item.matches(finding)]
        used.update(hit)
        if BADNESS[finding.severity] < BADNESS[severity]:
            continue
        if hit:
            verdict.ignored.append((finding, hit[0].reason))
        elif dropped and finding.code.startswith(dropped):
            verdict.ignored.append((finding, "--ignore on the command line"))
        elif finding.fingerprint in known:
            verdict.accepted.append(finding)
        else:
            verdict.findings.append(finding)
    there = {finding.fingerprint for finding in report.findings}
    verdict.gone = [a for a in accepted if a.fingerprint not in there and a.code.startswith(looked_for)]
    verdict.unused = [item for item in config.ignore if item not in used and item.code.startswith(looked_for)]
    return verdict


def check_codes(codes: Iterable[str], option: str) -> list[str]:
    """Codes or prefixes of codes in capitals, from values of ``--select``: also names, and lists with commas.

    Raises:
        TtCondaError: no rule matches.
    """
    names = {item.rule.name: code for code, item in all_rules().items()}
    words = [word.strip() for text in codes for word in text.split(",") if word.strip()]
    found = [names.get(word.lower(), word.upper()) for word in words]
    for code, word in zip(found, words, strict=True):
        if not any(known.startswith(code) for known in all_rules()):
            raise TtCondaError(
                f"{option} {word}: no rule has this name or code",
                f"Perhaps {' or '.join(nearest(code))}; `tt-conda explain --all` lists the rules.",
            )
    return found
