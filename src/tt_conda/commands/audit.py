"""`tt-conda audit`: wheels, packages and environments, judged before anyone runs them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tt_conda.base.errors import TtCondaError

if TYPE_CHECKING:
    from tt_conda.audit.scene import Scene
    from tt_conda.audit.verdict import Verdict


class _Form(str, Enum):
    """The forms of an audit."""

    table = "table"
    json = "json"
    sarif = "sarif"
    html = "html"


class _Severity(str, Enum):
    """Severities, the least first."""

    note = "note"
    warning = "warning"
    error = "error"


def audit(
    targets: Annotated[
        list[Path] | None,
        typer.Argument(metavar="TARGET", help="Wheels, conda packages, environments, folders, channels, objects."),
    ] = None,
    pid: Annotated[int | None, typer.Option(help="A running process instead: what it has mapped.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Judge as if each library were there once.")] = False,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="A B", help="Two states side by side; each one target, or several as A1,A2 or A1+A2."),
    ] = None,
    form: Annotated[
        _Form | None, typer.Option("--format", help="Else --output's ending says it (.json, .sarif, .html).")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file instead of standard output.")] = None,
    select: Annotated[
        list[str] | None, typer.Option(help="Only these rules: codes, their beginnings (TC2), names.")
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(help="Not these rules; reasons go into the configuration file.")
    ] = None,
    severity: Annotated[_Severity, typer.Option(help="Only what is at least so bad.")] = _Severity.note,
    config: Annotated[
        Path | None, typer.Option(help="A configuration file instead of ./audit.toml, ./pyproject.toml.")
    ] = None,
    baseline: Annotated[Path | None, typer.Option(help="Accept what this file lists, refuse what is new.")] = None,
    write_baseline: Annotated[Path | None, typer.Option(help="Accept what is found now: list it in this file.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="All findings and places, with evidence.")] = False,
) -> None:
    """Say what is shipped twice, what will not load, and which C++ ABIs do not fit, before anyone runs it.

    Several targets are audited as they would be installed together. Nothing is loaded or imported.
    Exit codes: 0 clean (notes do not count), 1 findings, 2 a target could not be read.

    Examples:

      tt-conda audit ttnn-0.81.1-cp312-cp312-manylinux_2_34_x86_64.whl

      tt-conda audit ttnn_shutov-….whl torch_ttnn_shutov-….whl --output audit.html

      tt-conda audit .venv --select TC1 --severity warning

      tt-conda audit --pid 4711

      tt-conda audit env --write-baseline accepted.json

      tt-conda audit env --baseline accepted.json --format sarif --output audit.sarif

      tt-conda audit --compare ttnn_shutov-….whl,torch_ttnn_shutov-….whl env
    """
    from tt_conda.audit.audit import audit as find
    from tt_conda.audit.baseline import read_accepted, write_accepted
    from tt_conda.audit.config import load_config
    from tt_conda.audit.finding import Severity
    from tt_conda.audit.verdict import check_codes, judge
    from tt_conda.base.progress import console
    from tt_conda.report.audit import form_of, report, report_comparison
    from tt_conda.report.audit.compare import targets_of
    from tt_conda.report.audit.numbers import count

    made = form_of(form.value if form else None, output)
    selected, ignored = check_codes(select or [], "--select"), check_codes(ignore or [], "--ignore")

    def verdict_on(targets: Sequence[Path]) -> Verdict:
        decided, accepted = load_config(config), read_accepted(baseline) if baseline else []
        scene = scenes.enter_context(_read(targets, pid, once))
        return judge(
            find(scene, selected), decided, select=selected, ignore=ignored, accepted=accepted,
            severity=Severity(severity.value),
        )  # fmt: skip

    with ExitStack() as scenes:
        if compare:
            if targets or pid is not None:
                raise TtCondaError("--compare takes the two states and no other target", "Join targets with a comma.")
            if write_baseline:
                raise TtCondaError("--compare writes no baseline file", "Audit one state with --write-baseline.")
            first, second = (verdict_on(targets_of(side)) for side in compare)
            clean = report_comparison(first, second, made, output, verbose=verbose)
            raise typer.Exit(_exit_code(clean, first.scene, second.scene))
        verdict = verdict_on(targets or [])
        if write_baseline:
            number = write_accepted(write_baseline, [*verdict.findings, *verdict.accepted])
            console.print(f"{write_baseline}: {count(number, 'accepted finding')}", markup=False)
            raise typer.Exit(_exit_code(True, verdict.scene))
        report(verdict, made, output, verbose=verbose)
        if output:
            console.print(f"{output}: {count(len(verdict.findings), 'finding')}", markup=False)
        raise typer.Exit(_exit_code(verdict.is_clean, verdict.scene))


def _exit_code(clean: bool, *scenes: Scene) -> int:
    if any(scene.unread for scene in scenes):
        return 2
    return 0 if clean else 1


def _read(targets: Sequence[Path], pid: int | None, once: bool) -> Scene:
    from tt_conda.audit.targets import read_targets
    from tt_conda.base.progress import console, stage

    def scene() -> Scene:
        return read_targets(targets, pid=pid, once=once, environments=_environments)

    if not console.is_terminal:
        return scene()  # the report is all that a log needs
    with stage("reading " + (f"process {pid}" if pid is not None else ", ".join(map(str, targets)))):
        return scene()


def _environments(channel: Path) -> tuple[list[list[Path]], list[list[Path]]]:
    from tt_conda.commands import defaults
    from tt_conda.environment.coverage import sort_packages

    return sort_packages(channel, defaults.upstreams)
