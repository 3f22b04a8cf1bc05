"""Simulators, and a channel with what they depend on."""

from __future__ import annotations

from pathlib import Path

import pytest
from rattler_build import assemble_package

from conftest import Compile
from simulators import FAKE, Fake
from tt_conda.channel import index
from tt_conda.simulator.chips import DESCRIPTORS


@pytest.fixture
def fake(compile_library: Compile) -> Fake:
    def build(name: str, *flags: str) -> Path:
        return compile_library(name, FAKE, *flags)

    return build


@pytest.fixture
def channel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``tt-metal-kernels``, and ``ttnn``, which depends on it; the cache is of its own."""
    monkeypatch.setenv("TT_CONDA_CACHE", str(tmp_path / "cache"))
    staged = tmp_path / "staged"
    for name in ("wormhole_b0_80_arch.yaml", "blackhole_140_arch.yaml"):
        (staged / DESCRIPTORS).mkdir(parents=True, exist_ok=True)
        (staged / DESCRIPTORS / name).write_text(f"# {name}\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    made = [
        assemble_package(
            "tt-metal-kernels", "1.0", "noarch", "0", tmp_path / "made", files_dir=staged, noarch="generic"
        ).path,
        assemble_package(
            "ttnn", "1.0", "linux-64", "0", tmp_path / "made", files_dir=empty, depends=["tt-metal-kernels"]
        ).path,
    ]
    channel = tmp_path / "channel"
    index.publish(made, channel)
    return channel
