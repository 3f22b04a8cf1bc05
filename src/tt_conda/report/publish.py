"""The result of publishing, in a few lines."""

from __future__ import annotations

from tt_conda.base.progress import console
from tt_conda.channel.publish import Published


def show(result: Published) -> None:
    """Print the published packages and the number of existing ones."""
    for name in result.published:
        console.print(f"  {name}", markup=False)
    for name in result.accepted:
        console.print(f"  {name}: accepted, not yet listed", markup=False)
    there = f", {len(result.there)} there already" if result.there else ""
    accepted = f", {len(result.accepted)} accepted and not yet listed" if result.accepted else ""
    console.print(f"{len(result.published)} published{accepted}{there}, in {result.destination}", markup=False)
