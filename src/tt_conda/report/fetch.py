"""The result of collecting sources, in a few lines."""

from __future__ import annotations

from rich.markup import escape

from tt_conda.base.progress import console
from tt_conda.offline.collect import Collected
from tt_conda.offline.pins import Repository


def show(result: Collected, *, checked: bool) -> None:
    """Say what a folder of sources has, and of every source that it lacks which recipe pins it and why it is not there.

    Args:
        result: the folder, compared.
        checked: whether nothing was to be fetched: then what is there is listed, too.
    """
    if checked:
        for pin in result.there:
            console.print(f"  [green]there[/green] {escape(pin.name)}")
    label = "missing or wrong" if checked else "missing"
    for fault in result.faults:
        console.print(f"  [red]{label}[/red] {escape(fault.name)}")
        console.print(f"    for {', '.join(fault.wanted_by)}: {fault.why}", markup=False)
    for pin in [*result.there, *result.fetched]:
        if isinstance(pin, Repository) and pin.tag and not pin.expected_commit:
            why = "the recipe has no commit to compare the tag with"
            console.print(f"  [yellow]unverified[/yellow] {escape(pin.name)}: {why}")
    size = sum(file.stat().st_size for file in result.root.rglob("*") if file.is_file()) / 1e6
    fetched = "" if checked else f", {len(result.fetched)} of them fetched now"
    console.print(
        f"{len(result.there) + len(result.fetched)} sources in {result.root}{fetched} ({size:.1f} MB), "
        f"{len(result.faults)} {label}"
    )
    if result.faults and not checked:
        console.print("Run the same command again to try only these, or copy files to their places by hand "
                      "(docs/source.md).")  # fmt: skip
