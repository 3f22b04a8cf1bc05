"""`tt-conda carve`: wheels become a prefix."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tt_conda.base.errors import TtCondaError


def carve(
    wheels: Annotated[
        list[Path] | None, typer.Argument(metavar="WHEEL", help="Wheels; of two copies the first wheel's is kept.")
    ] = None,
    prefix: Annotated[Path, typer.Option(help="A new folder, or an environment whose libraries stay.")] = Path(
        "carved"
    ),
    rules: Annotated[
        list[Path] | None, typer.Option(help="What is particular to the wheels, e.g. recipes/ttnn/carve.toml.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Write only paths like this one (`lib/*`).")] = None,
    python: Annotated[str | None, typer.Option(help="Python version X.Y, where the wheel does not say.")] = None,
    lock: Annotated[
        Path | None, typer.Option(help="Take the wheel from this lock file, fetching it if need be.")
    ] = None,
    version: Annotated[str | None, typer.Option(help="Version of the wheel in --lock.")] = None,
    licenses: Annotated[Path | None, typer.Option(help="Copy the wheels' licences to this folder.")] = None,
    sbom: Annotated[
        str | None, typer.Option(metavar="NAME", help="Write a bill of materials to share/sbom/NAME.cdx.json.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Carve wheels into a conda prefix: every library once, in lib/, under its true soname.

    Examples:

      tt-conda carve ttnn-0.81.1-cp312-cp312-manylinux_2_34_x86_64.whl --rules recipes/ttnn/carve.toml --prefix out

      tt-conda carve ttnn_shutov-….whl torch_ttnn_shutov-….whl --rules recipes/ttnn/carve.toml --prefix out

      tt-conda carve --lock recipes/ttnn/wheels.lock --version 0.81.1 --prefix out --only 'lib/libtt_metal.so*'
    """
    from tt_conda.carve import carve as run
    from tt_conda.carve import load_rules
    from tt_conda.report.carve import show

    files = list(wheels or [])
    if lock:
        from tt_conda.inputs.wheels import fetch_wheel, pinned

        files.append(fetch_wheel(pinned(lock, version, python), lock=lock))
    if not files:
        raise TtCondaError("no wheel was named", "Name a wheel's file, or --lock with --version.")
    report = run(files, prefix, load_rules(rules or []), only=only or [], python=python, licenses=licenses, sbom=sbom)
    show(report, prefix, as_json=json)
