"""The command line: exit codes, where things are printed, and what is said about mistakes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from rattler_build import assemble_package

from stopping import hears_ctrl_c, wait_until, waits_for_a_lock
from tt_conda import __version__, cli
from tt_conda.building.build import Built
from tt_conda.channel import index
from tt_conda.commands import defaults
from tt_conda.embedded import cpython

Run = Callable[..., "subprocess.CompletedProcess[str]"]
COMMANDS = [
    "carve", "build", "install", "lock", "run", "serve", "shell", "prove", "audit", "explain", "embedded", "sources",
    "lock-inputs", "verify", "publish", "store", "fetch", "simulator",
]  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run tt-conda in an empty folder with an empty cache."""

    def call(*arguments: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("TT_CONDA", "CONDA"))}
        environ |= {"TT_CONDA_CACHE": str(tmp_path / "cache"), "COLUMNS": "100", **more}
        command = [sys.executable, "-m", "tt_conda.cli", *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=300)

    return call


@pytest.fixture
def channel(tmp_path: Path) -> Path:
    """One package with a command ``hello``, which ends with exit code 7."""
    staged = tmp_path / "staged/bin"
    staged.mkdir(parents=True)
    (staged / "hello").write_text("#!/bin/sh\necho hello $1\nexit 7\n")
    (staged / "hello").chmod(0o755)
    (tmp_path / "made").mkdir()
    package = assemble_package("hello", "1.0", "noarch", "0", tmp_path / "made", files_dir=staged.parent,
                               noarch="generic").path  # fmt: skip
    index.publish([package], tmp_path / "channel")
    return tmp_path / "channel"


