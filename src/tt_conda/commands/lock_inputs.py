"""`tt-conda lock-inputs`: newer pins in a lock file of inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def lock_inputs(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Lock files, e.g. recipes/ttnn/wheels.lock.")],
) -> None:
    """Refresh the pins of a lock file: the newest that its `want` tables allow, with size and sha256.

    Example:

      tt-conda lock-inputs recipes/ttnn/wheels.lock
    """
    from tt_conda.inputs.lock import load
    from tt_conda.inputs.refresh import moved, refresh

    for file in files:
        before = load(file)
        after = refresh(file)
        typer.echo(f"{file}: {len(after.wheel) + len(after.deb) + len(after.source)} pins")
        for line in moved(before, after):
            typer.echo(f"  {line}")
