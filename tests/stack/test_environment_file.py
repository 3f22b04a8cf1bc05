"""``environment.yml``: with conda, mamba or what solves like them one ends with torch-ttnn, its extension loaded."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from real_conda import SOLVERS, require
from torch_builds import require_one_for_the_stack
from tt_conda.base import settings
from tt_conda.base.location import channel_url
from tt_conda.environment.install import install

FILE = Path(__file__).parents[2] / "environment.yml"
LOADS = """
import sys, torch, torch_ttnn
from torch_ttnn.cpp_extension import ttnn_module
assert "ttnn_device_extension" in str(ttnn_module) and "torch.ttnn" in sys.modules
print("Python %d.%d" % sys.version_info[:2], "PyTorch", torch.__version__)
"""
Call = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return found


@pytest.fixture(scope="module")
def conda_forge(others: Sequence[str | Path]) -> list[str]:
    """What stands for conda-forge: where PyTorch is, and everything else."""
    return [channel_url(channel) for channel in [*settings.extra_channels(), *others]]


def test_the_channel_of_these_packages_is_named_by_a_variable(content: dict[str, Any]) -> None:
    """Which conda expands (26.7.1, conda/env/env.py, _expand_channels), and mamba (2.8.1, libmamba, api/install.cpp).

    Without nodefaults: conda 26.7 and 26.7.1 take that for a channel's name.
    """
    assert content["channels"] == ["$CHANNEL", "conda-forge"]


def test_what_it_asks_for_has_the_extension(
    content: dict[str, Any], output: Path, conda_forge: list[str], call: Call, scratch: Path
) -> None:
    channels = [output, *conda_forge]
    require_one_for_the_stack(channels)
    install(content["dependencies"], scratch / "env", channels)
    assert call(scratch / "env", "python", "-c", LOADS, activate=True).stdout.startswith("Python 3.10 PyTorch 2.")


@pytest.mark.parametrize("program", SOLVERS)
def test_conda_makes_it(
    program: str, content: dict[str, Any], output: Path, conda_forge: list[str], scratch: Path
) -> None:
    conda = require(program, scratch, [])
    require_one_for_the_stack([output, *conda_forge])
    configuration = {"channels": ["conda-forge"], "custom_multichannels": {"conda-forge": conda_forge}}
    (scratch / "condarc").write_text(json.dumps(configuration))
    conda("env", "create", "--file", FILE, CHANNEL=channel_url(output))
    done = conda("run", "--name", content["name"], "python", "-c", LOADS)
    assert done.stdout.startswith("Python 3.10 PyTorch 2.")
