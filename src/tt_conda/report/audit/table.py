"""An audit as a table: worst first, one block per rule, with costs and fixes."""

from __future__ import annotations

import re
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tt_conda.audit.finding import Certainty, Severity
from tt_conda.audit.rules import all_rules
from tt_conda.report.audit.document import Document, Found
from tt_conda.report.audit.numbers import count, megabytes

COLORS = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.NOTE: "bold cyan"}
_FEW = 5
"""Findings shown per rule, and places per finding, unless all are requested."""

_SITE_PACKAGES = re.compile(r"^lib(64)?/python3\.\d+/site-packages/")


def show(data: Document, console: Console, *, verbose: bool = False) -> None:
    """Print an audit.

    Args:
        data: the audit.
        console: the output.
        verbose: every finding and every place, with the evidence.
    """
    hidden = 0
    owners = len({file.owner for file in data.objects if file.inside}) > 1
    for found in blocks(data.findings):
        shown = found if verbose else found[:_FEW]
        hidden += len(found) - len(shown)
        _block(found, shown, console, verbose, owners)
    _decisions(data, console)
    _sum(data, hidden, console)


def blocks(findings: list[Found]) -> list[list[Found]]:
    """Findings grouped by rule and severity, in the order of each group's first finding."""
    order = {key: at for at, key in reversed(list(enumerate((f.severity, f.code) for f in findings)))}
    ordered = sorted(findings, key=lambda f: order[f.severity, f.code])
    return [list(group) for _, group in groupby(ordered, key=lambda f: (f.severity, f.code))]


def _block(found: list[Found], shown: list[Found], console: Console, verbose: bool, owners: bool) -> None:
    first = found[0]
    head = Text.assemble(
        (first.severity.value, COLORS[first.severity]), " ", (f"{first.code} {first.name}".rstrip(), "bold")
    )
    if len(found) > 1:
        head.append(f", {len(found)} times")
    if size := sum(f.bytes for f in found):
        head.append(f", costs {megabytes(size)}")
    print_indented(console, head)
    same_remedy = len({f.remedy for f in found}) == 1
    for finding in shown:
        _finding(finding, console, verbose, owners=owners, remedy=not same_remedy)
    if len(found) > len(shown):
        console.print(f"  … and {len(found) - len(shown)} more", style="dim")
    if same_remedy:
        print_indented(console, Text.assemble(("→ ", "green"), first.remedy), 2)
    console.print()


def _finding(finding: Found, console: Console, verbose: bool, *, owners: bool, remedy: bool) -> None:
    said = Text(finding.message)
    if finding.bytes:
        said.append(f" [{megabytes(finding.bytes)}]", "bold")
    if finding.certainty is not Certainty.CERTAIN:
        said.append(f" ({finding.certainty.value})", "italic")
    print_indented(console, said, 2)
    places = finding.places if verbose else finding.places[:_FEW]
    for owner, group in groupby(places, key=lambda place: place.owner):
        paths = [place.path for place in group]
        if len(paths) == 1 and paths[0] in finding.message and (not owners or owner in finding.message):
            continue  # said already
        if owners:
            print_indented(console, Text(owner, "magenta"), 4)
        for path in paths:
            print_indented(console, Text(_SITE_PACKAGES.sub("", path)), 6 if owners else 4)
    if len(finding.places) > len(places):
        print_indented(console, Text(f"… and {len(finding.places) - len(places)} more files", "dim"), 4)
    for fact in finding.evidence if verbose else ():
        print_indented(console, Text(fact, "dim"), 4)
    if remedy:
        print_indented(console, Text.assemble(("→ ", "green"), finding.remedy), 4)


def print_indented(console: Console, text: Text, by: int = 0) -> None:
    """Print a text with all its lines indented, without rich's trailing blanks."""
    for line in text.wrap(console, console.width - by, overflow="fold"):
        line.rstrip()
        console.print(Text(" " * by) + line, no_wrap=True, overflow="ignore", crop=False)


def print_table(console: Console, table: Table) -> None:
    """Print a table without trailing blanks."""
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        console.print(Text.from_ansi(line.rstrip()), no_wrap=True, overflow="ignore", crop=False)


def _decisions(data: Document, console: Console) -> None:
    if data.ignored:
        console.print(f"{count(len(data.ignored), 'finding')} ignored", style="dim")
    if data.accepted:
        console.print(f"{count(len(data.accepted), 'finding')} accepted by the baseline file", style="dim")
    for item in data.unused:
        said = f"ignore {item.code} {item.path!r} matched nothing: remove it ({item.reason})"
        print_indented(console, Text(said, "yellow"))
    for old in data.gone:
        print_indented(console, Text(f"gone from the baseline: {old.code} {old.message}", "green"))
    if data.gone:
        console.print("write the baseline file again (--write-baseline) to remove these entries", style="green")
    if data.ignored or data.accepted or data.unused or data.gone:
        console.print()


def _sum(data: Document, hidden: int, console: Console) -> None:
    summary, sizes = data.summary, data.sizes
    looked = f"{count(sizes.objects, 'shared object')}, {megabytes(sizes.shipped)}"
    if copied := sizes.shipped - sizes.once:
        looked += f", of which {megabytes(copied)} are copies"
    if data.once:
        looked += "; duplicates ignored (--once)"
    print_indented(console, Text(looked))
    if not sizes.objects and not data.findings:
        print_indented(console, Text("no programs or shared objects for Linux", "yellow"))
    parts = [
        (count(number, severity.value), COLORS[severity])
        for severity, number in zip(Severity, (summary.errors, summary.warnings, summary.notes), strict=True)
        if number
    ]
    line = Text(", ").join(Text(text, style) for text, style in parts) if parts else Text("no findings", "bold green")
    console.print(line)
    if hidden:
        console.print(f"{hidden} findings hidden: --verbose shows all, --format html draws them", style="dim")
    if data.findings:
        known = next((f.code for f in data.findings if f.code in all_rules()), data.findings[0].code)
        console.print(f"tt-conda explain {known} explains a code and its fix", style="dim")
