"""The proof as tables: each library and its package, how often it is mapped, and sizes beside the wheels' sizes."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.table import Table

from tt_conda.audit.finding import Severity
from tt_conda.audit.mapped import by_library
from tt_conda.progress import console
from tt_conda.proof import Proof
from tt_conda.report.audit.numbers import count


def show(proof: Proof) -> None:
    """Print the tables to standard output, and what is left out or wrong to standard error."""
    out = Console(highlight=False)
    if not out.is_terminal:
        out.width = 160
    names = list(proof.objects)
    table = Table(box=None, pad_edge=False, title="each library, its one package, and how often a process maps it")
    for column in ("package", "library", "path", *names):
        table.add_column(column, overflow="fold", justify="left" if column not in names else "right")
    for (library, package, path), counts in sorted(_rows(proof).items(), key=lambda row: (row[0][1], row[0][0])):
        table.add_row(package, library, path, *(f"{counts[n]}x" if n in counts else "" for n in names))
    out.print(table)
    if proof.sizes:
        sizes = Table(box=None, pad_edge=False, title="\nshared objects, MB")
        for column in ("", "in the wheels", "in our packages"):
            sizes.add_column(column, justify="right" if column else "left")
        for title, (before, after) in proof.sizes.items():
            sizes.add_row(title, f"{before / 1e6:.1f}", f"{after / 1e6:.1f}")
        out.print(sizes)
    for name, (objects, findings) in proof.audits.items():
        counts = Counter(finding.severity for finding in findings)
        said = ", ".join(count(counts[severity], severity.value) for severity in Severity if counts[severity])
        out.print(f"audit of {name}: {objects} shared objects and programs, {said or 'no findings'}")
    for text in proof.left_out:
        console.print(f"[yellow]left out[/yellow] {text}")
    for text in proof.problems:
        console.print(f"[red]wrong[/red] {text}")


def _rows(proof: Proof) -> dict[tuple[str, str, str], dict[str, int]]:
    """Libraries in ``lib/``, and the modules of the packages that the proof is about."""
    rows: dict[tuple[str, str, str], dict[str, int]] = {}
    for name, objects in proof.objects.items():
        prefix = proof.prefixes[name]
        for library, copies in by_library(objects).items():
            first = copies[0]
            if first.package is None or (
                first.path.parent != prefix / "lib" and first.package not in proof.modules_of[name]
            ):
                continue
            label = first.path.name if first.is_module else library
            rows.setdefault((label, first.package, str(first.path.relative_to(prefix))), {})[name] = len(copies)
    return rows
