"""The result of a build, in a few lines."""

from __future__ import annotations

from tt_conda.base.progress import console
from tt_conda.building.build import Built


def show(result: Built) -> None:
    """Print the packages built, up to date, untested or not built, with reasons."""
    reused = f"{len(result.reused)} built before, " if result.reused else ""
    console.print(f"{len(result.built)} built, {reused}{len(result.current)} up to date, in {result.channel}")
    for stem, said in sorted(result.warnings.items()):
        for line in said:
            console.print(f"[yellow]audit[/yellow] {stem}: ", end="")
            console.print(line, markup=False)
    for stem, absent in sorted(result.untested.items()):
        console.print(f"[yellow]not tested[/yellow] {stem}: no channel has a compatible {', '.join(absent)}")
    if result.older:
        console.print(f"[yellow]older[/yellow] {', '.join(result.older)}: built before the recipe's last change")
    if result.not_built:
        console.print(f"[yellow]not built[/yellow] {', '.join(result.not_built)}")
    if result.requests:
        console.print("\n  ".join(["Built only on request:", *result.requests]))
    if result.left_out:
        console.print(f"[yellow]left out[/yellow] {', '.join(result.left_out)}: no such CPython on this machine")
