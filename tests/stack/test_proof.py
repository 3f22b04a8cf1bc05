"""What `ci/run build` ends with: the pair with torch-ttnn, beside the wheels that it is made of."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tt_conda.audit.mapped import by_library
from tt_conda.base import settings
from tt_conda.base.errors import TtCondaError
from tt_conda.workspace.proof import Proof, prove

PROJECT = Path(__file__).parents[2]
PAIR = "torch-ttnn-py310"
TWICE = {"libtt_metal.so", "libdevice.so", "libtracy.so.0.10.0", "libtt_stl.so"}
"""Tenstorrent's libraries, each of which both wheels have."""


@pytest.fixture(scope="module")
def proof(channels: Sequence[str | Path], pythons: Sequence[str]) -> Proof:
    if "3.10" not in pythons:
        pytest.skip("no CPython 3.10 on this machine")
    first, *others = channels
    proof = prove(PROJECT / "ci/proof.toml", [first, *settings.extra_channels(), *others], pythons)
    if left_out := [line for line in proof.left_out if line.startswith(f"{PAIR}: no channel has pytorch")]:
        command = left_out[0].partition("to build it: ")[2]
        pytest.skip(f"no pytorch with libstdcxx for Python 3.10 is here; to build it: {command}")
    return proof


def test_each_library_of_the_pair_is_mapped_once_where_the_wheels_map_two(proof: Proof) -> None:
    from_wheels, ours = proof.from_wheels[PAIR], by_library(proof.objects[PAIR])
    assert {library: len(copies) for library, copies in from_wheels.items() if len(copies) > 1} == dict.fromkeys(
        TWICE, 2
    )
    assert {library: len(ours[library]) for library in TWICE} == dict.fromkeys(TWICE, 1)
    assert all(len(copies) == 1 for copies in ours.values())
    (extension,) = ours["ttnn_device_extension"]
    assert extension.package == "torch-ttnn" and len(from_wheels["ttnn_device_extension"]) == 1
    assert proof.problems == []


def test_it_is_printed_beside_the_wheels(proof: Proof) -> None:
    words = [sys.executable, "-m", "tt_conda.cli", "prove", PROJECT / "ci/proof.toml"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    _, title, table = done.stdout.partition(f"{PAIR}: libraries a process maps")
    assert title
    rows = {words[0]: words[1:] for line in table.splitlines() if (words := line.split())}
    assert rows["libtt_metal"][0::2] == ["2x", "1x"] and rows["libmpi"][0::2] == ["2x", "1x"]
    assert len(rows["libkrb5"]) == 2, "our packages do not bring Kerberos"
    assert int(rows["all"][2]) > 2 * int(rows["all"][4])


def test_what_does_not_hold_after_the_imports_is_an_error(
    proof: Proof, channels: Sequence[str | Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "output_dir", lambda: tmp_path)
    file = tmp_path / "proof.toml"
    lines = ['name = "e"', 'python = "3.10"', 'specs = ["click"]', 'imports = ["click"]', "packages = []"]
    for check, holds in (("hasattr(click, 'command')", True), ("'torch.ttnn' in sys.modules", False)):
        file.write_text("\n".join(["[[environment]]", *lines, f'checks = ["{check}"]']))
        if holds:
            assert prove(file, channels).problems == []
        else:
            with pytest.raises(TtCondaError, match=r"this does not hold: 'torch\.ttnn' in sys\.modules"):
                prove(file, channels)
