"""Environments with the packages of recipes/pytorch-libcxx, where they are."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tt_conda import settings
from tt_conda.channel import environment
from tt_conda.channel.places import channel_url, local_path
from tt_conda.seed.assemble import available_pythons, ensure_channel

PROJECT = Path(__file__).parents[2]
COMPILER = ["clangxx_linux-64", "lld", "cmake", "ninja", "libcxx-devel"]

Environment = Callable[..., Path]
Call = Callable[..., "subprocess.CompletedProcess[str]"]


def _places() -> list[str | Path]:
    return [PROJECT / "output", *settings.extra_channels()]


def _is_there(cxx_stdlib: str, python: str) -> bool:
    """Whether a channel has that pytorch; one that is not on this machine is believed to."""
    tag = f"pytorch-*-{cxx_stdlib}_py{python.replace('.', '')}_*.conda"
    folders = [local_path(channel_url(place)) for place in _places()]
    return any(folder is None or any(folder.glob(f"linux-64/{tag}")) for folder in folders)


@pytest.fixture(scope="session")
def channels() -> list[str | Path]:
    return [*_places(), *(settings.channels() or [ensure_channel()])]


@pytest.fixture(scope="session")
def environment_with(channels: list[str | Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with pytorch of one C++ standard library, for one Python, and with a compiler for it."""
    made: dict[tuple[str, str, tuple[str, ...]], Path] = {}

    def make(cxx_stdlib: str, python: str = "3.10", *more: str) -> Path:
        if not settings.channels() and python not in available_pythons():
            pytest.skip(f"no CPython {python} on this machine")
        if not _is_there(cxx_stdlib, python):
            command = f"tt-conda build pytorch --cxx-stdlib {cxx_stdlib} --python {python}"
            pytest.skip(f"no pytorch with {cxx_stdlib} for Python {python} is here; to build it: {command}")
        key = (cxx_stdlib, python, more)
        if key not in made:
            folder = tmp_path_factory.mktemp("torch") / "env"
            specs = [f"pytorch * {cxx_stdlib}_*", f"python {python}.*", *COMPILER, *more]
            environment.install(specs, folder, channels)
            made[key] = folder
        return made[key]

    return make


@pytest.fixture(scope="session")
def call(tmp_path_factory: pytest.TempPathFactory) -> Call:
    """Run a command in an activated environment, in an empty folder; it must end well unless ``check=False``."""

    def run(prefix: Path, *command: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        variables = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
        variables |= {"PATH": "/usr/bin:/bin", "TORCH_EXTENSIONS_DIR": str(prefix / "extensions")}
        words = [sys.executable, "-m", "tt_conda.cli", "run", "--prefix", prefix, *command]
        variables["PYTHONPATH"] = variables["TT_CONDA_OWN_PYTHONPATH"] = str(PROJECT / "src")
        done = subprocess.run(
            words, env=variables, text=True, capture_output=True, cwd=tmp_path_factory.mktemp("run"), check=False
        )
        assert not check or done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done

    return run
