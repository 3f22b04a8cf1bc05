"""Where a PyTorch is: in output/, in a channel that a variable names, or in conda-forge."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from rattler import Channel, Gateway, MatchSpec

from tt_conda.base.errors import TtCondaError
from tt_conda.base.location import channel_url
from tt_conda.channel import network
from tt_conda.commands import defaults
from tt_conda.embedded.assemble import available_pythons
from tt_conda.environment import solver
from tt_conda.environment.install import install


def is_there(cxx_stdlib: str, python: str, channels: Sequence[str | Path]) -> bool:
    """Whether one of the channels has that pytorch."""
    spec = MatchSpec(f"pytorch * {cxx_stdlib}_py{python.replace('.', '')}_*")

    async def ask() -> bool:
        urls = [Channel(channel_url(channel)) for channel in channels]
        return any(await Gateway(client=network.client()).query(urls, ["linux-64"], [spec], recursive=False))

    return asyncio.run(ask())


def require(cxx_stdlib: str, python: str, channels: Sequence[str | Path]) -> None:
    """Leave a test out where no channel has it, and say which command builds it."""
    if not is_there(cxx_stdlib, python, channels):
        command = f"tt-conda build pytorch --cxx-stdlib {cxx_stdlib} --python {python}"
        pytest.skip(f"no pytorch with {cxx_stdlib} for Python {python} is here; to build it: {command}")


def require_one_for_the_stack(channels: Sequence[str | Path]) -> None:
    """Leave a test out where no channel has a PyTorch that fits the published tt-metal."""
    if defaults.is_embedded() and "3.10" not in available_pythons():
        pytest.skip("no CPython 3.10 on this machine")
    stack = ["tt-metal ==0.65.0.dev20251205", "python 3.10.*"]
    solver.solve(stack, channels)  # what is wrong with that is not PyTorch's absence
    try:
        solver.solve([*stack, "pytorch >=2.6,<2.8"], channels)
    except TtCondaError:
        command = "tt-conda build pytorch --cxx-stdlib libstdcxx --python 3.10"
        pytest.skip(f"no pytorch with libstdcxx for Python 3.10 is here; to build it: {command}")


def stack_environment(prefix: Path, channels: Sequence[str | Path]) -> Path:
    """An environment with torch-ttnn; the test is left out where no channel has a PyTorch for it."""
    require_one_for_the_stack(channels)
    install(["torch-ttnn", "python 3.10.*"], prefix, channels)
    return prefix
