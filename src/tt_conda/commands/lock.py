"""`tt-conda lock`: solved environments into a lock file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tt_conda.base.errors import TtCondaError
from tt_conda.commands.options import Channels, Manifest, Specs


def lock(
    specs: Specs = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The lock file.")] = None,
    environments: Annotated[
        list[str] | None, typer.Option("--environment", "-e", help="Environment to lock, by name. Repeatable.")
    ] = None,
    manifest: Manifest = None,
    channel: Channels = None,
) -> None:
    """Solve, and write every package with its sha256 to a lock file (the format of pixi.lock).

    Without packages: all environments of the nearest pixi.toml, or the named ones, into the tt-conda.lock beside their
    manifest. A folder of workspaces/ is an environment by its name.

    Examples:

      tt-conda lock ttnn 'python 3.12.*' --output ttnn.lock

      tt-conda lock --environment dev
    """
    from tt_conda.commands import defaults
    from tt_conda.environment import lockfile, solver
    from tt_conda.workspace import make
    from tt_conda.workspace import manifest as manifests

    if specs:
        file = output or Path(lockfile.WORKSPACE)
        lockfile.check_place(file)  # before solving takes its time
        channels = defaults.channels(channel)
        records = solver.solve(specs, channels)
        lockfile.write_lock(file, records, specs, channels)
        typer.echo(f"{file}: {len(records)} packages")
        return
    workspaces = manifests.grouped(environments or [], manifest)
    if output and len(workspaces) > 1:
        files = ", ".join(str(workspace.file) for workspace, _ in workspaces)
        raise TtCondaError(f"--output is one file, and these are several workspaces: {files}", "Lock them one by one.")
    for workspace, names in workspaces:
        file = output or workspace.lock
        for name, records in make.lock(workspace, names, defaults.workspace_channels(workspace, channel), file).items():
            typer.echo(f"{file}: {name}: {len(records)} packages")
