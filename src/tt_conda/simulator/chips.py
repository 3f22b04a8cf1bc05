"""The chips that a simulator may have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tt_conda.base.documents import read_toml
from tt_conda.base.errors import TtCondaError

VENDOR = 0x1E52
"""PCI's number of Tenstorrent."""


@dataclass(frozen=True)
class Chip:
    """A kind of chip: upstream's short name, its full name, and its SoC descriptor in tt-metal."""

    name: str
    title: str
    descriptor: str


_TABLE = read_toml(Path(__file__).with_suffix(".toml").read_text())
_BY_PCI_ID = {entry.pop("pci"): Chip(**entry) for entry in _TABLE["chip"]}
HOME: str = _TABLE["home"]
"""Upstream's page."""
VARIABLE: str = _TABLE["variable"]
"""The variable that makes a simulator a device."""
KERNELS: str = _TABLE["kernels"]
"""The package with the descriptors."""
DESCRIPTORS: str = _TABLE["descriptors"]
"""Where it has them."""
NAMES = tuple(chip.name for chip in _BY_PCI_ID.values())


def by_pci_id(number: int) -> Chip | None:
    """The chip whose PCI configuration begins with ``number`` (vendor in the low 16 bits); None for a foreign one."""
    return _BY_PCI_ID.get(number >> 16) if number & 0xFFFF == VENDOR else None


def build_of(chip: str) -> str:
    """The build strings of ttsim's packages for a chip such as ``wh`` or ``wh_x2``.

    Raises:
        TtCondaError: there is no such chip.
    """
    kind, _, number = chip.partition("_x")
    if kind not in NAMES or (number and not number.isdecimal()) or chip.endswith("_x"):
        raise TtCondaError(
            f"There is no chip {chip!r}.", f"Chips: {', '.join(NAMES)}; several of one: {NAMES[0]}_x2, for example."
        )
    return f"{chip}_h*"
