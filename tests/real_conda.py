"""A conda program as the tests use it: with a package cache and settings of its own."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import tools


@dataclass
class Conda:
    """A conda program with its package cache and settings."""

    program: Path
    folder: Path
    channels: list[str]
    """URLs of the suite's channel and of those that stand for conda-forge."""
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        keep = {
            name: value for name, value in os.environ.items()
            if not re.match(r"_?CONDA|TT_METAL|_TT_METAL|PYTHON|_CE_|TT_CONDA_OWN|TT_CONDA_CACHE", name)
        }  # fmt: skip
        return {
            **keep, "CONDARC": str(self.folder / "condarc"), "CONDA_PKGS_DIRS": str(self.folder / "pkgs"),
            "CONDA_ENVS_DIRS": str(self.folder / "envs"), "CONDA_NUMBER_CHANNEL_NOTICES": "0",
            "PATH": f"{self.program.parent}:{os.environ['PATH']}", "CONDA_QUIET": "true", **self.settings,
        }  # fmt: skip

    @property
    def from_channels(self) -> list[str]:
        """The arguments that name the channels, and no others."""
        return ["--override-channels", *(word for url in self.channels for word in ("-c", url))]

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

    def create(self, prefix: Path, *specs: str, solver: str | None = None) -> Path:
        """Create an environment of these specs, from the channels."""
        chosen = ["--solver", solver] if solver else []
        self("create", "-y", "-p", prefix, *chosen, *self.from_channels, *specs)
        return prefix

    def tool(self, name: str) -> Path:
        """A program of conda's surroundings: beside it, or where :func:`tools.require` finds it."""
        beside = self.program.parent / name
        return beside if beside.is_file() else Path(tools.require(name))


def solvers(conda: Conda) -> Sequence[str]:
    """The solvers that this conda has."""
    offered = re.search(r"--solver \{([\w,]+)\}", conda("create", "--help").stdout)
    return offered[1].split(",") if offered else []
