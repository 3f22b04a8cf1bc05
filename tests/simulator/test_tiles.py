"""ttsim-tiles: tiles of a simulator that has only PCI BARs, read and written by their coordinates."""

from __future__ import annotations

import ctypes
import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Compile
from simulators import BLACKHOLE, WORMHOLE, Fake, real
from tt_conda.base import settings
from tt_conda.simulator.drivers import known
from tt_conda.simulator.examine import examine

SOURCE = settings.project_dir() / "recipes/ttsim-tiles/tiles.c"

Place = Callable[[Path], Path]


@pytest.fixture
def place(compile_library: Compile, tmp_path: Path) -> Place:
    """Put a simulator where the package ttsim has it, and ttsim-tiles beside it; the library of the latter."""

    def put(simulator: Path) -> Path:
        tiles = compile_library(
            "share/ttsim-tiles/libttsim.so", SOURCE.read_text(), "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden"
        )
        (tmp_path / "share/ttsim").mkdir()
        shutil.copy(simulator, tmp_path / "share/ttsim/libttsim.so")
        return tiles

    return put


def test_it_has_all_that_every_driver_needs(place: Place, fake: Fake) -> None:
    simulator = fake("simulator.so", WORMHOLE)
    found = examine(place(simulator))
    assert found.has_tiles and found.name == "wh"
    assert [driver.missing(found) for driver in known()] == [[]] * len(known())
    assert any(driver.missing(examine(simulator)) for driver in known())


TILES = """
import ctypes, json, sys
library = ctypes.CDLL(sys.argv[1])
library.libttsim_init()
wrong = []
for x, y, address, text in json.loads(sys.argv[2]):
    data = bytes.fromhex(text)
    library.libttsim_tile_wr_bytes(x, y, ctypes.c_uint64(address), data, len(data))
for x, y, address, text in json.loads(sys.argv[2]):
    found = ctypes.create_string_buffer(len(text) // 2)
    library.libttsim_tile_rd_bytes(x, y, ctypes.c_uint64(address), found, len(found))
    if found.raw.hex() != text:
        wrong.append([x, y, address])
library.libttsim_exit()
sys.exit(f"wrong: {wrong}" if wrong else 0)
"""


@pytest.mark.parametrize(
    ("flag", "windows"), [(WORMHOLE, 1 << 20), (BLACKHOLE, 1 << 21)], ids=["wormhole", "blackhole"]
)
def test_what_is_written_is_read(place: Place, fake: Fake, flag: str, windows: int) -> None:
    """In one tile and in its neighbours, at either side of a window's end, and beyond it."""
    access = [
        [1, 1, 0x1000], [2, 1, 0x1000], [1, 2, 0x1000], [18, 24, 4], [0, 0, windows - 100], [0, 1, 3 * windows - 8],
        [0, 1, 3 * windows], [0, 0, (1 << 32) + 12345], [1, 11, (1 << 35) + 1],
    ]  # fmt: skip
    _write_and_read(place(fake("simulator.so", flag)), access, 200)


@pytest.mark.parametrize(
    ("chip", "access"),
    [
        # a Tensix core in both kinds of coordinates, and DRAM, over the end of a window and above 1 GiB
        ("wh", [[1, 1, 0x20000], [19, 18, 0x21000], [0, 0, (1 << 20) - 64], [0, 5, (1 << 30) + 4096]]),
        ("bh", [[1, 2, 0x20000], [2, 2, 0x21000], [0, 0, (1 << 21) - 64]]),
    ],
)
def test_upstreams_simulators(place: Place, chip: str, access: list[list[int]]) -> None:
    library = place(real(chip))
    assert examine(library).has_tiles
    _write_and_read(library, access, 128)


def _write_and_read(library: Path, access: list[list[int]], size: int) -> None:
    """All is written before anything is read. In a child: a simulator ends its process."""
    random.seed(1)
    data = [[*where, random.randbytes(size).hex()] for where in access]
    # what overlaps is written last where it is read
    data = [row for i, row in enumerate(data) if not any(_overlap(row, later, size) for later in data[i + 1 :])]
    done = subprocess.run(
        [sys.executable, "-c", TILES, library, json.dumps(data)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _overlap(one: list[int], other: list[int], size: int) -> bool:
    return one[:2] == other[:2] and abs(one[2] - other[2]) < size


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([WORMHOLE, "-DNO_BARS"], "the simulator has no PCI BARs: it has no libttsim_pci_mem_rd_bytes"),
        (["-DCHIP=0xFEED"], "the simulator is neither a Wormhole nor a Blackhole"),
    ],
)
def test_simulators_that_it_cannot_help(place: Place, fake: Fake, flags: list[str], said: str) -> None:
    library = place(fake("simulator.so", *flags))
    done = subprocess.run([sys.executable, "-c", TILES, library, "[]"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (1, f"ttsim-tiles: {said}")


def test_without_a_simulator_its_place_is_named(place: Place, fake: Fake, tmp_path: Path) -> None:
    library = place(fake("simulator.so", WORMHOLE))
    (tmp_path / "share/ttsim/libttsim.so").unlink()
    done = subprocess.run([sys.executable, "-c", TILES, library, "[]"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "share/ttsim-tiles/../ttsim/libttsim.so" in done.stderr


def test_a_simulator_somewhere_else(place: Place, fake: Fake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = place(fake("simulator.so", WORMHOLE))
    elsewhere = (tmp_path / "share/ttsim/libttsim.so").rename(tmp_path / "elsewhere.so")
    monkeypatch.setenv("TTSIM_TILES_LIBRARY", str(elsewhere))
    _write_and_read(library, [[1, 1, 0]], 16)


def test_the_interface_is_all_that_it_exports(place: Place, fake: Fake) -> None:
    library = ctypes.CDLL(str(place(fake("simulator.so", WORMHOLE))))
    assert not hasattr(library, "load") and not hasattr(library, "init")
