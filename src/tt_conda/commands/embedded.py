"""`tt-conda embedded`: the embedded channel, made or brought up to date."""

from __future__ import annotations

import typer

from tt_conda.commands.options import Pinned


def embedded(pinned: Pinned = False) -> None:
    """Assemble the embedded channel and print where it is.

    It holds what the suite needs, for machines that cannot reach conda-forge: made from PyPI wheels, Debian packages
    and this machine's CPython.

    Examples:

      tt-conda embedded

      tt-conda embedded --pinned
    """
    from tt_conda.embedded.assemble import ensure_channel

    typer.echo(ensure_channel())
