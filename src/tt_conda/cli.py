"""The face: arguments in, exit codes out, no logic.

Exit codes: 0 done; 1 done, and something was found wrong with what was looked at; 2 could not be done; 130 for ^C.
Modules are imported by the command that needs them: `--help` and `carve` start fast.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from tt_conda import __version__
from tt_conda.errors import TtCondaError

if TYPE_CHECKING:
    from tt_conda.workspace.manifest import Workspace

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


@app.command()
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


_Channels = Annotated[
    list[str] | None,
    typer.Option(
        "--channel", "-c", help="Additional channel, searched after output/; replaces TT_CONDA_CHANNELS. Repeatable."
    ),
]
_Prefix = Annotated[Path, typer.Option("--prefix", "-p", help="Folder of the environment.")]
_Specs = Annotated[list[str] | None, typer.Argument(metavar="SPEC", help="Packages, e.g. 'ttnn ==0.81.1'.")]


def _require_pinned(given: bool) -> None:
    from tt_conda import settings

    if given:
        settings.require_pinned()


_Pinned = Annotated[
    bool,
    typer.Option(
        "--pinned",
        callback=_require_pinned,
        help="Refuse a newer Debian file in the place of a pinned one that was superseded (also: TT_CONDA_PINNED=1).",
    ),
]


_Packages = Annotated[list[str] | None, typer.Argument(metavar="PACKAGE", help="Packages; none means all.")]
_Origin = Annotated[list[str] | None, typer.Option(help="wheel or source.")]
_CxxStdlib = Annotated[list[str] | None, typer.Option(help="libstdcxx or libcxx.")]
_Python = Annotated[list[str] | None, typer.Option(help="Python version X.Y.")]
_TtMetalVersion = Annotated[
    list[str] | None, typer.Option(help="One of those in variants.yaml; --origin source: variants.source.yaml.")
]
_PytorchSource = Annotated[list[str] | None, typer.Option(help="upstream or debian.")]
_Firmware = Annotated[
    Literal["sfpi", "wheel"] | None,
    typer.Option(help="For --origin source: compiled with SFPI, or taken from the published wheel."),
]


def _variants(
    channel: list[str] | None, pytorch_source: list[str] | None, firmware: str | None, tt_source: str | None = None,
    tt_metal_build: str | None = None, **axes: list[str] | None,
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:  # fmt: skip
    """The arguments ``axes`` and ``instead`` of a build, from the options of the command line."""
    instead = {
        "pytorch_source": pytorch_source,
        "tt_source": tt_source and [_source(tt_source)],
        "tt_metal_build": tt_metal_build and [tt_metal_build],
        "tt_firmware": firmware and [firmware],
    }
    return (
        {axis: values for axis, values in axes.items() if values},
        {**_instead(channel), **{axis: values for axis, values in instead.items() if values}},
    )


@app.command()
def build(
    packages: _Packages = None,
    origin: _Origin = None,
    cxx_stdlib: _CxxStdlib = None,
    python: _Python = None,
    tt_metal_version: _TtMetalVersion = None,
    pytorch_source: _PytorchSource = None,
    tt_source: Annotated[
        str | None,
        typer.Option(metavar="upstream|FOLDER", help="For --origin source: where tt-metal/ and others are."),
    ] = None,
    tt_metal_build: Annotated[str | None, typer.Option(help="For --origin source: Release or Debug.")] = None,
    firmware: _Firmware = None,
    channel: _Channels = None,
    sources: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Take sources from a folder that `tt-conda fetch` made, without a network (also: TT_CONDA_SOURCES).",
        ),
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Builds side by side.")] = None,
    pinned: _Pinned = False,
) -> None:
    """Build packages into the channel in output/; what is up to date stays as it is.

    Examples:

      tt-conda build

      tt-conda build ttnn --python 3.12

      tt-conda build torch-ttnn --channel conda-forge

      tt-conda build pytorch --cxx-stdlib libcxx

      tt-conda build torch-ttnn --origin source --cxx-stdlib libcxx

      tt-conda build torch-ttnn --origin source --cxx-stdlib libcxx --sources /mnt/sources
    """
    from functools import partial

    from tt_conda import gate, settings
    from tt_conda.channel import choice
    from tt_conda.channel.build import build as run
    from tt_conda.report.build import show

    folder = sources.expanduser().absolute() if sources else settings.sources()
    supply = None
    if folder:
        from tt_conda.offline import supply as offline

        offline.check(folder)
        supply = partial(offline.supply, folder)
    pythons = _pythons(channel)
    others = lambda: choice.others(channel) if channel else _others()  # noqa: E731
    axes, instead = _variants(
        channel, pytorch_source, firmware, tt_source, tt_metal_build,
        origin=origin, cxx_stdlib=cxx_stdlib, python=python, tt_metal_version=tt_metal_version,
    )  # fmt: skip
    show(
        run(
            packages or [], axes=axes, channels=others, pythons=pythons, jobs=jobs, check=gate.check_package,
            instead=instead, supply=supply,
        )
    )  # fmt: skip


@app.command()
def fetch(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="The folder to fill, made if need be; what is there and right stays."),
    ],
    packages: _Packages = None,
    origin: _Origin = None,
    cxx_stdlib: _CxxStdlib = None,
    python: _Python = None,
    tt_metal_version: _TtMetalVersion = None,
    pytorch_source: _PytorchSource = None,
    firmware: _Firmware = None,
    channel: _Channels = None,
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

      tt-conda fetch /mnt/sources ttnn --check

      tt-conda build torch-ttnn --origin source --cxx-stdlib libcxx --sources /mnt/sources
    """
    from tt_conda import settings
    from tt_conda.channel.build import select
    from tt_conda.offline import collect
    from tt_conda.report.fetch import show

    axes, instead = _variants(
        channel, pytorch_source, firmware,
        origin=origin, cxx_stdlib=cxx_stdlib, python=python, tt_metal_version=tt_metal_version,
    )  # fmt: skip
    _, _, outputs = select(settings.project_dir(), packages or [], axes, instead, without or [])
    run = collect.check if check else collect.collect
    result = run(folder.expanduser().absolute(), outputs)
    show(result, checked=check)
    if result.faults:
        raise typer.Exit(1 if check else 2)


