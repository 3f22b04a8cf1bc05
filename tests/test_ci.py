"""``ci/run`` and its tasks."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

PROJECT = Path(__file__).parents[1]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def tasks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tasks", PROJECT / "ci/tasks.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """``ci/run`` with tasks of its own, in a folder with a space in its name."""
    root = tmp_path / "a checkout"
    (root / "ci").mkdir(parents=True)
    for name in ("run", "tasks.py"):
        shutil.copy(PROJECT / "ci" / name, root / "ci")
    (root / "pyproject.toml").write_text("")
    (root / "pixi.toml").write_text(
        """
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
[tasks.fails]
cmd = "exit 7"
description = "Fails"
[tasks.killed]
cmd = "kill -9 $$"
description = "Is killed"
[tasks.after]
cmd = "echo never"
depends-on = ["fails"]
description = "Never comes"
"""
    )
    return root


@pytest.fixture
def run(checkout: Path, tmp_path: Path) -> Run:
    """Run ``ci/run`` with the virtual environment that this test runs in."""
    cache = tmp_path / "cache"

    def call(*arguments: str, ready: bool = True, **more: str) -> subprocess.CompletedProcess[str]:
        if ready:
            key = subprocess.run(
                ["bash", "-c", 'sha256sum "$0/pyproject.toml" "$0/ci/run" | sha256sum | cut -c1-12', checkout],
                capture_output=True, text=True, check=True,
            ).stdout.strip()  # fmt: skip
            venv = cache / "venv" / key
            (venv / "bin").mkdir(parents=True, exist_ok=True)
            (venv / ".complete").touch()
            program = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
            (venv / "bin/python").write_text(program)
            (venv / "bin/python").chmod(0o755)
        environ = {k: v for k, v in os.environ.items() if not k.startswith("TT_CONDA")}
        return subprocess.run(
            [checkout / "ci/run", *arguments], env={**environ, "TT_CONDA_CACHE": str(cache), **more}, cwd=tmp_path,
            capture_output=True, text=True,
        )  # fmt: skip

    return call


def test_tasks_come_after_what_they_depend_on_and_once(run: Run, checkout: Path) -> None:
    done = run("three", "a b", "$HOME", "--x")
    assert done.stdout.splitlines() == [f"one {checkout}", "two", "['a b', '$HOME', '--x']"], done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize(("task", "code"), [("fails", 7), ("after", 7), ("killed", 137)])
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


def test_the_tasks_of_this_project(tasks: ModuleType) -> None:
    manifest = tasks.tomllib.loads((PROJECT / "pixi.toml").read_text())
    assert tasks.order(manifest["tasks"], "test") == ["build", "test"]
    assert {"build", "test", "lint"} <= set(manifest["tasks"])
    assert all(task["description"] for task in manifest["tasks"].values())


def _path_with(folder: Path) -> str:
    """A PATH that has what ci/run uses, and no Python."""
    folder.mkdir()
    for name in ("bash", "sha256sum", "cut", "dirname", "mkdir", "rm", "flock", "tail", "touch"):
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
