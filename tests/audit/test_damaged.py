"""Damaged files: 10,000 of them, made from real ones. Each is named or audited, nothing crashes, hangs or swells."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from rattler.package_streaming import extract

from handmade import unpack_wheel
from published import PROJECT
from tt_conda.embedded.assemble import ensure_channel
from tt_conda.inputs.lock import load
from tt_conda.inputs.wheels import fetch_wheel

FUZZ = Path(__file__).with_name("fuzz.py")
GIGABYTE = 1_000_000_000


def wheel(name: str) -> Path:
    """A small wheel of the embedded channel."""
    pins = load(PROJECT / "src/tt_conda/embedded/inputs.lock").wheel
    (pin,) = (pin for pin in pins if pin.name == name and pin.python == "3.12")
    return fetch_wheel(pin)


def fuzz(folder: Path, seed: int, count: int, sources: list[Path]) -> dict[str, int]:
    command = [sys.executable, str(FUZZ), str(folder / "work"), str(seed), str(count), *map(str, sources)]
    (folder / "work").mkdir()
    environ = {**os.environ, "TMPDIR": str(folder)}
    # what hangs uses no processor: an hour is for a machine that has other work to do
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ, timeout=3600)
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["bytes"] < GIGABYTE
    counts: dict[str, int] = told["told"]
    assert sum(counts.values()) == count
    return counts


@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_objects(seed: int, tmp_path: Path) -> None:
    sources = []
    for name in ("isal", "kiwisolver", "pyyaml"):
        unpack_wheel(wheel(name), tmp_path / name)
        sources += sorted((tmp_path / name).rglob("*.so"))
    assert len(sources) >= 4
    counts = fuzz(tmp_path, seed, 4500, sources)
    assert counts["unreadable"] > 1000
    assert counts["audited"] > 1000


DEBIAN = pytest.mark.debian  # the embedded channel's packages


@pytest.mark.parametrize("kind", ["whl", pytest.param("conda", marks=DEBIAN), pytest.param("tar.bz2", marks=DEBIAN)])
def test_damaged_archives(kind: str, tmp_path: Path) -> None:
    sources = [wheel("isal")]
    if kind != "whl":
        channel = ensure_channel()
        sources = [next(channel.glob(f"linux-64/{name}-*.conda")) for name in ("libuuid", "libmd")]
    if kind == "tar.bz2":
        sources = [older(source, tmp_path) for source in sources]
    counts = fuzz(tmp_path, 3, 500, sources)
    assert counts["unreadable"] > 100


def older(package: Path, folder: Path) -> Path:
    """The same package in the older form."""
    unpacked, packed = folder / package.stem, folder / f"{package.stem}.tar.bz2"
    extract(package, unpacked)
    with tarfile.open(packed, "w:bz2") as archive:
        for part in ("info", "lib", "share"):
            if (unpacked / part).exists():
                archive.add(unpacked / part, part)
    return packed
