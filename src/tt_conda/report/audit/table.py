"""An audit for people: worst first, one block per rule, what it costs, what to do."""

from __future__ import annotations

from itertools import groupby

from rich.console import Console, ConsoleRenderable
from rich.padding import Padding
from rich.text import Text

from tt_conda.audit.finding import Certainty, Severity
from tt_conda.audit.rules import all_rules
from tt_conda.report.audit.document import Document, Found
from tt_conda.report.audit.numbers import count, megabytes

COLORS = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.NOTE: "bold cyan"}
_FEW = 8
"""Findings of a rule, and places of a finding, that are shown unless all are wanted."""


def show(data: Document, console: Console, *, verbose: bool = False) -> None:
    """Print an audit.

    Args:
        data: the audit.
        console: where to.
        verbose: every finding and every place, with the evidence.
    """
    hidden = 0
    for found in blocks(data.findings):
        shown = found if verbose else found[:_FEW]
        hidden += len(found) - len(shown)
        _block(found, shown, console, verbose)
    _decisions(data, console)
    _sum(data, hidden, console)


def blocks(findings: list[Found]) -> list[list[Found]]:
    """Findings of one rule and severity together; the blocks in the order of their first ones."""
    order = {key: at for at, key in reversed(list(enumerate((f.severity, f.code) for f in findings)))}
    ordered = sorted(findings, key=lambda f: order[f.severity, f.code])
    return [list(group) for _, group in groupby(ordered, key=lambda f: (f.severity, f.code))]


def _block(found: list[Found], shown: list[Found], console: Console, verbose: bool) -> None:
    first = found[0]
    head = Text.assemble(
        (first.severity.value, COLORS[first.severity]), " ", (first.code, "bold"), " ", (first.name, "bold")
    )
    if len(found) > 1:
        head.append(f", {len(found)} times")
    if size := sum(f.bytes for f in found):
        head.append(f", costs {megabytes(size)}")
    console.print(head)
    same_remedy = len({f.remedy for f in found}) == 1
    for finding in shown:
        _finding(finding, console, verbose, remedy=not same_remedy)
    if len(found) > len(shown):
        console.print(f"  … and {len(found) - len(shown)} more", style="dim")
    if same_remedy:
        console.print(_indented(Text.assemble(("→ ", "green"), first.remedy), 2))
    console.print()


def _finding(finding: Found, console: Console, verbose: bool, *, remedy: bool) -> None:
    said = Text(finding.message)
    if finding.bytes:
        said.append(f" [{megabytes(finding.bytes)}]", "bold")
    if finding.certainty is not Certainty.CERTAIN:
        said.append(f" ({finding.certainty.value})", "italic")
    console.print(_indented(said, 2))
    places = finding.places if verbose else finding.places[:_FEW]
    for owner, group in groupby(places, key=lambda place: place.owner):
        paths = [place.path for place in group]
        if len(paths) == 1 and paths[0] in finding.message and owner in finding.message:
            continue  # said already
        console.print(_indented(Text(owner, "magenta"), 4))
        for path in paths:
            console.print(_indented(Text(path), 6))
    if len(finding.places) > len(places):
        console.print(_indented(Text(f"… and {len(finding.places) - len(places)} more files", "dim"), 4))
    for fact in finding.evidence if verbose else ():
        console.print(_indented(Text(fact, "dim"), 4))
    if remedy:
        console.print(_indented(Text.assemble(("→ ", "green"), finding.remedy), 4))


def _indented(text: Text, by: int) -> ConsoleRenderable:
    text.overflow = "fold"
    return Padding(text, (0, 0, 0, by), expand=False)


def _decisions(data: Document, console: Console) -> None:
    if data.ignored:
        console.print(f"{count(len(data.ignored), 'finding')} ignored by configuration", style="dim")
    if data.accepted:
        console.print(f"{count(len(data.accepted), 'finding')} accepted by the baseline file", style="dim")
    for item in data.unused:
        console.print(
            Text(f"ignore {item.code} {item.path!r} matched nothing: remove it ({item.reason})", "yellow",
                 overflow="fold")
        )  # fmt: skip
    for old in data.gone:
        console.print(Text(f"gone from the baseline: {old.code} {old.message}", "green", overflow="fold"))
    if data.gone:
        console.print("write the baseline file again, with --write-baseline, so that they stay away", style="green")
    if data.ignored or data.accepted or data.unused or data.gone:
        console.print()


def _sum(data: Document, hidden: int, console: Console) -> None:
    summary, sizes = data.summary, data.sizes
    looked = f"{count(sizes.objects, 'shared object')}, {megabytes(sizes.shipped)}"
    if copied := sizes.shipped - sizes.once:
        looked += f", of which {megabytes(copied)} are copies"
    console.print(Text(looked, overflow="fold"))
    parts = [
        (count(number, severity.value), COLORS[severity])
        for severity, number in zip(Severity, (summary.errors, summary.warnings, summary.notes), strict=True)
        if number
    ]
    line = Text(", ").join(Text(text, style) for text, style in parts) if parts else Text("no findings", "bold green")
    console.print(line)
    if hidden:
        console.print(f"{hidden} findings are not shown: --verbose shows all, --format html draws them", style="dim")
    if data.findings:
        known = next((f.code for f in data.findings if f.code in all_rules()), data.findings[0].code)
        console.print(f"tt-conda explain {known} says what a code means and what to do", style="dim")
