"""The command line: gathers the commands, and is the one boundary where failures become messages and exit codes.

Modules are imported by the command that needs them: `--help` and `carve` start fast.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import typer

from tt_conda import __version__
from tt_conda.base.errors import ExitCode, ReaderGone, Stopped, TtCondaError
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
    simulator,
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
    try:
        os.getcwd()  # noqa: PTH109  (Path.cwd asks twice)
    except OSError as error:
        raise TtCondaError("The working folder no longer exists.", "Change to one that does: cd /") from error


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
app.add_typer(simulator.app, name="simulator")
app.command("lock-inputs")(lock_inputs.lock_inputs)
app.command()(sources.sources)


_received: list[int] = []
"""Numbers of the signals that asked this process to stop."""


def main() -> NoReturn:
    """Run the command line; turn whatever ends it into a message and an exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    sys.unraisablehook = _not_swallowed
    code = _run()
    if code in (ExitCode.INTERRUPTED, ExitCode.READER_GONE, ExitCode.TERMINATED):
        os._exit(code)  # rattler's threads may still run, and flushing would fail again
    sys.exit(code)


def _run() -> int:
    try:
        try:
            code = app(standalone_mode=False)  # a number where a command raised typer.Exit
        except SystemExit as stop:
            code = stop.code
        sys.stdout.flush()
    except TtCondaError as error:
        return _failed(error.what, error.way_out)
    except (KeyboardInterrupt, typer.Abort):
        return _stopped()
    except ReaderGone:
        return ExitCode.READER_GONE
    except BaseException as error:
        if type(error).__module__.split(".")[0] in ("click", "typer") and hasattr(error, "show"):
            error.show()
            return ExitCode.FAILED
        from tt_conda.base.crash import explain, write_log

        try:
            if found := explain(error):
                return _failed(*found)
            log = write_log(error)
            _failed(f"tt-conda has a bug: {type(error).__name__}; nothing was decided. The log: {log}", "")
        except (KeyboardInterrupt, ReaderGone):
            return _stopped()
        return ExitCode.CRASHED
    if _received and code == ExitCode.INTERRUPTED:  # typer turns a KeyboardInterrupt into this code
        return _stopped()
    return code if isinstance(code, int) else ExitCode.DONE if code is None else ExitCode.FAILED


def _stop(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    if len(_received) > 1:  # this is being done, and was asked for again
        os._exit(128 + number)
    raise Stopped


def _stopped() -> int:
    _failed("stopped", "What was finished is kept; the same command goes on from there.")
    return 128 + _received[0] if _received else ExitCode.INTERRUPTED


def _not_swallowed(unraisable: sys.UnraisableHookArgs) -> None:
    """Python drops an exception in a finalizer after reporting it; a stop that arrives there must not get lost."""
    if isinstance(unraisable.exc_value, Stopped):
        os._exit(_stopped())
    sys.__unraisablehook__(unraisable)


def _failed(what: str, way_out: str) -> int:
    from tt_conda.base.progress import console
    from tt_conda.base.secrets import hide

    try:
        console.print("[bold red]error[/bold red] ", end="")
        console.print(hide(what), markup=False)
        if way_out:
            console.print(hide(way_out), markup=False, style="yellow")
    except ReaderGone:
        return ExitCode.READER_GONE
    return ExitCode.FAILED


def entry() -> None:
    """The console script: run :func:`main` and leave at once.

    rattler's threads may still be at work; an interpreter that is taken down around them aborts now and then.
    """
    from tt_conda.base import streams

    streams.secure()
    try:
        main()
    except SystemExit as stop:
        code = stop.code
    try:
        sys.stderr.flush()
    except ReaderGone:
        code = ExitCode.READER_GONE
    os._exit(code if isinstance(code, int) else ExitCode.FAILED)


if __name__ == "__main__":
    entry()
