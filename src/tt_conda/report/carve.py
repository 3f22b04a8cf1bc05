"""The result of carving, as a table or as JSON."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from tt_conda.carve.report import CarveReport


def show(report: CarveReport, prefix: Path, *, as_json: bool = False) -> None:
    """Print a report to standard output."""
    if as_json:
        print(report.model_dump_json(indent=2))
        return
    console = Console(highlight=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for column, justify in (("library", "left"), ("MB", "right"), ("soname", "left"), ("rewritten", "left")):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for library in report.libraries:
        links = "".join(f"\n  ↳ {link}" for link in library.links)
        table.add_row(library.path + links, f"{library.bytes / 1e6:.1f}", library.soname or "", library.rewritten)
    console.print(table)
    if report.dropped:
        console.print(f"\ndropped: {len(report.dropped)} copies, {report.dropped_bytes / 1e6:.1f} MB")
        for copy in report.dropped:
            console.print(f"  {copy.member}: {copy.why}", style="dim")
    if cleared := [library.path for library in report.libraries if library.stack_cleared]:
        console.print(
            f"\nno longer asking for an executable stack, which glibc 2.41 refuses to libraries: {', '.join(cleared)}. "
            "Code that runs on the stack (nested functions in GNU C) crashes without one."
        )
    if report.depends:
        console.print("\nneeds: " + ", ".join(f"{spec} ({', '.join(s)})" for spec, s in report.depends.items()))
    console.print(f"\n{report.files:,} files in {prefix}, {report.library_bytes / 1e6:.1f} MB of them shared objects")
