"""A run that leaves out a test for a reason nobody has agreed to has failed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

TESTS = """
import pytest
@pytest.mark.skip(reason="{reason}")
def test_left_out(): pass
def test_run(): pass
"""

NIGHTLY = """
import pytest
@pytest.mark.nightly
def test_long(): pass
def test_run(): pass
"""


@pytest.mark.parametrize("processes", ["0", "1"])
@pytest.mark.parametrize(("reason", "code"), [("because", 1), ("no CPython 3.10 on this machine", 0)])
def test_a_skipped_test_needs_a_known_reason(tmp_path: Path, processes: str, reason: str, code: int) -> None:
    done = _run(tmp_path, reason, processes, {})
    assert done.returncode == code, done.stdout + done.stderr
    assert "1 passed, 1 skipped" in done.stdout
    assert ("error: test_it.py::test_left_out: Skipped: because" in done.stdout) == bool(code)


@pytest.mark.parametrize(("variable", "run"), [("", "ci/run exec"), ("PIXI_PROJECT_ROOT", "pixi run")])
@pytest.mark.parametrize("cxx_stdlib", ["libcxx", "libstdcxx"])
def test_the_last_lines_say_how_to_build_what_was_not_tested(
    tmp_path: Path, cxx_stdlib: str, variable: str, run: str
) -> None:
    command = f"tt-conda build pytorch --cxx-stdlib {cxx_stdlib} --python 3.10"
    reason = f"no pytorch with {cxx_stdlib} for Python 3.10 is here; to build it: {command}"
    done = _run(tmp_path, reason, "0", {variable: "/project"} if variable else {})
    assert done.returncode == 0, done.stdout + done.stderr
    _, said, end = done.stdout.rpartition("1 test of PyTorch did not run: it is not built here")
    how = end.splitlines()[1:]
    assert said and how[0].startswith(f"{run} {command}   (on two cores ")
    assert len(how) < 5 and "1 passed, 1 skipped" in how[-1], how


def test_the_last_lines_name_the_programs_that_were_not_there(tmp_path: Path) -> None:
    done = _run(tmp_path, "no conda on PATH, and TT_CONDA_CONDA names none", "0", {})
    assert done.returncode == 0, done.stdout + done.stderr
    _, said, end = done.stdout.rpartition("1 test with a real conda did not run: it is not on PATH")
    assert said and end.splitlines()[1] == "export TT_CONDA_CONDA=/path/to/conda"


@pytest.mark.parametrize(("words", "did"), [([], "1 passed, 1 skipped"), (["-m", "nightly"], "1 passed, 1 deselected")])
def test_the_last_lines_say_how_to_run_what_runs_each_night(tmp_path: Path, words: list[str], did: str) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = nightly\n")
    done = _run(tmp_path, "", "0", {}, NIGHTLY, words)
    assert done.returncode == 0 and did in done.stdout, done.stdout + done.stderr
    assert ("1 test did not run" in done.stdout and "ci/run exec pytest -m nightly" in done.stdout) == (not words)


def _run(
    folder: Path, reason: str, processes: str, more: dict[str, str], tests: str = TESTS, words: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    for name in ("conftest.py", "toolchain.py"):
        shutil.copy(Path(__file__).with_name(name), folder)
    (folder / "test_it.py").write_text(tests.format(reason=reason))
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PIXI_")} | more
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-n", processes, "-p", "no:cacheprovider", *words, folder],
        cwd=folder, env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