def test_every_command_is_tested_here() -> None:
    assert sorted(COMMANDS) == sorted(typer.main.get_command(cli.app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_that_parses(run: Run, command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0 and not done.stderr
    examples = re.findall(rf"^ +(tt-conda {command}.*)$", done.stdout, flags=re.M)
    assert examples, done.stdout


LOADED = """
import sys
{app}
sys.argv = ["tt-conda", "--help"]
try:
    app(standalone_mode=False)
finally:
    sys.stderr.write("\\n".join(sys.modules))
"""


def test_help_imports_nothing_but_the_options() -> None:
    """What a command does is imported when it runs: the rest is what typer needs to show the help of any program."""

    def loaded(app: str) -> set[str]:
        code = [sys.executable, "-c", LOADED.format(app=app)]
        return set(subprocess.run(code, capture_output=True, text=True, check=True).stderr.split())

    ours = loaded("from tt_conda.cli import app")
    plain = "import contextlib, enum, os, signal, threading, typer; app = typer.Typer(rich_markup_mode='rich')"
    others = loaded(f"{plain}; app.command('a')(lambda: None); app.command('b')(lambda: None)")
    files = (Path(cli.__file__).parent / "commands").glob("*.py")
    commands = {f"tt_conda.commands.{file.stem}" for file in files if file.stem not in ("__init__", "defaults")}
    base = {"tt_conda", "tt_conda.base", "tt_conda.base.errors", "tt_conda.cli", "tt_conda.commands"}
    assert {name for name in ours if name.split(".")[0] == "tt_conda"} == base | commands
    packages = {name.split(".")[0] for name in ours - others} - set(sys.stdlib_module_names)
    assert packages == {"tt_conda"}


def test_help_and_version(run: Run) -> None:
    for arguments in ([], ["--help"], ["-h"]):
        done = run(*arguments)
        said = done.stdout + done.stderr
        assert all(command in said for command in COMMANDS)
        assert done.returncode == (0 if arguments else 2)
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"tt-conda {__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "nonsense"),
        (["build", "--colour", "red"], "--colour"),
        (["install"], "--prefix"),
        (["run", "--prefix", "env"], "COMMAND"),
        (["build"], "no recipes here"),
        (["build", "--channel", "."], "no recipes here"),
        (["carve"], "no wheel was named"),
        (["carve", "nowhere.whl"], "nowhere.whl"),
        (["carve", "--lock", "nowhere.lock"], "nowhere.lock"),
        (["carve", "x.whl", "--rules", "nowhere.toml"], "nowhere.toml"),
        (["install", "--prefix", "env", "-c", "nowhere", "x"], "nowhere"),
        (["install", "--prefix", "env", "-c", "./nowhere", "x"], "no channel in"),
        (["install", "--prefix", "env", "--frozen", "nowhere.lock"], "nowhere.lock"),
        (["lock", "-c", "./nowhere", "x"], "no channel in"),
        (["run", "--prefix", "env", "true"], "no environment in"),
        (["shell", "--prefix", "env"], "no environment in"),
        (["prove", "nowhere.toml", "-c", "./nowhere"], "nowhere"),
        (["lock-inputs", "nowhere.lock"], "nowhere.lock"),
        (["verify"], "there are no packages in"),
        (["verify", "x"], "there is no package x in"),
        (["verify", "nowhere.conda"], "there is no file nowhere.conda"),
        (["simulator", "add", "nowhere.so"], "There is no file nowhere.so"),
        (["shell", "--prefix", "env", "--chip", "wh"], "are for an environment of pixi.toml"),
        (["publish"], "Missing argument"),
        (["publish", "somewhere"], "there are no packages in"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_explained(run: Run, tmp_path: Path, arguments: list[str], said: str) -> None:
    done = run(*arguments, PATH="/usr/bin:/bin", HOME=str(tmp_path / "home"))
    assert done.returncode == 2, done
    assert said in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == ""


def test_results_go_to_stdout_and_messages_to_stderr(run: Run, channel: Path, tmp_path: Path) -> None:
    done = run("install", "hello", "--prefix", "env", "--channel", channel)
    assert (done.returncode, done.stdout) == (0, "env: 1 packages\n")
    assert "Installing" in done.stderr
    done = run("lock", "hello", "--output", "x.lock", "--channel", channel)
    assert (done.returncode, done.stdout) == (0, "x.lock: 1 packages\n")
    done = run("install", "--frozen", "x.lock", "--prefix", "env2")
    assert (done.returncode, done.stdout) == (0, "env2: 1 packages\n")
    assert (tmp_path / "env2/bin/hello").exists()


def test_run_returns_the_exit_code_of_the_command(run: Run, channel: Path) -> None:
    run("install", "hello", "--prefix", "env", "--channel", channel)
    done = run("run", "--prefix", "env", "hello", "--prefix")
    assert (done.returncode, done.stdout, done.stderr) == (7, "hello --prefix\n", "")
    done = run("run", "--prefix", "env", "sh", "-c", "kill -INT $$")
    assert (done.returncode, done.stderr) == (130, "")
    done = run("run", "--prefix", "env", "no-such-command")
    assert done.returncode == 2 and "no-such-command" in done.stderr
    done = run("shell", "--prefix", "env", SHELL="/bin/false")
    assert done.returncode == 1


def test_a_closed_pipe_is_no_error(run: Run, tmp_path: Path) -> None:
    command = f"{sys.executable} -m tt_conda.cli build --help | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_stopping_any_command(channel: Path, tmp_path: Path, sent: signal.Signals) -> None:
    """It waits here for an environment that another process works on."""
    program = "import sys; from pathlib import Path; from tt_conda.environment.prefix import locked\n"
    program += "with locked(Path(sys.argv[1])): print('mine', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path / "env"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout and other.stdout.readline()
        command = [sys.executable, "-m", "tt_conda.cli", "install", "hello", "-p", tmp_path / "env", "-c", channel]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=hears_ctrl_c) as child:
            wait_until(lambda: waits_for_a_lock(child), child)
            child.send_signal(sent)
            said = child.communicate(timeout=300)[1]
        other.communicate()
    assert child.returncode == 128 + sent and "stopped" in said and "Traceback" not in said


# --- Pythons that are not here ---


@pytest.fixture
def pythons(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretend that the machine has these CPythons only."""

    def only(*versions: str) -> None:
        real = cpython.find
        monkeypatch.setattr(cpython, "find", lambda version: real(version) if version in versions else None)

    monkeypatch.setenv("TT_CONDA_CHANNELS", "embedded")
    return only


def _main(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["tt-conda", *arguments])
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return 0


@pytest.mark.parametrize("command", [["build"], ["prove", "ci/proof.toml"], ["embedded"]])
def test_without_any_python_it_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], pythons: Callable[..., None],
    command: list[str],
) -> None:  # fmt: skip
    pythons()
    assert _main(monkeypatch, *command) == 2
    said = capfd.readouterr()
    assert "neither CPython 3.10 nor CPython 3.12" in said.err
    assert "uv python install" in said.err and said.out == ""


def test_with_one_python_it_builds_what_it_can(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], pythons: Callable[..., None], tmp_path: Path
) -> None:
    pythons("3.10")
    monkeypatch.setattr("tt_conda.embedded.assemble.ensure_channel", lambda names=None: tmp_path / "channel")
    index.publish([], tmp_path / "channel")
    asked: dict[str, object] = {}

    def build(packages: object, **more: object) -> Built:
        asked.update(more)
        return Built(tmp_path, built=["a-1.0-py310_0"], left_out=["a-1.0-py312_0", "b-1.0-py312_0"])

    monkeypatch.setattr("tt_conda.building.build.build", build)
    if "3.10" not in cpython.available_pythons():
        pytest.skip("no CPython 3.10 on this machine")
    assert _main(monkeypatch, "build") == 0
    assert asked["pythons"] == ["3.10"]
    assert "left out a-1.0-py312_0, b-1.0-py312_0: no such CPython on this machine" in capfd.readouterr().err
    assert _main(monkeypatch, "build", "--channel", str(tmp_path / "channel")) == 0
    assert asked["pythons"] is None  # that channel has its own


@pytest.mark.parametrize(
    ("asked", "taken"),
    [("src", "{}/src"), (".", "{}"), ("both", "{}/both"), ("upstream", "upstream"), ("../../here", "../../here")],
)
def test_one_s_own_sources_are_named_from_where_one_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: str, taken: str
) -> None:
    """Or from a recipe's folder, as rattler-build takes them."""
    for folder in ("src", "here", "both", "recipes/one/both"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setenv("TT_CONDA_PROJECT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    given: dict[str, Any] = {}
    monkeypatch.setattr("tt_conda.building.build.build", lambda packages, **more: given.update(more) or Built(tmp_path))
    options = ["build", "ttnn", "--origin", "source", "--channel", "conda-forge"]
    assert _main(monkeypatch, *options, "--tt-source", asked) == 0
    assert given["instead"]["tt_source"] == [taken.format(tmp_path)]


def test_sources_that_are_nowhere(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("TT_CONDA_PROJECT", str(tmp_path))
    assert _main(monkeypatch, "build", "--origin", "source", "--channel", "c", "--tt-source", "nowhere") == 2
    assert "--tt-source: there is no folder nowhere" in capfd.readouterr().err


def test_environments_of_a_missing_python_are_left_out_of_the_proof(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path, channel: Path
) -> None:
    monkeypatch.setattr(defaults, "pythons", lambda given: ["3.10"])
    monkeypatch.chdir(tmp_path)
    proof = tmp_path / "proof.toml"
    item = {"name": "e", "python": "3.12", "specs": ["hello"], "imports": [], "packages": ["hello"]}
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in item.items())
    proof.write_text(f"[[environment]]\n{lines}\n")
    assert _main(monkeypatch, "prove", str(proof), "--channel", str(channel)) == 0
    assert "left out e: no CPython 3.12 on this machine" in capfd.readouterr().err


def test_what_nobody_has_is_left_out_of_the_proof_with_the_command_that_builds_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path, channel: Path
) -> None:
    monkeypatch.setattr(defaults, "pythons", lambda given: ["3.12"])
    monkeypatch.chdir(tmp_path)
    lines = ['name = "e"', 'python = "3.12"', 'specs = ["hello"]', "imports = []", "packages = []"]
    given = ['given = ["nobody-has-this >=2"]', 'otherwise = "tt-conda build nobody-has-this"']
    (tmp_path / "proof.toml").write_text("\n".join(["[[environment]]", *lines, *given]))
    assert _main(monkeypatch, "prove", "proof.toml", "--channel", str(channel)) == 0
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "left out" in line]
    assert re.search(r"\be\b.*\bnobody-has-this >=2.*: tt-conda build nobody-has-this$", line)


@pytest.mark.parametrize("command", [*COMMANDS, "store export", "store import"])
def test_a_usage_line_has_no_doubled_brackets(run: Run, command: str) -> None:
    """And arguments in capitals, as they are in the text."""
    usage = re.search(r"Usage: (.*)", run(*command.split(), "--help").stdout)
    assert usage
    assert "[[" not in usage[1] and not re.search(r"[{[][a-z]", usage[1]), usage[1]


def test_variants_of_a_build(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A named value comes in place of what the embedded channel would set; a wrong key lists the right ones."""
    (tmp_path / "variants.yaml").write_text("source: [upstream]\nbuild: [Release]\nlib: ['1', '2']\n")
    (tmp_path / "variants-on-request.yaml").write_text("source: [debian]\nbuild: [Debug]\n")
    monkeypatch.setenv("TT_CONDA_PROJECT", str(tmp_path))
    monkeypatch.setattr(defaults, "overridden", lambda given: {"source": ["debian"]})
    given: dict[str, Any] = {}
    monkeypatch.setattr("tt_conda.building.build.build", lambda packages, **more: given.update(more) or Built(tmp_path))
    words = ["build", "--channel", "c"]
    assert _main(monkeypatch, *words, "--variant", "lib=2", "--variant", "build=Debug") == 0
    assert (given["axes"], given["instead"]) == ({"lib": ["2"]}, {"source": ["debian"], "build": ["Debug"]})
    assert _main(monkeypatch, *words, "--variant", "source=upstream", "--cxx-stdlib", "libcxx") == 0
    assert (given["axes"], given["instead"]) == ({"source": ["upstream"], "cxx_stdlib": ["libcxx"]}, {})
    assert _main(monkeypatch, *words, "--variant", "libs=2") == 2
    said = capfd.readouterr().err
    assert "no key libs" in said and "source=upstream|debian" in said and "lib=1|2" in said
