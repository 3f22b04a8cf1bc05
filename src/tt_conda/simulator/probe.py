"""Load a simulator and print what it is, as JSON. Run as a program: a simulator ends the process that breaks its rules.

The interface is the one of docs/libttsim_api.md in ttsim v1.10.0. Chips are PCI devices, of which each has its BARs in
an address range of its own; a chip without PCIe, such as the second one of an n300, is only seen through Ethernet. A
Wormhole says in each Ethernet core's memory which chip is at the other end (src/tile.cpp, ``wh_x2_eth_link_init``).

It imports nothing of tt-conda, so that nothing but the library can fail in it.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys

NAMES = (
    "init", "exit", "clock", "pci_config_rd32", "pci_config_wr32", "pci_mem_rd_bytes", "pci_mem_wr_bytes",
    "set_pci_dma_mem_callbacks", "tile_rd_bytes", "tile_wr_bytes", "tensix_reset_assert", "tensix_reset_deassert",
    "create_device_by_id", "select_device_by_id", "clock_all_devices",
)  # fmt: skip
"""Functions, without ``libttsim_``, that some release of the simulator or some driver knows."""

_NO_DEVICE = 0xFFFFFFFF
_MOST_DEVICES = 32  # of a PCI bus
_WITH_PLACES = 0x401E  # Wormhole
_TLB, _TLB_REGISTER = 0, 0x1FC00000  # window 0 of BAR0, 1 MiB, and where it is set
_LINK = 0x1104  # state of an Ethernet core's link; 1: trained
_LOCAL, _REMOTE = 0x1108, 0x1124  # which chip is at which end


def main(path: str, question: str = "facts") -> None:
    """Print the facts of one library; or end well where it reads a tile by its coordinates (``tiles``).

    Releases declare the functions for that and end the process.
    """
    answer = os.dup(1)
    os.dup2(2, 1)  # for what the simulator prints
    library = ctypes.CDLL(path)
    if question == "tiles":
        library.libttsim_init()
        library.libttsim_tile_rd_bytes(0, 0, ctypes.c_uint64(0), ctypes.create_string_buffer(4), 4)
        return
    exports = [f"libttsim_{name}" for name in NAMES if hasattr(library, f"libttsim_{name}")]
    is_one = {"libttsim_init", "libttsim_pci_config_rd32"} <= set(exports)
    os.write(answer, json.dumps({"exports": exports, **(_devices(library) if is_one else {})}).encode())


def _devices(library: ctypes.CDLL) -> dict[str, list[int]]:
    """The PCI ids of the chips that a host sees, and the places of all whose links a Wormhole names."""
    config = library.libttsim_pci_config_rd32
    config.argtypes, config.restype = [ctypes.c_uint32, ctypes.c_uint32], ctypes.c_uint32
    library.libttsim_init()
    ids = []
    has_bars = hasattr(library, "libttsim_pci_mem_rd_bytes")
    for device in range(_MOST_DEVICES if has_bars else 1):  # before there were BARs, there was one device
        found = config(device << 3, 0)
        if found == _NO_DEVICE:
            break
        ids.append(found)
    places = _places(library, len(ids)) if has_bars and ids and ids[0] >> 16 == _WITH_PLACES else set()
    if hasattr(library, "libttsim_exit"):
        library.libttsim_exit()
    return {"pci": ids, "places": sorted(places)}


def _places(library: ctypes.CDLL, devices: int) -> set[int]:
    """The chips that a Wormhole's Ethernet cores name, each as x | y << 6 in the system."""
    config, found = library.libttsim_pci_config_rd32, set()
    for device in range(devices):
        bar = (config(device << 3, 0x10) & ~0xF) | config(device << 3, 0x14) << 32
        for y in (0, 6):
            for x in (1, 2, 3, 4, 6, 7, 8, 9):

                def read(address: int, core: int = x | y << 6, bar: int = bar) -> int:
                    # low 16 bits: the window's place in the core's 36-bit address space
                    setting = ctypes.c_uint64(core << 16 | address >> 20)
                    library.libttsim_pci_mem_wr_bytes(ctypes.c_uint64(bar + _TLB_REGISTER), ctypes.byref(setting), 8)
                    value = ctypes.c_uint32()
                    place = ctypes.c_uint64(bar + _TLB + (address & 0xFFFFF))
                    library.libttsim_pci_mem_rd_bytes(place, ctypes.byref(value), 4)
                    return value.value

                if read(_LINK) == 1:
                    local, remote = read(_LOCAL), read(_REMOTE)
                    found |= {local >> 16 & 0x3F | (local >> 24 & 0x3F) << 6}
                    found |= {remote >> 16 & 0x3F | (remote >> 22 & 0x3F) << 6}
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
