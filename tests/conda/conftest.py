"""Tests with a real conda or mamba and the tools around them, each where a variable names one or PATH has it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import torch_builds
from real_conda import Conda, require, solvers
from tt_conda.base import settings
from tt_conda.base.location import channel_url
from tt_conda.commands import defaults
from tt_conda.embedded.assemble import available_pythons

PROJECT = Path(__file__).parents[2]


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.stack)
            item.add_marker(pytest.mark.xdist_group("conda"))  # one package cache, and its lock


@pytest.fixture(scope="session")
def channels() -> list[str]:
    output = PROJECT / "output"
    if not any(output.glob("linux-64/*.conda")):
        pytest.fail(f"there are no packages in {output}: run `ci/run build` first", pytrace=False)
    return [channel_url(channel) for channel in (output, *defaults.others())]


@pytest.fixture(scope="session")
def conda(request: pytest.FixtureRequest, channels: list[str]) -> Iterator[Conda]:
    """conda, or the program that a test is parametrized with."""
    program: str = getattr(request, "param", "conda")
    with tempfile.TemporaryDirectory(prefix="tt-conda-conda-") as folder:  # on a disk: an environment has a GB
        yield require(program, Path(folder), channels)


@pytest.fixture(scope="session")
def solving(request: pytest.FixtureRequest, conda: Conda) -> Conda:
    """conda with the solver that a test is parametrized with; mamba has but one."""
    solver: str = request.param
    if solver == "mamba":
        return conda
    if solver not in solvers(conda):
        pytest.skip(f"this conda has no solver {solver}")
    return replace(conda, settings={**conda.settings, "CONDA_SOLVER": solver})


@pytest.fixture(scope="session")
def python() -> str:
    """The newest Python that there is a ttnn for."""
    return list(available_pythons())[-1] if defaults.is_embedded() else "3.12"


@pytest.fixture(scope="session")
def pytorch(conda: Conda) -> None:
    """A PyTorch for torch-ttnn is in the channels; else the test is left out."""
    if defaults.is_embedded() and "3.10" not in available_pythons():
        pytest.skip("no CPython 3.10 on this machine")
    extra = [channel_url(channel) for channel in settings.extra_channels()]
    torch_builds.require("libstdcxx", "3.10", [*conda.channels, *extra])


@pytest.fixture(scope="session")
def ttnn(conda: Conda, python: str) -> Path:
    """An environment with ttnn, which no test changes."""
    return conda.create(conda.folder / "envs/ttnn", "ttnn=0.81.1", f"python={python}")
