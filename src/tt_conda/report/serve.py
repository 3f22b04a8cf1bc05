"""How to use served channels."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from tt_conda.base.progress import console


def show(urls: Sequence[str]) -> None:
    """Print the channels' URLs to standard output, and their use with conda and pixi to standard error."""
    for url in urls:
        typer.echo(url)
    channels = [*urls, "conda-forge"]
    console.print(
        f"""\
conda:     conda create --prefix env {" ".join(f"--channel {channel}" for channel in channels)} PACKAGE
pixi.toml: channels = [{", ".join(f'"{channel}"' for channel in channels)}]
Stop with ^C.""",
        markup=False,
    )
