"""`tt-conda serve`: channel folders over HTTP."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from tt_conda.base.errors import Stopped


class BesideCommand(TyperCommand):
    """A command with a command line of another program behind ``--``, which is left in ``ctx.meta``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Split off the command, then parse as usual."""
        split = args.index("--") if "--" in args else len(args)
        ctx.meta["command"] = args[split + 1 :]
        return super().parse_args(ctx, args[:split])

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Name the command last."""
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]


def serve(
    ctx: typer.Context,
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="FOLDER", help="Channel folders; output/ if none is named.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every network.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="TCP port, 0 for any free one. Default: 8000; with a COMMAND, 0."),
    ] = None,
) -> None:
    """Serve channel folders over HTTP, for conda, mamba and pixi.

    One folder is served at /, several each at /NAME/. Without a COMMAND, until ^C. With one, while it runs: it finds
    the URL in $TT_CONDA_SERVED, and its exit code is ours.

    Examples:

      tt-conda serve

      tt-conda serve /srv/channels/tenstorrent --host 0.0.0.0 --port 80

      tt-conda serve output "$(tt-conda embedded)"

      tt-conda serve -- sh -c 'conda create --prefix env --channel $TT_CONDA_SERVED --channel conda-forge ttnn'
    """
    from tt_conda.base import settings
    from tt_conda.channel import serve as server
    from tt_conda.report.serve import show

    command: list[str] = ctx.meta["command"]
    if port is None:
        port = 0 if command else server.PORT
    served = folders or [settings.output_dir()]
    if command:
        with server.serving(served, host, port) as url:
            raise typer.Exit(server.run_command(url, command))
    with contextlib.suppress(Stopped), server.serving(served, host, port) as url:
        show(server.channel_urls(url, served))
        threading.Event().wait()
