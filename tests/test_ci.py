"""``ci/run`` and its tasks."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import pytest

from script import loaded
from tt_conda.base import settings
from tt_conda.base.location import channel_url

PROJECT = Path(__file__).parents[1]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def tasks() -> ModuleType:
    return loaded(PROJECT / "ci/tasks.py")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """``ci/run`` with tasks of its own, in a folder with a space in its name."""
    root = tmp_path / "a checkout"
    (root / "ci").mkdir(parents=True)
    for name in ("run", "tasks.py", "requirements.py", "requirements.txt"):
        shutil.copy(PROJECT / "ci" / name, root / "ci")
    (root / "pyproject.toml").write_text("")
    (root / "pixi.toml").write_text(
        r"""
[tasks.one]
cmd = "echo one $PWD"
description = "The first"
[tasks.two]
cmd = "echo two"
depends-on = ["one"]
description = "The second"
[tasks.three]
cmd = "python -c 'import sys; print(sys.argv[1:])'"
depends-on = ["two", "one"]
description = "The third"
[tasks.both]
cmd = "echo a && python -c 'print(\"b; c\")'"
depends-on = ["one"]
description = "Two programs"
[tasks.fails]
cmd = "exit 7"
description = "Fails"
[tasks.killed]
cmd = "kill -9 $$"
description = "Is killed"
[tasks.never]
cmd = "echo never"
depends-on = ["fails"]
description = "Never comes"
[feature.f.tasks.makes]
cmd = "echo making; cat in/* > made"
inputs = ["in/**"]
outputs = ["made"]
description = "Makes a file of others"
[feature.g.tasks.uses]
cmd = "cat made"
depends-on = [{ task = "makes", environment = "f" }]
description = "Uses it"
[tasks.shows]
cmd = "cat"
inputs = ["in/**"]
description = "Shows files"
[tasks.says]
args = [{ arg = "what", default = "nothing" }]
cmd = "echo {{ what }}, {{what}}"
description = "Says it twice"
"""
    )
    return root


@pytest.fixture
def run(checkout: Path, tmp_path: Path) -> Run:
    """Run ``ci/run`` with the virtual environment that this test runs in."""

    def call(
        *arguments: str, ready: bool = True, cache: Path = tmp_path / "cache", script: Path = checkout / "ci/run",
        without: Sequence[str] = (), **more: str,
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        if ready:
            parts = [checkout / name for name in ("pyproject.toml", "ci/requirements.txt", "ci/requirements.py")]
            key = hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()[:12]
            venv = cache / "venv" / key
            (venv / "bin").mkdir(parents=True, exist_ok=True)
            (venv / ".complete").touch()
            program = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
            (venv / "bin/python").write_text(program)
            (venv / "bin/python").chmod(0o755)
        environ = {k: v for k, v in os.environ.items() if not k.startswith("TT_CONDA")}
        environ = {**environ, "TT_CONDA_CACHE": str(cache), **more}
        return subprocess.run(
            [script, *arguments], env={k: v for k, v in environ.items() if k not in without}, cwd=tmp_path,
            capture_output=True, text=True,
        )  # fmt: skip

    return call


def test_tasks_come_after_what_they_depend_on_and_once(run: Run, checkout: Path) -> None:
    done = run("three", "a b", "$HOME", "--x")
    assert done.stdout.splitlines() == [f"one {checkout}", "two", "['a b', '$HOME', '--x']"], done.stderr
    assert done.returncode == 0


def test_arguments_may_name_more_than_the_inputs(run: Run, checkout: Path) -> None:
    for text in ("1", "2"):
        (checkout / "more").write_text(text)
        assert run("shows", "more").stdout == text


@pytest.mark.parametrize(("task", "code"), [("fails", 7), ("never", 7), ("killed", 137)])
def test_a_failing_task_ends_it(run: Run, task: str, code: int) -> None:
    done = run(task)
    assert (done.returncode, done.stdout) == (code, "")


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["nonsense"]])
def test_usage(run: Run, arguments: list[str]) -> None:
    done = run(*arguments)
    helped = bool(arguments) and arguments[0].startswith("-")
    assert done.returncode == (0 if helped else 2)
    said = done.stdout if helped else done.stderr
    assert "usage: ci/run TASK" in said and "one      The first" in said and "examples:" in said
    if arguments == ["nonsense"]:
        assert "there is no task 'nonsense'" in said


def test_any_command_in_the_environment_of_the_tasks(run: Run, tmp_path: Path) -> None:
    done = run("exec", "sh", "-c", 'echo "$1|$PWD"; exit 7', "sh", "a b")
    assert (done.returncode, done.stdout) == (7, f"a b|{tmp_path}\n")
    assert run("exec", "sh", "-c", "kill -9 $$").returncode == 137
    done = run("exec", "no-such-command")
    assert done.returncode == 127 and "no-such-command" in done.stderr and "Traceback" not in done.stderr
    assert run("exec").returncode == 2


def test_what_has_not_changed_is_not_made_again(run: Run, checkout: Path) -> None:
    (checkout / "in").mkdir()
    (checkout / "in/a").write_text("a\n")
    assert run("uses").stdout == "making\na\n"
    done = run("uses")
    assert done.stdout == "a\n" and "makes: nothing has changed" in done.stderr
    for change in (
        lambda: (checkout / "in/b").write_text("b\n"),
        lambda: (checkout / "in/b").unlink(),
        lambda: (checkout / "made").unlink(),
        lambda: (checkout / "made").write_text("damaged"),
    ):
        change()
        assert run("uses").stdout.startswith("making\na\n")
        assert "making" not in run("uses").stdout
    assert run("uses", TT_CONDA_EXTRA_CHANNEL="x").stdout.startswith("making"), "it may make something else now"
    (checkout / "in/a").unlink()
    assert run("makes").returncode != 0
    (checkout / "in/a").write_text("a\n")
    assert run("makes").stdout == "making\n", "what has failed is tried again"


def test_the_channel_is_chosen_once_and_part_of_what_has_changed(run: Run, checkout: Path, tmp_path: Path) -> None:
    """With conda-forge in a folder, which is there or not, as the network is."""
    (checkout / "src").symlink_to(PROJECT / "src")
    (checkout / "in").mkdir()
    (checkout / "in/a").write_text("a")
    with (checkout / "pixi.toml").open("a") as manifest:
        manifest.write(
            '[tasks.packages]\ncmd = "tt-conda --version && echo $TT_CONDA_CHANNELS > made"\n'
            'inputs = ["in/**"]\noutputs = ["made"]\ndescription = "Packages"\n'
            '[tasks.after]\ncmd = "echo after $TT_CONDA_CHANNELS"\ndepends-on = ["packages"]\ndescription = "After"\n'
        )
    mirror, config = tmp_path / "mirror", tmp_path / "config.toml"
    config.write_text(f'[mirrors]\n"{channel_url("conda-forge")}" = ["{mirror.as_uri()}"]\n')
    for subdir in ("linux-64", "noarch"):
        (mirror / subdir).mkdir(parents=True)
        (mirror / subdir / "repodata.json").write_text("{}")

    def build() -> subprocess.CompletedProcess[str]:
        return run("after", PIXI_CONFIG_FILE=str(config))

    for chosen in ("conda-forge", "embedded"):
        done = build()
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("Channel: ") == 1 and f"Channel: {chosen} (" in done.stderr
        assert "nothing has changed" not in done.stderr
        assert done.stdout.splitlines()[-1] == f"after {chosen}"
        assert (checkout / "made").read_text() == f"{chosen}\n"
        assert "packages: nothing has changed" in build().stderr
        if chosen == "conda-forge":
            mirror.rename(tmp_path / "gone")
    (tmp_path / "gone").rename(mirror)
    assert "nothing has changed" not in build().stderr, "the network is back"


def test_what_needs_no_channel_asks_for_none(run: Run) -> None:
    done = run("two", PIXI_CONFIG_FILE="/nonexistent")
    assert (done.returncode, done.stderr) == (0, "")


def test_arguments_fill_what_a_task_names(run: Run) -> None:
    assert run("says").stdout == "nothing, nothing\n"
    assert run("says", "a  $HOME", "more").stdout == "a  $HOME, a  $HOME more\n"


def test_arguments_are_for_a_task_of_one_program(run: Run) -> None:
    done = run("both", "more")
    assert (done.returncode, done.stdout) == (2, ""), "not even what it depends on has run"
    assert "'both' takes no arguments" in done.stderr and "echo a &&" in done.stderr
    assert run("both").stdout.splitlines()[1:] == ["a", "b; c"]


@pytest.mark.parametrize(
    ("command", "one"),
    [("tool x", True), ("tool 'a && b; c'", True), ("a && b", False), ("a; b", False), ("a|b", False), ("a\nb", False)],
)
def test_what_one_program_is(tasks: ModuleType, command: str, one: bool) -> None:
    assert tasks._is_one_program(command) == one


SAID = ("exec", "sh", "-c", 'cd / && echo "$TT_CONDA_CACHE|$TT_CONDA_PROJECT|$PYTHONPATH|$TT_CONDA_OWN_PYTHONPATH"')


@pytest.mark.parametrize(
    ("named", "cache"),
    [
        ({"TT_CONDA_CACHE": "a cache/../b"}, "b"),
        ({"TT_CONDA_CACHE": "./-"}, "-"),
        ({"TT_CONDA_CACHE": "~"}, "home"),
        ({"TT_CONDA_CACHE": "~/a cache"}, "home/a cache"),
        ({"TT_CONDA_CACHE": "link/x"}, "home/x"),
        ({"TT_CONDA_CACHE": "", "XDG_CACHE_HOME": "~/xdg"}, "home/xdg/tt-conda"),
        ({"TT_CONDA_CACHE": "", "XDG_CACHE_HOME": "relative"}, "relative/tt-conda"),
        ({"TT_CONDA_CACHE": "", "XDG_CACHE_HOME": ""}, "home/.cache/tt-conda"),
    ],
)
def test_the_cache_folder_is_the_one_that_tt_conda_computes(
    run: Run, checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: dict[str, str], cache: str
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "a cache").mkdir()
    (tmp_path / "link").symlink_to("home")
    done = run(*SAID, cache=tmp_path / cache, HOME=str(tmp_path / "home"), **named)
    assert done.stdout == f"{tmp_path / cache}|{checkout}|{checkout}/src|{checkout}/src\n", done.stderr
    for name, value in {**named, "HOME": str(tmp_path / "home")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    assert settings.cache_dir() == tmp_path / cache


def test_children_in_environments_do_not_get_the_checkout_s_code(run: Run) -> None:
    code = "from tt_conda.base.settings import environ; e = environ(); print([k for k in e if 'PYTHONPATH' in k])"
    assert run("exec", "python", "-c", code).stdout == "[]\n"


def test_another_user_s_home(run: Run) -> None:
    done = run(*SAID, TT_CONDA_CACHE="~no-such-user/x")
    assert done.returncode == 1 and "there is no user no-such-user" in done.stderr and "TT_CONDA_CACHE=" in done.stderr
    done = run(*SAID, TT_CONDA_CACHE="~$(touch /tmp/x)/x")
    assert done.returncode == 1 and "there is no user" in done.stderr


def test_without_a_home_the_way_out_is_told(run: Run, tmp_path: Path) -> None:
    done = run("one", TT_CONDA_CACHE="", without=["HOME", "XDG_CACHE_HOME"])
    assert (done.returncode, done.stdout) == (1, "")
    assert "HOME is not set" in done.stderr and "TT_CONDA_CACHE=/path" in done.stderr
    assert run("one", without=["HOME", "XDG_CACHE_HOME"]).returncode == 0, "it is not needed then"


@pytest.mark.parametrize("place", ["file/cache", "file", "/proc/cache"])
def test_a_cache_that_cannot_be_written(run: Run, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    done = run("one", TT_CONDA_CACHE=place)
    assert (done.returncode, done.stdout) == (1, "")
    (error, way_out) = done.stderr.splitlines()
    assert f"the cache folder {tmp_path / place} cannot be made" in error and "TT_CONDA_CACHE=/path" in way_out


def test_a_checkout_behind_links(run: Run, checkout: Path, tmp_path: Path) -> None:
    """Of the folder, and of the script itself; a relative one too. What CDPATH has does not matter."""
    (tmp_path / "linked").symlink_to(checkout)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/tt").symlink_to("../linked/ci/run")
    (tmp_path / "elsewhere/ci").mkdir(parents=True)
    for script in (tmp_path / "linked/ci/run", tmp_path / "bin/tt", Path("linked/ci/run")):
        done = run(*SAID, script=script, CDPATH=str(tmp_path / "elsewhere"))
        assert done.stdout.split("|")[1] == str(checkout), done.stderr


def test_checkouts_of_one_content_share_a_virtual_environment(run: Run, checkout: Path, tmp_path: Path) -> None:
    run("one")
    shutil.copytree(checkout, tmp_path / "copy")
    done = run("one", script=tmp_path / "copy/ci/run", ready=False, TT_CONDA_PYTHON="/nonexistent")
    assert done.stdout == f"one {tmp_path}/copy\n", done.stderr


def test_linters_are_bounded(tasks: ModuleType) -> None:
    extra = tasks.tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["dev"]
    assert all("<" in requirement for requirement in extra if requirement.startswith(("mypy", "ruff")))


def _path_with(folder: Path) -> str:
    """A PATH that has what ci/run uses, and no Python."""
    folder.mkdir()
    for name in ("bash", "cat", "sha256sum", "cut", "dirname", "mkdir", "rm", "flock", "tail", "touch"):
        found = shutil.which(name)
        assert found, name
        (folder / name).symlink_to(found)
    return str(folder)


@pytest.mark.parametrize("kind", ["none", "shim that fails", "too old", "without venv"])
def test_without_a_suitable_python_it_says_how_to_get_one(run: Run, tmp_path: Path, kind: str) -> None:
    path = _path_with(tmp_path / "bin")
    scripts = {
        "shim that fails": "echo 'pyenv: python3: command not found' >&2; exit 127",
        "too old": "case $2 in *version_info*) exit 1;; esac",
        "without venv": "case $2 in *ensurepip*) exit 1;; esac",
    }
    if kind != "none":
        for name in ("python3", "python3.12"):
            (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{scripts[kind]}\n")
            (tmp_path / "bin" / name).chmod(0o755)
    if Path("/usr/bin/python3").exists():  # the script's last resort, with an absolute name
        script = tmp_path / "a checkout/ci/run"
        script.write_text(script.read_text().replace("/usr/bin/python3", "/nonexistent/python3"))
    done = run("one", ready=False, PATH=path)
    assert done.returncode == 1
    assert "no Python >= 3.10" in done.stderr
    assert "apt-get install python3-venv" in done.stderr and "TT_CONDA_PYTHON=" in done.stderr
    assert done.stdout == "" and not list((tmp_path / "cache/venv").glob("*/.complete"))


def test_a_python_by_name(run: Run, tmp_path: Path) -> None:
    """Naming one that does not work is not passed over in silence."""
    done = run("one", ready=False, PATH=_path_with(tmp_path / "bin"), TT_CONDA_PYTHON="/nonexistent/python3")
    assert done.returncode != 0 and "/nonexistent/python3" in done.stderr


def test_a_virtual_environment_that_cannot_be_made(run: Run, tmp_path: Path) -> None:
    """Here pip has no index: the reason, the log and the way out are told, and nothing half made is used."""
    done = run("one", ready=False, TT_CONDA_PYTHON=sys.executable, PIP_NO_INDEX="1")
    assert done.returncode == 1, done
    assert "the virtual environment could not be made" in done.stderr and "once it can be reached" in done.stderr
    log = re.search(r"the full log: (\S+)", done.stderr)
    assert log and Path(log[1]).is_file()
    assert done.stdout == "" and not list((tmp_path / "cache/venv").glob("*/.complete"))


def test_ci_checks_style_and_then_runs_the_readme_s_test_command() -> None:
    lines = (PROJECT / ".ci/run").read_text().splitlines()
    assert lines[-2:] == ["ci/run lint", "ci/run test"]
    assert "ci/run test" in (PROJECT / "README.md").read_text()
