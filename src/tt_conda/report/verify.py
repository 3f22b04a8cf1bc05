"""The result of rebuilding packages, as text or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby

from rich.console import Console

from tt_conda.building.verify import Rebuilt


def show(verdicts: Sequence[Rebuilt], *, as_json: bool = False) -> None:
    """Print the verdicts to standard output."""
    if as_json:
        print(json.dumps([_document(verdict) for verdict in verdicts], indent=2))
        return
    console = Console(highlight=False, soft_wrap=True)
    for verdict in verdicts:
        same = "[green]same[/green]" if verdict.same else "[red]other[/red]"
        console.print(f"{same}  {verdict.package.name}  [dim]sha256 {verdict.again}[/dim]")
        for path, found in groupby(verdict.differences, key=lambda item: item.path):
            console.print(f"  {path or 'the package file'}", markup=False)
            for item in found:
                console.print(f"    {item.what}", markup=False)
    count = sum(verdict.same for verdict in verdicts)
    console.print(f"{count} of {len(verdicts)} packages are identical, bit for bit")


def _document(verdict: Rebuilt) -> dict[str, object]:
    return {
        "package": str(verdict.package),
        "same": verdict.same,
        "sha256": verdict.sha256,
        "again": verdict.again,
        "differences": [{"path": item.path, "what": item.what} for item in verdict.differences],
    }
