"""Carving beside plain unpacking of the same wheel, and reading the facts and symbols of all its shared objects.

    .venv/bin/python benchmarks/carve.py

Times of one run on one machine are compared with each other only: the best of three, the rivals taking turns.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(PROJECT / "tests"))

from published import PINS, RULES, published  # noqa: E402
from tt_conda.carve import carve, load_rules  # noqa: E402
from tt_conda.elf import is_shared_object, read  # noqa: E402

ROUNDS = 3
WHEELS = ["ttnn-0.59.0rc60-3.10", "ttnn-shutov-0.65.0.dev20251205-3.10", "ttnn-0.81.1-3.12"]
PINNED = ["ttnn-shutov-0.65.0.dev20251205-3.10", "torch-ttnn-shutov-0.2.0-3.10", "ttnn-0.81.1-3.10"]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def unzip(wheel: Path, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)


def carving(folder: Path) -> None:
    rules = load_rules([RULES])
    print(f"{'wheel':40} {'unzip, s':>9} {'carve, s':>9} {'ratio':>6}")
    for label in WHEELS:
        wheel, plain, carved = published(label), [], []
        for _ in range(ROUNDS):
            plain.append(seconds(lambda wheel=wheel: unzip(wheel, folder / "plain")))  # type: ignore[misc]
            carved.append(seconds(lambda wheel=wheel: carve([wheel], folder / "carved", rules)))  # type: ignore[misc]
            shutil.rmtree(folder / "plain")
            shutil.rmtree(folder / "carved")
        print(f"{label:40} {min(plain):9.2f} {min(carved):9.2f} {min(carved) / min(plain):6.2f}")


def reading(folder: Path) -> None:
    objects = []
    for label in PINNED:
        unzip(published(label), folder / label)
        objects += [path for path in (folder / label).rglob("*") if path.is_file() and is_shared_object(path)]
    size = sum(path.stat().st_size for path in objects)
    facts = min(seconds(lambda: [read(path) for path in objects]) for _ in range(ROUNDS))
    elfs = [read(path) for path in objects]
    count = sum(len(elf.symbols.defined) + len(elf.symbols.undefined) for elf in elfs)
    symbols = min(seconds(lambda: [read(path).symbols for path in objects]) for _ in range(ROUNDS))
    print(f"\n{len(objects)} shared objects, {size / 1e6:.0f} MB, {count:,} symbol names")
    print(f"facts: {facts:.3f} s, {len(objects) / facts:,.0f} objects/s")
    print(f"facts and symbols: {symbols:.2f} s, {size / 1e6 / symbols:,.0f} MB/s, {count / symbols:,.0f} symbols/s")


def main() -> None:
    assert set(WHEELS + PINNED) <= set(PINS)
    with tempfile.TemporaryDirectory(prefix="tt-conda-benchmark-") as folder:
        carving(Path(folder))
        reading(Path(folder))


if __name__ == "__main__":
    main()
