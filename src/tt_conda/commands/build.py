"""`tt-conda build`: recipes become packages in the channel ``output/``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tt_conda.commands.options import Channels, CxxStdlib, Origin, Packages, Pinned, Python, Variants


def build(
    packages: Packages = None,
    origin: Origin = None,
    cxx_stdlib: CxxStdlib = None,
    python: Python = None,
    variant: Variants = None,
    tt_source: Annotated[
        str | None,
        typer.Option(metavar="upstream|FOLDER", help="For --origin source: where tt-metal/ and others are."),
    ] = None,
    channel: Channels = None,
    sources: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Take sources from a folder that `tt-conda fetch` made, without a network (also: TT_CONDA_SOURCES).",
        ),
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Builds side by side.")] = None,
    pinned: Pinned = False,
) -> None:
    """Build packages into the channel in output/; what is up to date stays as it is.

    Examples:

      tt-conda build

      tt-conda build ttnn --python 3.12

      tt-conda build torch-ttnn --channel conda-forge

      tt-conda build pytorch --cxx-stdlib libcxx

      tt-conda build torch-ttnn --origin source --cxx-stdlib libcxx

      tt-conda build torch-ttnn --origin source --cxx-stdlib libcxx --sources /mnt/sources

      tt-conda build tt-metal --origin source --variant tt_metal_version=0.79.0 --variant tt_metal_build=Debug
    """
    from functools import partial

    from tt_conda.base import settings
    from tt_conda.building import gate
    from tt_conda.building.build import build as run
    from tt_conda.commands import defaults
    from tt_conda.report.build import show

    folder = sources.expanduser().absolute() if sources else settings.sources()
    supply = None
    if folder:
        from tt_conda.offline import supply as offline

        offline.check(folder)
        supply = partial(offline.supply, folder)
    axes, instead = defaults.variants(channel, variant, tt_source, origin=origin, cxx_stdlib=cxx_stdlib, python=python)
    show(
        run(
            packages or [], axes=axes, channels=lambda: defaults.upstreams(channel), pythons=defaults.pythons(channel),
            jobs=jobs, check=gate.check_package, instead=instead, supply=supply,
        )
    )  # fmt: skip
