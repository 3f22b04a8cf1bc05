"""The face: gathers the commands, and turns failures into messages and exit codes.

Exit codes: 0 done; 1 done, and something was found wrong with what was looked at; 2 could not be done; 130 for ^C.
Modules are imported by the command that needs them: `--help` and `carve` start fast.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from tt_conda import __version__
from tt_conda.base.errors import Stopped, TtCondaError
from tt_conda.commands import (
    audit,
    build,
    carve,
    embedded,
    explain,
    fetch,
    install,
    lock,
    lock_inputs,
    prove,
    publish,
    run,
    serve,
    shell,
    sources,
    store,
    verify,
)

app = typer.Typer(
    name="tt-conda",
    help="Conda packages of the Tenstorrent PyTorch stack in which each library ships exactly once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(shown: bool) -> None:
    if shown:
        typer.echo(f"tt-conda {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    del version


app.command()(carve.carve)
app.command()(build.build)
app.command()(fetch.fetch)
app.command()(verify.verify)
app.command()(publish.publish)
app.command(cls=serve.BesideCommand)(serve.serve)
app.command()(install.install)
app.command()(lock.lock)
app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})(run.run)
app.command()(shell.shell)
app.command()(prove.prove)
app.command()(audit.audit)
app.command()(explain.explain)
app.command()(embedded.embedded)
app.add_typer(store.app, name="store")
app.command("lock-inputs")(lock_inputs.lock_inputs)
app.command()(sources.sources)


def main() -> None:
    """Run the command line; turn failures into a message and an exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        code = app(standalone_mode=False)  # a number where a command raised typer.Exit
        sys.exit(code if isinstance(code, int) else 0)
    except TtCondaError as error:
        _say(error.what, error.way_out)
        sys.exit(2)
    except (Stopped, typer.Abort):
        _say("stopped", "What was finished is kept; the same command goes on from there.")
        os._exit(130)  # rattler's threads may still run
    except BrokenPipeError:
        os._exit(141)
    except Exception as error:
        if type(error).__module__.split(".")[0] in ("click", "typer") and hasattr(error, "show"):
            error.show()
            sys.exit(2)
        raise


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped


def _say(what: str, way_out: str) -> None:
    from tt_conda.base.progress import console

    console.print("[bold red]error[/bold red] ", end="")
    console.print(what, markup=False)
    if way_out:
        console.print(way_out, markup=False, style="yellow")


def entry() -> None:
    """The console script: run :func:`main` and leave at once.

    rattler's threads may still be at work; an interpreter that is taken down around them aborts now and then.
    """
    code: object = 0
    try:
        main()
    except SystemExit as stop:
        code = stop.code
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    entry()
