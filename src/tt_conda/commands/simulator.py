"""``tt-conda simulator``: upstream's simulator of a chip, as a package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="""Add upstream's simulator of a chip to the channel in output/: docs/simulator.md.

    Example:

      tt-conda simulator add libttsim_wh.so --version 1.10.0
    """,
    no_args_is_help=True,
)


@app.callback()
def _group() -> None:
    """Keep `add` a subcommand: Typer makes a lone command the group itself."""


@app.command()
def add(
    library: Annotated[Path, typer.Argument(help="Upstream's file, e.g. libttsim_wh.so.")],
    version: Annotated[
        str | None, typer.Option(help="Version of the library, where tt-conda does not know the file by its hash.")
    ] = None,
) -> None:
    """Examine a simulator's library and make it the package ttsim.

    The library is loaded in a child process. Releases: https://github.com/tenstorrent/ttsim/releases

    Examples:

      tt-conda simulator add libttsim_wh.so --version 1.10.0

      tt-conda simulator add libttsim_bh.so && tt-conda shell sim --chip bh
    """
    from tt_conda.base import settings
    from tt_conda.simulator import package
    from tt_conda.simulator.examine import examine

    simulator = examine(library, version)
    typer.echo(f"{package.add(simulator, settings.output_dir())}: {package.title(simulator)}")
