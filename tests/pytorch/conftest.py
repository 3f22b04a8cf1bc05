"""Environments with the packages of recipes/pytorch-libcxx, where they are."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from torch_builds import require
from tt_conda.base import settings
from tt_conda.commands import defaults
from tt_conda.embedded.assemble import available_pythons
from tt_conda.environment.install import install

PROJECT = Path(__file__).parents[2]
COMPILER = ["clangxx_linux-64", "lld", "cmake", "ninja", "libcxx-devel"]

Environment = Callable[..., Path]
Call = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def channels() -> list[str | Path]:
    return [PROJECT / "output", *settings.extra_channels(), *defaults.others()]


@pytest.fixture(scope="session")
def environment_with(channels: list[str | Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with pytorch of one C++ standard library, for one Python, and with a compiler for it."""
    made: dict[tuple[str, str, tuple[str, ...]], Path] = {}

    def make(cxx_stdlib: str, python: str = "3.10", *more: str) -> Path:
        if defaults.is_embedded() and python not in available_pythons():
            pytest.skip(f"no CPython {python} on this machine")
        require(cxx_stdlib, python, channels)
        key = (cxx_stdlib, python, more)
        if key not in made:
            folder = tmp_path_factory.mktemp("torch") / "env"
            specs = [f"pytorch * {cxx_stdlib}_*", f"python {python}.*", *COMPILER, *more]
            install(specs, folder, channels)
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
