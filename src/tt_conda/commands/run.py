"""`tt-conda run`: a command in an environment."""

from __future__ import annotations

from typing import Annotated

import typer

from tt_conda.commands.options import Prefix


def run(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND", help="What to run, with its arguments.")],
    prefix: Prefix,
) -> None:
    """Run a command in an activated environment; its exit code is ours.

    Example:

      tt-conda run --prefix env python -c 'import ttnn'
    """
    from tt_conda.environment import shell

    raise typer.Exit(shell.run(prefix, command))
