"""Which functions of a simulator the drivers of tt-metal need."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tt_conda.base.documents import read_toml
from tt_conda.simulator.examine import Simulator

_NAME = re.compile(rb"\x00(libttsim_\w+)(?=\x00)")
_TILES = frozenset({"libttsim_tile_rd_bytes", "libttsim_tile_wr_bytes"})


@dataclass(frozen=True)
class Driver:
    """A library of tt-metal's that loads simulators."""

    library: str
    required: frozenset[str]
    """Without one of these it stops."""
    works: frozenset[str]
    """Those of them that must not be refused."""
    optional: frozenset[str]
    way_out: str

    def missing(self, simulator: Simulator) -> list[str]:
        """What it needs and the simulator lacks, or refuses."""
        refused = frozenset() if simulator.has_tiles else self.works & _TILES
        return sorted((self.required - simulator.exports) | refused)


@lru_cache
def known() -> tuple[Driver, ...]:
    """The drivers that the table knows."""
    table = read_toml(Path(__file__).with_suffix(".toml").read_text())["driver"]
    return tuple(
        Driver(
            entry["library"], frozenset(entry["required"]), frozenset(entry["works"]),
            frozenset(name for names in entry.get("optional", {}).values() for name in names), entry["way_out"],
        )
        for entry in table
    )  # fmt: skip


def find(prefix: Path) -> Driver | None:
    """The driver of an environment, by its library in ``lib``; None where it has none that is known."""
    return next((driver for driver in known() if (prefix / "lib" / driver.library).exists()), None)


def looked_up(library: Path) -> frozenset[str]:
    """The simulator's functions that a library names: it hands the names to dlsym, so they stand in it as strings."""
    return frozenset(name.decode() for name in _NAME.findall(library.read_bytes()))
