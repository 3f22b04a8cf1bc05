"""`tt-conda fetch`: the sources of packages, collected in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tt_conda.commands.options import Channels, CxxStdlib, Origin, Packages, Python, Variants


def fetch(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="The folder to fill, made if need be; what is there and right stays."),
    ],
    packages: Packages = None,
    origin: Origin = None,
    cxx_stdlib: CxxStdlib = None,
    python: Python = None,
    variant: Variants = None,
    channel: Channels = None,
    without: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Leave the sources of this package out. Repeatable.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Fetch nothing: only say what the folder has, lacks, or has wrong.")
    ] = False,
) -> None:
    """Collect the sources of packages in a folder, to build them from it where there is no network.

    Those of the packages that they require here are collected, too. Repositories become bundles of the pinned commit,
    archives and the files of lock files are stored by hash; each is compared with the recipe's pin. Whatever cannot be
    had is named at the end. Interrupted, the command resumes when it is run again.

    Exit codes: 0 the folder has all, 1 --check found something missing or wrong, 2 something could not be fetched.

    Examples:

      tt-conda fetch /mnt/sources torch-ttnn --origin source --cxx-stdlib libcxx

      tt-conda fetch /mnt/sources torch-ttnn --origin source --without pytorch --without libtorch

      tt-conda fetch /mnt/sources pytorch --variant pytorch_source=debian

      tt-conda fetch /mnt/sources ttnn --check

      tt-conda build torch-ttnn --origin source --cxx-stdlib libcxx --sources /mnt/sources
    """
    from tt_conda.base import settings
    from tt_conda.building.build import select
    from tt_conda.commands import defaults
    from tt_conda.offline import collect
    from tt_conda.report.fetch import show

    axes, instead = defaults.variants(channel, variant, origin=origin, cxx_stdlib=cxx_stdlib, python=python)
    _, _, outputs = select(settings.project_dir(), packages or [], axes, instead, without or [])
    run = collect.check if check else collect.collect
    result = run(folder.expanduser().absolute(), outputs)
    show(result, checked=check)
    if result.faults:
        raise typer.Exit(1 if check else 2)