@app.command()
def verify(
    packages: Annotated[
        list[str] | None,
        typer.Argument(metavar="PACKAGE", help="Files, or names in output/; none: all, but what is built on request."),
    ] = None,
    channel: _Channels = None,
    jobs: Annotated[int, typer.Option(min=1, help="Builds side by side.")] = 2,
    keep: Annotated[Path | None, typer.Option(help="A channel folder for what was built now.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Build packages again from what they were made from, and say whether they are the same, bit for bit.

    Each is built in another folder, with the very packages that it says it was built with, from this checkout's
    recipe. Its tests do not run. Exit codes: 0 all the same, 1 one is not, 2 one could not be built.

    Examples:

      tt-conda verify

      tt-conda verify tt-metal libttnn

      tt-conda verify downloaded/ttnn-0.81.1-libstdcxx_wheel_py312_h9f6ef91_0.conda --json
    """
    from tt_conda.channel.verify import named
    from tt_conda.channel.verify import verify as run
    from tt_conda.report.verify import show

    chosen = named(packages or [])
    verdicts = run(chosen, _channels(channel), jobs=jobs, keep=keep)
    show(verdicts, as_json=json)
    raise typer.Exit(0 if all(verdict.same for verdict in verdicts) else 1)


@app.command()
def publish(
    destination: Annotated[
        str,
        typer.Argument(metavar="DESTINATION", help="A folder, s3://BUCKET/CHANNEL, or KIND+https://SERVER/CHANNEL."),
    ],
    packages: Annotated[
        list[str] | None, typer.Argument(metavar="PACKAGE", help="Names of packages in output/; none means all.")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Leave this package out. Repeatable.")
    ] = None,
) -> None:
    """Publish packages of output/ so that no reader ever sees an index that names what is not there.

    KIND is prefix, quetz, artifactory or anaconda. Keys come from PREFIX_API_KEY, QUETZ_API_KEY, ARTIFACTORY_TOKEN,
    ANACONDA_API_KEY, or from rattler's own store of keys; those of S3 from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
    or AWS_PROFILE; AWS_ENDPOINT_URL names another store than Amazon's.

    Examples:

      tt-conda publish /srv/channels/tenstorrent

      tt-conda publish s3://my-bucket/tenstorrent

      tt-conda publish prefix+https://prefix.dev/my-channel tt-metal libttnn

      tt-conda publish /srv/channels/tenstorrent --without pytorch --without libtorch
    """
    from tt_conda import settings
    from tt_conda.channel.publish import publish as run
    from tt_conda.report.publish import show

    show(run(destination, settings.output_dir(), packages or [], without=without or []))


class _BesideCommand(TyperCommand):
    """A command with a command line of another program behind ``--``, which is left in ``ctx.meta``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        split = args.index("--") if "--" in args else len(args)
        ctx.meta["command"] = args[split + 1 :]
        return super().parse_args(ctx, args[:split])

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]


@app.command(cls=_BesideCommand)
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
    from tt_conda import settings
    from tt_conda.channel import serve as server
    from tt_conda.report.serve import show

    command: list[str] = ctx.meta["command"]
    if port is None:
        port = 0 if command else server.PORT
    served = folders or [settings.output_dir()]
    if command:
        with server.serving(served, host, port) as url:
            raise typer.Exit(server.run_command(url, command))
    with contextlib.suppress(_Stopped), server.serving(served, host, port) as url:
        show(server.channel_urls(url, served))
        threading.Event().wait()


@app.command()
def install(
    prefix: _Prefix,
    specs: _Specs = None,
    channel: _Channels = None,
    frozen: Annotated[Path | None, typer.Option(metavar="LOCK", help="Install exactly this lock file.")] = None,
    locked_environment: Annotated[
        str, typer.Option("--environment", "-e", help="Environment in the lock file to install.")
    ] = "default",
) -> None:
    """Install packages into an environment.

    Examples:

      tt-conda install ttnn 'python 3.12.*' --prefix env

      tt-conda install --frozen tt-conda.lock --prefix env
    """
    from tt_conda.channel import environment

    where = _channels(channel) if not frozen or channel else []
    records = environment.install(specs or [], prefix, where, frozen, locked_environment)
    typer.echo(f"{prefix}: {len(records)} packages")


_Manifest = Annotated[Path | None, typer.Option(help="The pixi.toml to read. Default: the nearest one upwards.")]


@app.command()
def lock(
    specs: _Specs = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The lock file.")] = None,
    environments: Annotated[
        list[str] | None, typer.Option("--environment", "-e", help="Environment to lock, by name. Repeatable.")
    ] = None,
    manifest: _Manifest = None,
    channel: _Channels = None,
) -> None:
    """Solve, and write every package with its sha256 to a lock file (the format of pixi.lock).

    Without packages: all environments of the nearest pixi.toml, or the named ones, into the tt-conda.lock beside their
    manifest. A folder of workspaces/ is an environment by its name.

    Examples:

      tt-conda lock ttnn 'python 3.12.*' --output ttnn.lock

      tt-conda lock --environment dev
    """
    from tt_conda.channel import environment, lockfile
    from tt_conda.workspace import make
    from tt_conda.workspace import manifest as manifests

    if specs:
        file = output or Path(lockfile.WORKSPACE)
        lockfile.check_place(file)  # before solving takes its time
        channels = _channels(channel)
        records = environment.solve(specs, channels)
        lockfile.write_lock(file, records, specs, channels)
        typer.echo(f"{file}: {len(records)} packages")
        return
    workspaces = manifests.grouped(environments or [], manifest)
    if output and len(workspaces) > 1:
        files = ", ".join(str(workspace.file) for workspace, _ in workspaces)
        raise TtCondaError(f"--output is one file, and these are several workspaces: {files}", "Lock them one by one.")
    for workspace, names in workspaces:
        file = output or workspace.lock
        for name, records in make.lock(workspace, names, _workspace_channels(workspace, channel), file).items():
            typer.echo(f"{file}: {name}: {len(records)} packages")


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def run(
    command: Annotated[list[str], typer.Argument(metavar="COMMAND", help="What to run, with its arguments.")],
    prefix: _Prefix,
) -> None:
    """Run a command in an activated environment; its exit code is ours.

    Example:

      tt-conda run --prefix env python -c 'import ttnn'
    """
    from tt_conda.channel import shell

    raise typer.Exit(shell.run(prefix, command))


@app.command("shell")
def shell_(
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
    manifest: _Manifest = None,
    channel: _Channels = None,
) -> None:
    """Open a shell in an environment of a pixi.toml, created if it is missing, or in an existing prefix.

    An environment is looked for by name in the nearest pixi.toml, then in workspaces/NAME/ of the project. If there is
    a tt-conda.lock that fits, its packages are installed.

    Examples:

      tt-conda shell dev

      tt-conda shell dev --editable ../pytorch2.0_ttnn

      tt-conda shell dev --locked -- pytest tests

      tt-conda shell --prefix env
    """
    from tt_conda.channel import shell
    from tt_conda.workspace import make
    from tt_conda.workspace import manifest as manifests

    if locked and frozen:
        raise TtCondaError("--locked and --frozen exclude each other", "Take one of them.")
    if name:
        workspace, environment = manifests.find(name, manifest)
        prefix = prefix or environment.prefix
        mode: make.Mode = "locked" if locked else "frozen" if frozen else ""
        make.make(environment, prefix, _workspace_channels(workspace, channel), mode=mode, editable=editable or [])
    elif prefix is None:
        known = ", ".join(manifests.known(manifest))
        raise TtCondaError("no environment was named", f"Name one of {known}, or a folder with --prefix.")
    elif editable or locked or frozen:
        raise TtCondaError(
            "--editable, --locked and --frozen are for an environment of pixi.toml",
            "Pass the environment's name: tt-conda shell dev --locked.",
        )
    command = ["bash", "-c", line, "bash", *(words or [])] if line else words
    raise typer.Exit(shell.run(prefix, command) if command else shell.shell(prefix))


@app.command()
def prove(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Which environments, e.g. ci/proof.toml.")],
    channel: _Channels = None,
) -> None:
    """Make environments from the channel and show that a process maps each library once.

    Example:

      tt-conda prove ci/proof.toml
    """
    from tt_conda import proof
    from tt_conda.report.proof import show

    result = proof.prove(file, _channels(channel), _pythons(channel))
    show(result)
    raise typer.Exit(1 if result.problems else 0)


class _Form(str, Enum):
    """The forms of an audit."""

    table = "table"
    json = "json"
    sarif = "sarif"
    html = "html"


class _Severity(str, Enum):
    """Severities, the least first."""

    note = "note"
    warning = "warning"
    error = "error"


@app.command()
def audit(
    targets: Annotated[
        list[Path] | None,
        typer.Argument(metavar="TARGET", help="Wheels, conda packages, environments, folders, channels, objects."),
    ] = None,
    pid: Annotated[int | None, typer.Option(help="A running process instead: what it has mapped.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Judge as if each library were there once.")] = False,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="A B", help="Two states side by side; each one target, or several as A1,A2 or A1+A2."),
    ] = None,
    form: Annotated[
        _Form | None, typer.Option("--format", help="Else --output's ending says it (.json, .sarif, .html).")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file instead of standard output.")] = None,
    select: Annotated[
        list[str] | None, typer.Option(help="Only these rules: codes, their beginnings (TC2), names.")
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(help="Not these rules; reasons go into the configuration file.")
    ] = None,
    severity: Annotated[_Severity, typer.Option(help="Only what is at least so bad.")] = _Severity.note,
    config: Annotated[
        Path | None, typer.Option(help="A configuration file instead of ./audit.toml, ./pyproject.toml.")
    ] = None,
    baseline: Annotated[Path | None, typer.Option(help="Accept what this file lists, refuse what is new.")] = None,
    write_baseline: Annotated[Path | None, typer.Option(help="Accept what is found now: list it in this file.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="All findings and places, with evidence.")] = False,
) -> None:
    """Say what is shipped twice, what will not load, and which C++ ABIs do not fit, before anyone runs it.

    Several targets are audited as they would be installed together. Nothing is loaded or imported.
    Exit codes: 0 clean (notes do not count), 1 findings, 2 a target could not be read.

    Examples:

      tt-conda audit ttnn-0.81.1-cp312-cp312-manylinux_2_34_x86_64.whl

      tt-conda audit ttnn_shutov-….whl torch_ttnn_shutov-….whl --output audit.html

      tt-conda audit .venv --select TC1 --severity warning

      tt-conda audit --pid 4711

      tt-conda audit env --write-baseline accepted.json

      tt-conda audit env --baseline accepted.json --format sarif --output audit.sarif

      tt-conda audit --compare ttnn_shutov-….whl,torch_ttnn_shutov-….whl env
    """
    from tt_conda.report.audit.command import Asked, run

    asked = Asked(
        targets=targets or [], pid=pid, once=once, compare=compare, form=form.value if form else None, output=output,
        select=select or [], ignore=ignore or [], severity=severity.value, config=config, baseline=baseline,
        write_baseline=write_baseline, verbose=verbose, channels=_others,
    )  # fmt: skip
    raise typer.Exit(run(asked))


@app.command()
def explain(
    code: Annotated[str | None, typer.Argument(metavar="CODE", help="A rule's code or name.")] = None,
    every: Annotated[bool, typer.Option("--all", help="List the rules.")] = False,
) -> None:
    """Print the page of an audit's rule: why it matters, what to do, known false alarms.

    Examples:

      tt-conda explain TC901

      tt-conda explain --all
    """
    from tt_conda.report.audit import console_for
    from tt_conda.report.audit import explain as pages

    if every:
        pages.list_rules(console_for())
    elif code:
        pages.explain(code, console_for())
    else:
        raise TtCondaError("no rule was named", "Name a code, or --all for a list.")


@app.command()
def embedded(pinned: _Pinned = False) -> None:
    """Assemble the embedded channel and print where it is.

    It holds what the suite needs, for machines that cannot reach conda-forge: made from PyPI wheels, Debian packages
    and this machine's CPython.

    Examples:

      tt-conda embedded

      tt-conda embedded --pinned
    """
    from tt_conda.seed.assemble import ensure_channel

    typer.echo(ensure_channel())


def _channels(given: list[str] | None) -> list[str | Path]:
    """output/, where it is there, and then what was given, or else counts here."""
    from tt_conda import settings
    from tt_conda.channel import choice

    own = [settings.output_dir()] if (settings.output_dir() / "noarch" / "repodata.json").is_file() else []
    return [*own, *(choice.others(given) if given else _others())]


def _workspace_channels(workspace: Workspace, given: list[str] | None) -> list[str | Path]:
    """A workspace's channels; ``given``, or what stands in for conda-forge, comes in conda-forge's place.

    A folder that holds no channel yet, such as output/ before the first build, is left out.
    """
    from tt_conda.channel import choice

    instead = choice.others(given) if given else []
    found: list[str | Path] = []
    for channel in workspace.channels:
        if channel == choice.CONDA_FORGE:
            found += instead or _others()
        elif not isinstance(channel, Path) or (channel / "noarch" / "repodata.json").is_file():
            found.append(channel)
    return list(dict.fromkeys([*found, *instead]))


def _others() -> list[str | Path]:
    """Where everything comes from that the suite does not build itself."""
    from tt_conda import settings
    from tt_conda.channel import choice

    return [*settings.extra_channels(), *choice.others()]


def _source(asked: str) -> str:
    """The axis's value: ``upstream``, or a folder, from here or from a recipe's own."""
    from tt_conda import settings

    here = Path(asked).expanduser()
    if asked == "upstream":
        return asked
    if here.is_dir():
        return str(here.resolve())
    if any((recipe / asked).is_dir() for recipe in settings.project_dir().glob("recipes/*")):
        return asked
    raise TtCondaError(
        f"--tt-source: there is no folder {asked}",
        "Name the folder that tt-metal/ and the others are in (docs/source.md), or upstream.",
    )


def _instead(given: list[str] | None) -> dict[str, list[str]]:
    """The axes that have other values where the embedded channel stands in: what its machines cannot reach."""
    from tt_conda.channel import choice

    if not choice.is_embedded(given):
        return {}
    from tt_conda.seed.table import Table

    return Table.load().axes


def _pythons(given: list[str] | None) -> list[str] | None:
    """The Pythons that there are to build and test with; None where a channel that is not ours says it."""
    from tt_conda.channel import choice

    if not choice.is_embedded(given):
        return None
    from tt_conda.seed.cpython import available_pythons

    return list(available_pythons())


store = typer.Typer(
    help="""Copy the store of downloaded files: to keep what an index may delete, and for machines without a network.

    Name the copy, a folder or its URL, in TT_CONDA_STORES (separated by commas): it is asked before the index.

    Examples:

      tt-conda store export /mnt/inputs

      tt-conda store import https://example.org/inputs
    """,
    no_args_is_help=True,
)
app.add_typer(store, name="store")
_Locks = Annotated[
    list[Path] | None,
    typer.Option("--lock", help="Only what this lock file pins, e.g. recipes/ttnn/wheels.lock. Repeatable."),
]


@store.command("export")
def store_export(
    dest: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder, made if need be; what it has already stays.")],
    lock: _Locks = None,
) -> None:
    """Copy downloaded files to a folder that can be moved, or served over HTTP. Interrupted, it resumes when run again.

    Examples:

      tt-conda store export /mnt/inputs

      tt-conda store export /mnt/inputs --lock recipes/ttnn/wheels.lock --lock src/tt_conda/seed/seed.lock
    """
    from tt_conda.inputs.transfer import export

    typer.echo(f"{dest}: {export(dest, lock or [])} files")


@store.command("import")
def store_import(
    source: Annotated[
        str,
        typer.Argument(metavar="PLACE", help="An exported folder or its URL, or another cache's inputs folder."),
    ],
    lock: _Locks = None,
) -> None:
    """Take files from another store. Each is verified by its sha256; one that does not match is reported and not used.

    Examples:

      tt-conda store import /mnt/inputs

      tt-conda store import https://example.org/inputs --lock recipes/ttnn/wheels.lock
    """
    from tt_conda.inputs.transfer import import_

    taken, here = import_(source, lock or [])
    typer.echo(f"{taken} files taken, {here} were here")


@app.command("lock-inputs")
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


@app.command()
def sources(
    lock: Annotated[
        Path, typer.Argument(metavar="FILE", help="The lock file, e.g. recipes/pytorch-libcxx/sources.lock.")
    ],
    dest: Annotated[Path, typer.Option(help="The folder to fill.")] = Path("sources"),
) -> None:
    """Unpack the source archives that a lock file pins, each into its place, fetching what is not in the cache.

    Example:

      tt-conda sources recipes/pytorch-libcxx/sources.lock --dest pytorch
    """
    from tt_conda.inputs.sources import unpack_sources

    for folder in unpack_sources(lock, dest):
        typer.echo(folder)


class _Stopped(BaseException):
    """^C or SIGTERM; not KeyboardInterrupt, which typer turns into an exit code without a word."""


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
    except (_Stopped, typer.Abort):
        _say("stopped", "What was finished is kept; the same command goes on from there.")
        os._exit(130)  # the engine's threads may still run
    except BrokenPipeError:
        os._exit(141)
    except Exception as error:
        if type(error).__module__.split(".")[0] in ("click", "typer") and hasattr(error, "show"):
            error.show()
            sys.exit(2)
        raise


def _stop(number: int, frame: FrameType | None) -> None:
    raise _Stopped


def _say(what: str, way_out: str) -> None:
    from tt_conda.progress import console

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
