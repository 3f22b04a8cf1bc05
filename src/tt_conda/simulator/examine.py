"""What a simulator's file is, found out in child processes: it may crash, hang, or end the process that loads it."""

from __future__ import annotations

import platform
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tt_conda import elf
from tt_conda.base.documents import read_json, read_toml
from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import sha256_of
from tt_conda.simulator import chips, probe
from tt_conda.simulator.chips import Chip

UNKNOWN = "unknown"
"""The version of a library that no table knows; for every solver it is older than any number."""

TIMEOUT = 60.0
"""Seconds for loading and starting a simulator. Upstream's with one or two chips take 0.1."""

_UPSTREAM = f"Download one from {chips.HOME}/releases, or compile it (README.md there)."


@dataclass(frozen=True)
class Simulator:
    """A library that simulates one or several chips of one kind."""

    path: Path
    chip: Chip
    chips: int
    """How many there are, those without PCIe included."""
    exports: frozenset[str]
    """The functions of its interface."""
    has_tiles: bool
    """Whether a tile can be read by its coordinates, which releases refuse."""
    version: str
    sha256: str
    glibc: str
    """The newest version of glibc that it asks for."""

    @property
    def name(self) -> str:
        """As upstream names its files: ``wh``, ``wh_x2``."""
        return self.chip.name if self.chips == 1 else f"{self.chip.name}_x{self.chips}"


def examine(path: Path, version: str | None = None, timeout: float = TIMEOUT) -> Simulator:
    """Load a library in a child process and say what it simulates.

    Args:
        path: the file.
        version: what it is, where the person knows; else a table of upstream's releases says it, or it is unknown.
        timeout: seconds that it has for each question.

    Raises:
        TtCondaError: it is no simulator, one for another machine or another chip, or it does not start.
    """
    library = _read(path)
    facts = read_json(_ask(path, "facts", timeout).stdout)
    if "pci" not in facts:
        missing = [name for name in ("libttsim_init", "libttsim_pci_config_rd32") if name not in facts["exports"]]
        raise TtCondaError(f"{path} is no simulator: it has no function {' and no '.join(missing)}.", _UPSTREAM)
    ids = facts["pci"]
    chip = chips.by_pci_id(ids[0]) if ids else None
    if chip is None:
        seen = f"the PCI id {ids[0] & 0xFFFF:04x}:{ids[0] >> 16:04x}" if ids else "no PCI device at all"
        raise TtCondaError(f"{path} simulates no chip that is known here: it has {seen}.", _UPSTREAM)
    sha256 = sha256_of(path)
    has_tiles = "libttsim_tile_rd_bytes" in facts["exports"]
    return Simulator(
        path,
        chip,
        chips=max(len(ids), len(facts["places"])),
        exports=frozenset(facts["exports"]),
        has_tiles=has_tiles and _ask(path, "tiles", timeout, check=False).returncode == 0,
        version=version or _releases().get(sha256, UNKNOWN),
        sha256=sha256,
        glibc=_glibc(library),
    )


def _read(path: Path) -> elf.Elf:
    """The library's facts, without loading it."""
    if not path.is_file():
        raise TtCondaError(f"There is no file {path}.", _UPSTREAM)
    try:
        found = elf.read(path, symbols=True)
    except (elf.ElfError, OSError) as error:
        raise TtCondaError(f"{path} is no shared library: {error}", _UPSTREAM) from error
    machine = platform.machine()
    if found.machine != machine:
        raise TtCondaError(
            f"{path} is for {found.machine or 'another machine'}, and this machine is {machine}.",
            "Files for aarch64 end with _aarch64.so among upstream's releases.",
        )
    return found


def _ask(path: Path, question: str, timeout: float, *, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the probe; with ``check`` a simulator that does not end well is an error."""
    command = [sys.executable, "-I", probe.__file__, str(path.resolve()), question]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=timeout,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise TtCondaError(
            f"{path} hangs: loading and starting it took more than {timeout:g} seconds, and it was ended.",
            "Try it again on a machine with less to do; if it hangs there too, the file is no working simulator.",
        ) from error
    if not check or (done.returncode == 0 and done.stdout):
        return done
    said = " ".join(done.stderr.split()) or "it said nothing"
    if done.returncode == -signal.SIGILL:
        raise TtCondaError(
            f"{path} has instructions that this processor lacks.",
            "Upstream compiles for x86-64-v3 (AVX2, FMA, BMI2: processors since 2013). Compile it without that option.",
        )
    how = (
        f"it ended by {signal.Signals(-done.returncode).name}"
        if done.returncode < 0
        else f"it ended with exit code {done.returncode}"
    )
    raise TtCondaError(f"{path} cannot be loaded and started: {how}: {said[-600:]}", _UPSTREAM)


def _glibc(library: elf.Elf) -> str:
    wanted = [
        tuple(int(part) for part in version.removeprefix("GLIBC_").split("."))
        for version in library.symbols.wanted_versions.values()
        if version.startswith("GLIBC_") and version != "GLIBC_PRIVATE"
    ]
    return ".".join(map(str, max(wanted, default=(2, 17))))


def _releases() -> dict[str, Any]:
    return read_toml(Path(__file__).with_name("releases.toml").read_text())
