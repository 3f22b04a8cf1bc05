"""`tt-conda verify`: packages are built again and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tt_conda.commands.options import Channels


def verify(
    packages: Annotated[
        list[str] | None,
        typer.Argument(metavar="PACKAGE", help="Files, or names in output/; none: all, but what is built on request."),
    ] = None,
    channel: Channels = None,
    jobs: Annotated[int, typer.Option(min=1, help="Builds side by side.")] = 2,
    keep: Annotated[Path | None, typer.Option(help="A channel folder for what was built now.")] = None,
    foreign: Annotated[
        bool, typer.Option("--foreign", help="Also rebuild packages from elsewhere than output/: this runs code.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Build packages again from what they were made from, and say whether they are the same, bit for bit.

    Each is built in another folder, from this checkout's recipe, with the very packages that it says it was built with.
    They come from output/ and the channels alone, by sha256. Its tests do not run. Exit codes: 0 all the same, 1 one is
    not, 2 one could not be built.

    Examples:

      tt-conda verify

      tt-conda verify tt-metal libttnn

      tt-conda verify downloaded/ttnn-0.81.1-libstdcxx_wheel_py312_h9f6ef91_0.conda --foreign --json
    """
    from tt_conda.building.verify import named
    from tt_conda.building.verify import verify as run
    from tt_conda.commands import defaults
    from tt_conda.report.verify import show

    chosen = named(packages or [])
    verdicts = run(chosen, defaults.channels(channel), jobs=jobs, keep=keep, foreign=foreign)
    show(verdicts, as_json=json)
    raise typer.Exit(0 if all(verdict.same for verdict in verdicts) else 1)
