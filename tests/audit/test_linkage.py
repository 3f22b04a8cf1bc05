from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from toolchain import program
from tt_conda.audit.linkage import unlinked


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """An environment of one package: liba needs libb, both in lib/."""
    prefix = tmp_path / "env"
    for folder in ("lib", "conda-meta"):
        (prefix / folder).mkdir(parents=True)
    _library(prefix / "lib/libb.so")
    _library(prefix / "lib/liba.so", prefix / "lib/libb.so", rpath="$ORIGIN")
    record = {"name": "p", "files": ["lib/liba.so", "lib/libb.so"]}
    (prefix / "conda-meta/p-1.0-0.json").write_text(json.dumps(record))
    return prefix


def _library(path: Path, *needs: Path, rpath: str = "") -> None:
    source = path.with_suffix(".c")
    source.write_text(f"int {path.stem}(void) {{ return 1; }}")
    command = [program("gcc"), "-shared", "-fPIC", "-o", str(path), str(source), f"-Wl,-soname,{path.name}"]
    command += ["-Wl,--no-as-needed", *map(str, needs)]
    command += [f"-Wl,-rpath,{rpath}", "-Wl,--disable-new-dtags"] if rpath else []
    subprocess.run(command, check=True, capture_output=True)
    source.unlink()


def test_an_environment_that_holds_what_it_needs(prefix: Path) -> None:
    assert unlinked(prefix) == []


def test_a_library_that_is_nowhere(prefix: Path) -> None:
    (prefix / "lib/libb.so").unlink()
    assert unlinked(prefix) == ["p: lib/liba.so needs libb.so, which is nowhere"]


def test_a_library_outside_the_environment(prefix: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside/libb.so"
    outside.parent.mkdir()
    (prefix / "lib/libb.so").rename(outside)
    _library(prefix / "lib/liba.so", outside, rpath=str(outside.parent))
    assert unlinked(prefix) == [f"p: lib/liba.so finds libb.so outside the environment: {outside}"]


def test_a_truncated_object_is_said_and_the_rest_looked_at(prefix: Path) -> None:
    data = (prefix / "lib/libb.so").read_bytes()
    (prefix / "lib/libb.so").write_bytes(data[:100])
    said = unlinked(prefix)
    assert any("libb.so: truncated" in text for text in said)
    assert "p: lib/liba.so needs libb.so, which is nowhere" in said
