"""The proof as tables: each library with its package and number of mappings, beside its wheels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from tt_conda.audit.finding import Severity
from tt_conda.audit.mapped import MappedObject, by_library
from tt_conda.base.progress import console
from tt_conda.report.audit.numbers import count
from tt_conda.workspace.proof import Proof


def show(proof: Proof) -> None:
    """Print the tables to standard output, and omissions and errors to standard error."""
    out = Console(highlight=False)
    if not out.is_terminal:
        out.width = 160
    names = list(proof.objects)
    table = Table(box=None, pad_edge=False, title="each library, its package, and how often a process maps it")
    for column in ("package", "library", "path", *names):
        table.add_column(column, overflow="fold", justify="left" if column not in names else "right")
    for (library, package, path), counts in sorted(_rows(proof).items(), key=lambda row: (row[0][1], row[0][0])):
        table.add_row(package, library, path, *(f"{counts[n]}x" if n in counts else "" for n in names))
    out.print(table)
    for name, from_wheels in proof.from_wheels.items():
        out.print(_beside_wheels(name, from_wheels, proof.objects[name]))
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


def _beside_wheels(name: str, from_wheels: Mapping[str, list[int]], objects: Sequence[MappedObject]) -> Table:
    """The libraries that a process maps from two wheels, and the same libraries from packages.

    Versions are omitted: auditwheel puts more digits into sonames (libmpi.so.40.40.7 for libmpi.so.40).
    """
    table = Table(box=None, pad_edge=False, title=f"\n{name}: libraries a process maps", title_justify="left")
    for column in ("library", "from the wheels", "MB", "from our packages", "MB"):
        table.add_column(column, justify="right" if column != "library" else "left")
    theirs: dict[str, list[int]] = {}
    for soname, sizes in from_wheels.items():
        theirs.setdefault(_unversioned(soname), []).extend(sizes)
    ours: dict[str, list[int]] = {library: [] for library in theirs}
    for mapped in objects:
        ours.get(_unversioned(mapped.soname), []).append(mapped.bytes)
    for library, sizes in sorted(theirs.items(), key=lambda item: -sum(item[1])):
        table.add_row(library, *_times(sizes), *_times(ours[library]))
    table.add_row("all of them", *_sum(theirs.values()), *_sum(ours.values()), style="bold")
    return table


def _unversioned(soname: str) -> str:
    return soname.partition(".so")[0]


def _times(copies: Sequence[int]) -> tuple[str, str]:
    return (f"{len(copies)}x", f"{sum(copies) / 1e6:.1f}") if copies else ("", "")


def _sum(libraries: Iterable[Sequence[int]]) -> tuple[str, str]:
    sizes = [size for copies in libraries for size in copies]
    return f"{len(sizes)}", f"{sum(sizes) / 1e6:.1f}"


def _rows(proof: Proof) -> dict[tuple[str, str, str], dict[str, int]]:
    """Libraries in ``lib/``, and the modules of the packages under test."""
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
