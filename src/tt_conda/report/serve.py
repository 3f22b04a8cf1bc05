"""How to use channels that are being served."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from tt_conda.base.progress import console


def show(urls: Sequence[str]) -> None:
    """Print the channels' URLs on standard output, and on standard error how conda and pixi take them."""
    for url in urls:
        typer.echo(url)
    channels = [*urls, "conda-forge"]
    console.print(
        f"""\
conda:     conda create --prefix env {" ".join(f"--channel {channel}" for channel in channels)} ttnn
pixi.toml: channels = [{", ".join(f'"{channel}"' for channel in channels)}]
^C ends it.""",
        markup=False,
    )
