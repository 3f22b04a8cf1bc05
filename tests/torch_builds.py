"""Where this project's PyTorch is: in output/, or in a channel that a variable names."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from rattler import Channel, Gateway, MatchSpec

from tt_conda.channel.places import channel_url


def is_there(cxx_stdlib: str, python: str, channels: Sequence[str | Path]) -> bool:
    """Whether one of the channels has that pytorch."""
    spec = MatchSpec(f"pytorch * {cxx_stdlib}_py{python.replace('.', '')}_*")

    async def ask() -> bool:
        urls = [Channel(channel_url(channel)) for channel in channels]
        return any(await Gateway().query(urls, ["linux-64"], [spec], recursive=False))

    return asyncio.run(ask())


def require(cxx_stdlib: str, python: str, channels: Sequence[str | Path]) -> None:
    """Leave a test out where no channel has it, and say which command builds it."""
    if not is_there(cxx_stdlib, python, channels):
        command = f"tt-conda build pytorch --cxx-stdlib {cxx_stdlib} --python {python}"
        pytest.skip(f"no pytorch with {cxx_stdlib} for Python {python} is here; to build it: {command}")
