"""`tt-conda sources`: pinned source archives, unpacked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def sources(
    lock: Annotated[
        Path, typer.Argument(metavar="FILE", help="The lock file, e.g. recipes/pytorch-libcxx/sources.lock.")
    ],
    dest: Annotated[Path, typer.Option(help="The folder to fill.")] = Path("sources"),
) -> None:
    """Unpack the source archives that a lock file pins, each into its place, fetching what is not in the cache.

    Example:

      tt-conda sources recipes/pytorch-libcxx/sources.lock --dest pytorch
    """
    from tt_conda.inputs.sources import unpack_sources

    for folder in unpack_sources(lock, dest):
        typer.echo(folder)
