"""The published wheels under test, each fetched once and carved once per run, and binutils' view of them."""

from __future__ import annotations

import fcntl
import os
import subprocess
import zipfile
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from toolchain import program
from tt_conda.carve import CarveReport, carve, load_rules
from tt_conda.elf import is_shared_object
from tt_conda.inputs.lock import Wheel as Pin
from tt_conda.inputs.lock import load
from tt_conda.inputs.wheels import fetch_wheel

PROJECT = Path(__file__).parents[1]
RULES = PROJECT / "recipes/ttnn/carve.toml"
LOCKS = [*sorted(PROJECT.glob("recipes/*/wheels.lock")), PROJECT / "tests/wheels.lock"]

TTNN_065 = "ttnn-shutov-0.65.0.dev20251205-3.10"
TORCH_020 = "torch-ttnn-shutov-0.2.0-3.10"


def _pins() -> dict[str, Pin]:
    pins = [pin for lock in LOCKS for pin in load(lock).wheel if "ttnn" in pin.name]
    return {f"{pin.name}-{pin.version}-{pin.python}": pin for pin in pins}


PINS = _pins()
"""Every published wheel that the recipes or the tests pin, by name-version-python."""


@dataclass
class Carved:
    """A published wheel and the prefix it was carved into. Tests read it, none writes to it."""

    pin: Pin
    wheel: Path
    prefix: Path
    report: CarveReport

    @property
    def lib(self) -> Path:
        return self.prefix / "lib"

    @property
    def site_packages(self) -> Path:
        return self.prefix / f"lib/python{self.pin.python}/site-packages"

    @cached_property
    def objects(self) -> list[Path]:
        """Every host ELF file, found by looking at every file."""
        return [path for path in files(self.prefix) if is_shared_object(path)]

    def original(self, member: str, folder: Path) -> Path:
        """Unpack a member that the report names (``wheel: member``)."""
        with zipfile.ZipFile(self.wheel) as archive:
            return Path(archive.extract(member.partition(": ")[2], folder))


def files(folder: Path) -> list[Path]:
    """Regular files below a folder, links not followed."""
    return sorted(
        path for base, _, names in os.walk(folder) for name in names
        if not (path := Path(base, name)).is_symlink()
    )  # fmt: skip


@lru_cache
def published(label: str) -> Path:
    """The file of a pinned wheel."""
    return fetch_wheel(PINS[label])


@lru_cache
def other_wheel(name: str) -> Path:
    """The file of a wheel of others that the tests pin: ``numpy``, or ``cyllama-0.7.0`` where there are several."""
    pins = load(PROJECT / "tests/wheels.lock").wheel
    return fetch_wheel(next(pin for pin in pins if name in (pin.name, f"{pin.name}-{pin.version}")))


@lru_cache
def carved(label: str) -> Carved:
    """A pinned wheel, carved by whichever process asks first."""
    wheel = published(label)
    folder = Path(os.environ["TT_CONDA_TEST_FOLDER"])
    prefix, saved = folder / label, folder / f"{label}.json"
    with (folder / f"{label}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not saved.exists():
            saved.write_text(carve([wheel], prefix, load_rules([RULES])).model_dump_json())
    return Carved(PINS[label], wheel, prefix, CarveReport.model_validate_json(saved.read_text()))


def dynamic(path: Path) -> list[tuple[str, str]]:
    """The dynamic section as binutils reads it: (tag, value) pairs of the entries that name something."""
    text = subprocess.run([program("readelf"), "-dW", path], capture_output=True, text=True, check=True).stdout
    found = []
    for line in text.splitlines():
        if " (" in line and "[" in line:
            found.append((line.split("(", 1)[1].split(")", 1)[0], line.split("[", 1)[1].rsplit("]", 1)[0]))
    return found


def tags(path: Path, tag: str) -> list[str]:
    return [value for name, value in dynamic(path) if name == tag]
