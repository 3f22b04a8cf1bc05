"""From what the person asked for to what they see: reading, judging, reporting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tt_conda.audit.audit import audit
from tt_conda.audit.baseline import read_accepted, write_accepted
from tt_conda.audit.config import load_config
from tt_conda.audit.finding import Severity
from tt_conda.audit.scene import Scene
from tt_conda.audit.targets import read_targets
from tt_conda.audit.verdict import Verdict, check_codes, judge
from tt_conda.errors import TtCondaError
from tt_conda.progress import console, stage
from tt_conda.report.audit import form_of, report, report_comparison
from tt_conda.report.audit.compare import targets_of
from tt_conda.report.audit.numbers import count


@dataclass
class Asked:
    """The arguments of ``tt-conda audit``."""

    targets: Sequence[Path]
    pid: int | None = None
    once: bool = False
    compare: tuple[str, str] | None = None
    form: str | None = None
    output: Path | None = None
    select: Sequence[str] = ()
    ignore: Sequence[str] = ()
    severity: str = "note"
    config: Path | None = None
    baseline: Path | None = None
    write_baseline: Path | None = None
    verbose: bool = False
    channels: Callable[[], Sequence[str | Path]] = field(default=tuple)
    """Where a channel's packages may take their dependencies from."""


def run(asked: Asked) -> int:
    """Audit, report, and return the exit code: 0 clean, 1 findings, 2 a target of which nothing could be read.

    Raises:
        TtCondaError: something could not be read or written, or the arguments do not go together.
    """
    form = form_of(asked.form, asked.output)
    asked.select, asked.ignore = check_codes(asked.select, "--select"), check_codes(asked.ignore, "--ignore")
    with ExitStack() as scenes:
        if asked.compare:
            if asked.targets or asked.pid is not None:
                raise TtCondaError("--compare takes the two states and no other target", "Join targets with a comma.")
            if asked.write_baseline:
                raise TtCondaError("--compare writes no baseline file", "Audit one state with --write-baseline.")
            first, second = (_judged(asked, targets_of(side), scenes) for side in asked.compare)
            clean = report_comparison(first, second, form, asked.output, verbose=asked.verbose)
            return _exit_code(clean, first.scene, second.scene)
        verdict = _judged(asked, asked.targets, scenes)
        if asked.write_baseline:
            number = write_accepted(asked.write_baseline, [*verdict.findings, *verdict.accepted])
            console.print(f"{asked.write_baseline}: {count(number, 'accepted finding')}", markup=False)
            return _exit_code(True, verdict.scene)
        report(verdict, form, asked.output, verbose=asked.verbose)
        if asked.output:
            console.print(f"{asked.output}: {count(len(verdict.findings), 'finding')}", markup=False)
        return _exit_code(verdict.is_clean, verdict.scene)


def _exit_code(clean: bool, *scenes: Scene) -> int:
    if any(scene.unread for scene in scenes):
        return 2
    return 0 if clean else 1


def _judged(asked: Asked, targets: Sequence[Path], scenes: ExitStack) -> Verdict:
    config = load_config(asked.config)
    accepted = read_accepted(asked.baseline) if asked.baseline else []
    scene = scenes.enter_context(_read(asked, targets))
    found = audit(scene, asked.select)
    return judge(found, config, select=asked.select, ignore=asked.ignore, accepted=accepted,
                 severity=Severity(asked.severity))  # fmt: skip


def _read(asked: Asked, targets: Sequence[Path]) -> Scene:
    def scene() -> Scene:
        return read_targets(targets, pid=asked.pid, once=asked.once, others=asked.channels)

    if not console.is_terminal:
        return scene()  # the report is all that a log needs
    with stage("reading " + (f"process {asked.pid}" if asked.pid is not None else ", ".join(map(str, targets)))):
        return scene()
