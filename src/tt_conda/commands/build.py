"""`tt-conda build`: recipes become packages in the channel ``output/``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tt_conda.base.errors import TtCondaError
from tt_conda.commands.options import Channels, Pinned


def build(
    packages: Annotated[list[str] | None, typer.Argument(help="Packages; none means all.")] = None,
    origin: Annotated[list[str] | None, typer.Option(help="wheel or source.")] = None,
    cxx_stdlib: Annotated[list[str] | None, typer.Option(help="libstdcxx or libcxx.")] = None,
    python: Annotated[list[str] | None, typer.Option(help="Python version X.Y.")] = None,
    tt_metal_version: Annotated[
        list[str] | None, typer.Option(help="One of those in variants.yaml; --origin source: variants.source.yaml.")
    ] = None,
    pytorch_source: Annotated[list[str] | None, typer.Option(help="upstream or debian.")] = None,
    tt_source: Annotated[
        str | None,
        typer.Option(metavar="upstream|FOLDER", help="For --origin source: where tt-metal/ and others are."),
    ] = None,
    tt_metal_build: Annotated[str | None, typer.Option(help="For --origin source: Release or Debug.")] = None,
    firmware: Annotated[
        Literal["sfpi", "wheel"] | None,
        typer.Option(help="For --origin source: compiled with SFPI, or taken from the published wheel."),
    ] = None,
    channel: Channels = None,
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
    """
    from tt_conda.building import gate
    from tt_conda.building.build import build as run
    from tt_conda.commands import defaults
    from tt_conda.report.build import show

    asked = {"origin": origin, "cxx_stdlib": cxx_stdlib, "python": python, "tt_metal_version": tt_metal_version}
    instead = {
        "pytorch_source": pytorch_source,
        "tt_source": tt_source and [_source(tt_source)],
        "tt_metal_build": tt_metal_build and [tt_metal_build],
        "tt_firmware": firmware and [firmware],
    }
    axes = {axis: values for axis, values in asked.items() if values}
    pythons = defaults.pythons(channel)
    show(
        run(
            packages or [], axes=axes, channels=lambda: defaults.upstreams(channel), pythons=pythons, jobs=jobs,
            check=gate.check_package,
            instead={**defaults.instead(channel), **{axis: values for axis, values in instead.items() if values}},
        )
    )  # fmt: skip


def _source(asked: str) -> str:
    """The axis's value: ``upstream``, or a folder, from here or from a recipe's own."""
    from tt_conda.base import settings

    here = Path(asked).expanduser()
    if asked == "upstream":
        return asked
    if here.is_dir():
        return str(here.resolve())
    if any((recipe / asked).is_dir() for recipe in settings.project_dir().glob("recipes/*")):
        return asked
    raise TtCondaError(
        f"--tt-source: there is no folder {asked}",
        "Name the folder that tt-metal/ and the others are in (docs/source.md), or upstream.",
    )
