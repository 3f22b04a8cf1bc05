"""`tt-conda prove`: each library is mapped once, shown in processes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tt_conda.commands.options import Channels


def prove(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Which environments, e.g. ci/proof.toml.")],
    channel: Channels = None,
) -> None:
    """Make environments from the channel and show that a process maps each library once.

    Example:

      tt-conda prove ci/proof.toml
    """
    from tt_conda.commands import defaults
    from tt_conda.report.proof import show
    from tt_conda.workspace import proof

    result = proof.prove(file, defaults.channels(channel), defaults.pythons(channel))
    show(result)
    raise typer.Exit(1 if result.problems else 0)
