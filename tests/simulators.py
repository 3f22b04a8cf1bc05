"""Simulators for tests: a fake of ours, and upstream's where TT_CONDA_SIMULATOR names some."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

FAKE = (Path(__file__).parent / "simulator" / "fake.c").read_text()
WORMHOLE, BLACKHOLE = "-DCHIP=0x401E", "-DCHIP=0xB140"

Fake = Callable[..., Path]
"""Compile a simulator: ``fake("libttsim_wh.so", WORMHOLE, "-DDEVICES=2")``."""


def real(chip: str) -> Path:
    """Upstream's simulator of a chip (``wh``), from the file or the folder in ``TT_CONDA_SIMULATOR``."""
    place = os.environ.get("TT_CONDA_SIMULATOR", "")
    library = Path(place) / f"libttsim_{chip}.so" if Path(place).is_dir() else Path(place)
    if not place or library.name != f"libttsim_{chip}.so":
        pytest.skip(f"no libttsim_{chip}.so of upstream's is here: TT_CONDA_SIMULATOR names none")
    assert library.is_file(), f"TT_CONDA_SIMULATOR: there is no {library}"
    return library.resolve()
