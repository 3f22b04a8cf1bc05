"""The whole of ``dev`` on a stand-in for upstream and, where it is built, PyTorch: torch-ttnn is edited."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from torch_builds import is_there, require
from tt_conda.base import settings
from tt_conda.building.build import build

PROJECT = Path(__file__).parents[2]
VERSION = "0.65.0.dev20251205"
SAY = """
import sys, torch, ttnn, torch_ttnn
from torch_ttnn.cpp_extension import ttnn_module
assert sys.modules["torch.ttnn"] is ttnn_module
ones = torch.ones(2, device="ttnn:0")
print(ttnn_module.__file__, (ones + ones).cpu().tolist(), ttnn_module.additions())
"""

pytestmark = pytest.mark.xdist_group("standin")


@pytest.fixture(scope="module")
def places() -> list[str | Path]:
    """Where PyTorch may be."""
    return [PROJECT / "output", *settings.extra_channels()]


def with_the_stack(manifest: str) -> str:
    """``dev`` with what a person adds to it once it is compiled."""
    changed, count = re.subn(r'^# (?=(tt-metal-devel|ttnn) = "\*"$)', "", manifest, flags=re.M)
    assert count == 2
    return changed


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, places: list[str | Path], others: list[str | Path]) -> Path:
    """A project whose ``output/`` is the stand-in with libc++, for the Python of the PyTorch that is there."""
    channels = [*places, *others]
    pythons = [version for version in ("3.10", "3.12") if is_there("libcxx", version, channels)]
    if not pythons:
        require("libcxx", "3.10", channels)
    folder = tmp_path_factory.mktemp("standin")
    for name in ("sfpi", "tt-metal", "ttnn", "torch-ttnn"):
        shutil.copytree(PROJECT / "recipes" / name, folder / "recipes" / name)
    for file in (*PROJECT.glob("variants*.yaml"), PROJECT / "pixi.toml", PROJECT / "LICENSE"):
        shutil.copy(file, folder)
    dev = folder / "workspaces/dev/pixi.toml"
    dev.parent.mkdir(parents=True)
    dev.write_text(with_the_stack((PROJECT / "workspaces/dev/pixi.toml").read_text()))
    (folder / "tests").mkdir()
    (folder / "tests/standin").symlink_to(PROJECT / "tests/standin")
    build(
        ["ttnn", "tt-metal-devel"], project=folder, channels=lambda: channels,
        axes={"origin": ["source"], "cxx_stdlib": ["libcxx"], "python": pythons[:1], "tt_metal_version": [VERSION]},
        instead={"tt_source": ["../../tests/standin"], "tt_metal_build": ["Release"]},
    )  # fmt: skip
    return folder


def test_an_edit_in_torch_ttnn_is_compiled_by_the_next_import(
    project: Path, places: list[str | Path], others: list[str | Path]
) -> None:
    checkout = Path(shutil.copytree(PROJECT / "tests/standin/torch-ttnn", project / "torch-ttnn"))
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("CONDA", "TT_METAL"))}
    channels = [word for place in (*places, *others) for word in ("-c", str(place))]

    def say(*options: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-m", "tt_conda.cli", "shell", "dev", *channels, *options, "--", "python", "-c", SAY],
            env={**clean, "TT_CONDA_PROJECT": str(project)}, cwd=project, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout.splitlines()[-1].split(maxsplit=1)

    file, rest = say("--editable", str(checkout))
    assert file.startswith(str(checkout)) and rest == "[2.0, 2.0] 1"
    source = checkout / "torch_ttnn/cpp_extension/ttnn_cpp_extension/src/open_registration_extension.cpp"
    text = source.read_text()
    assert text.count("ttnn::add(values(self), values(other)).values()") == 1
    source.write_text(text.replace("values(other)).values()", "ttnn::add(values(other), values(other))).values()"))
    later = time.time_ns() + 2_000_000_000
    os.utime(source, ns=(later, later))
    assert say()[1] == "[3.0, 3.0] 2"
