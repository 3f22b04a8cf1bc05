"""conda-forge's tt-metalium, which has tt-metal's and ttnn's files, as far as a solver sees it."""

from __future__ import annotations

from pathlib import Path

from rattler_build import assemble_package

from tt_conda.channel import index

VERSIONS = ("0.57.0.rc60", "0.81.1", "99.0")
"""One that conda-forge's feedstock names, one of ours, and a later one."""


def make_channel(folder: Path) -> Path:
    """Make a channel of nothing but tt-metalium."""
    built = [assemble_package("tt-metalium", version, "linux-64", "0", folder / "built").path for version in VERSIONS]
    index.publish(built, folder / "channel")
    return folder / "channel"
