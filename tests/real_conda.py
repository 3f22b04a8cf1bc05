"""conda or mamba as the tests use them: with a package cache and settings of their own."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import tools

SOLVERS = {"mamba": ("mamba",), "conda": ("classic", "libmamba", "rattler")}
"""Program → its solvers; in this order, as pytest sorts by a parameter's number: all of mamba's tests, then conda's."""
with_each = pytest.mark.parametrize("conda", SOLVERS, indirect=True, scope="session")
"""The test runs with each program."""
with_each_solver = pytest.mark.parametrize(
    ("conda", "solving"),
    [pytest.param(program, name, id=name) for program, names in SOLVERS.items() for name in names],
    indirect=True, scope="session",
)  # fmt: skip
"""The test runs with each solver of each program."""


@dataclass
class Conda:
    """A conda or mamba program with its package cache and settings."""

    program: Path
    folder: Path
    channels: list[str]
    """URLs of the suite's channel and of those that stand for conda-forge."""
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        keep = {
            name: value for name, value in os.environ.items()
            if not re.match(r"_?CONDA|MAMBA|TT_METAL|_TT_METAL|PYTHON|_CE_|TT_CONDA_OWN|TT_CONDA_CACHE", name)
        }  # fmt: skip
        return {
            **keep, "CONDARC": str(self.folder / "condarc"), "CONDA_PKGS_DIRS": str(self.folder / "pkgs"),
            "CONDA_ENVS_DIRS": str(self.folder / "envs"), "CONDA_NUMBER_CHANNEL_NOTICES": "0",
            "PATH": f"{self.program.parent}:{os.environ['PATH']}", "CONDA_QUIET": "true",
            "CONDA_ALWAYS_YES": "true", "MAMBA_ALWAYS_YES": "true", "MAMBA_ROOT_PREFIX": str(self.folder / "root"),
            **self.settings,
        }  # fmt: skip

    @property
    def from_channels(self) -> dict[str, str]:
        """The variable that names the channels, which are the only ones: ``mamba remove`` has no argument for them."""
        return {"CONDA_CHANNELS": ",".join(self.channels)}

    def __call__(
        self, *words: str | Path, check: bool = True, cwd: Path | None = None, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run ``conda``; the test fails where it does, unless it is not to be checked."""
        return self.call(self.program, *words, check=check, cwd=cwd, **environ)

    def call(
        self, *words: str | Path, check: bool = True, cwd: Path | None = None, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run any program with the settings of this conda."""
        done = subprocess.run(
            [str(word) for word in words], env={**self.environ, **environ}, cwd=cwd or self.folder,
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
        if check and done.returncode:
            pytest.fail(f"{words} ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}")
        return done

    def create(self, prefix: Path, *specs: str) -> Path:
        """Create an environment of these specs, from the channels."""
        self("create", "-y", "-p", prefix, *specs, **self.from_channels)
        return prefix

    def tool(self, name: str) -> Path:
        """A program of conda's surroundings: beside it, or where :func:`tools.require` finds it."""
        beside = self.program.parent / name
        return beside if beside.is_file() else Path(tools.require(name))


def require(program: str, folder: Path, channels: list[str]) -> Conda:
    """conda or mamba, with its package cache and settings in a folder; the test is left out where there is none."""
    found = Conda(Path(tools.require(program)), folder, channels)
    (folder / "condarc").touch()
    if program == "conda" and "libmamba" not in solvers(found):
        found.settings["CONDA_SOLVER"] = "classic"  # libmamba is the default even where it is not installed
    return found


def solvers(conda: Conda) -> Sequence[str]:
    """The solvers that this conda has."""
    offered = re.search(r"--solver \{([\w,]+)\}", conda("create", "--help").stdout)
    return offered[1].split(",") if offered else []
