"""`tt-conda shell`: a shell in an environment of a pixi.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tt_conda.base.errors import TtCondaError
from tt_conda.commands.options import Channels, Manifest


def shell(
    name: Annotated[str | None, typer.Argument(metavar="ENVIRONMENT", help="Environment to open, such as dev.")] = None,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="-- COMMAND", help="Command to run instead of a shell.")
    ] = None,
    prefix: Annotated[
        Path | None, typer.Option("--prefix", "-p", help="Folder of the environment; else .tt-conda/envs/NAME.")
    ] = None,
    editable: Annotated[list[Path] | None, typer.Option(help="Checkout to install for editing. Repeatable.")] = None,
    line: Annotated[str | None, typer.Option("--command", help="Line for bash to run instead of a shell.")] = None,
    locked: Annotated[
        bool, typer.Option("--locked", help="Install tt-conda.lock; fail if it does not fit pixi.toml.")
    ] = False,
    frozen: Annotated[bool, typer.Option("--frozen", help="Install tt-conda.lock, whatever pixi.toml says.")] = False,
    chip: Annotated[
        str | None, typer.Option(help="Simulated chip, where the environment has ttsim: wh, bh, wh_x2, …")
    ] = None,
    manifest: Manifest = None,
    channel: Channels = None,
) -> None:
    """Open a shell in an environment of a pixi.toml, created if it is missing, or in an existing prefix.

    An environment is looked for by name in the nearest pixi.toml, then in workspaces/NAME/ of the project. If there is
    a tt-conda.lock that fits, its packages are installed.

    Examples:

      tt-conda shell dev

      tt-conda shell dev --editable ../pytorch2.0_ttnn

      tt-conda shell dev --locked -- pytest tests

      tt-conda shell sim --chip bh

      tt-conda shell --prefix env
    """
    from tt_conda.commands import defaults
    from tt_conda.environment import shell
    from tt_conda.workspace import make
    from tt_conda.workspace import manifest as manifests
    from tt_conda.workspace import simulator as simulators

    if locked and frozen:
        raise TtCondaError("--locked and --frozen exclude each other", "Take one of them.")
    if name:
        workspace, environment = manifests.find(name, manifest)
        channels = defaults.workspace_channels(workspace, channel)
        environment = simulators.choose(environment, chip, channels)
        prefix = prefix or environment.prefix
        mode: make.Mode = "locked" if locked else "frozen" if frozen else ""
        make.make(environment, prefix, channels, mode=mode, editable=editable or [])
    elif prefix is None:
        known = ", ".join(manifests.known(manifest))
        raise TtCondaError("no environment was named", f"Name one of {known}, or a folder with --prefix.")
    elif editable or locked or frozen or chip:
        raise TtCondaError(
            "--editable, --locked, --frozen and --chip are for an environment of pixi.toml",
            "Pass the environment's name: tt-conda shell dev --locked.",
        )
    command = ["bash", "-c", line, "bash", *(words or [])] if line else words
    raise typer.Exit(shell.run(prefix, command) if command else shell.shell(prefix))
