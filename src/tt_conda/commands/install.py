"""`tt-conda install`: packages into an environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tt_conda.commands.options import Channels, Prefix, Specs


def install(
    prefix: Prefix,
    specs: Specs = None,
    channel: Channels = None,
    frozen: Annotated[Path | None, typer.Option(metavar="LOCK", help="Install exactly this lock file.")] = None,
    locked_environment: Annotated[
        str, typer.Option("--environment", "-e", help="Environment in the lock file to install.")
    ] = "default",
) -> None:
    """Install packages into an environment.

    Examples:

      tt-conda install ttnn 'python 3.12.*' --prefix env

      tt-conda install --frozen tt-conda.lock --prefix env
    """
    from tt_conda.commands import defaults
    from tt_conda.environment.install import install as run

    where = defaults.channels(channel) if not frozen or channel else []
    records = run(specs or [], prefix, where, frozen, locked_environment)
    typer.echo(f"{prefix}: {len(records)} packages")
