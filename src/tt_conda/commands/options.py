"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Channels = Annotated[
    list[str] | None,
    typer.Option(
        "--channel", "-c", help="Additional channel, searched after output/; replaces TT_CONDA_CHANNELS. Repeatable."
    ),
]
Prefix = Annotated[Path, typer.Option("--prefix", "-p", help="Folder of the environment.")]
Specs = Annotated[list[str] | None, typer.Argument(metavar="SPEC", help="Packages, e.g. 'ttnn ==0.81.1'.")]
Manifest = Annotated[Path | None, typer.Option(help="The pixi.toml to read. Default: the nearest one upwards.")]
Locks = Annotated[
    list[Path] | None,
    typer.Option("--lock", help="Only what this lock file pins, e.g. recipes/ttnn/wheels.lock. Repeatable."),
]


def _require_pinned(given: bool) -> None:
    from tt_conda.base import settings

    if given:
        settings.require_pinned()


Pinned = Annotated[
    bool,
    typer.Option(
        "--pinned",
        callback=_require_pinned,
        help="Refuse a newer Debian file in the place of a pinned one that was superseded (also: TT_CONDA_PINNED=1).",
    ),
]

Packages = Annotated[list[str] | None, typer.Argument(metavar="PACKAGE", help="Packages; none means all.")]
Origin = Annotated[list[str] | None, typer.Option(help="wheel or source. Repeatable.")]
CxxStdlib = Annotated[list[str] | None, typer.Option(help="libstdcxx or libcxx. Repeatable.")]
Python = Annotated[list[str] | None, typer.Option(help="Python version X.Y. Repeatable.")]
Variants = Annotated[
    list[str] | None,
    typer.Option(
        "--variant",
        metavar="KEY=VALUE",
        help="Another key of variants.yaml, e.g. tt_metal_version=0.81.1; a wrong key lists them all. Repeatable.",
    ),
]
