"""A run that leaves out a test for a reason nobody has agreed to has failed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest
@pytest.mark.skip(reason="{reason}")
def test_left_out(): pass
def test_run(): pass
"""


@pytest.mark.parametrize("processes", ["0", "1"])
@pytest.mark.parametrize(("reason", "code"), [("because", 1), ("no CPython 3.10 on this machine", 0)])
def test_a_skipped_test_needs_a_known_reason(tmp_path: Path, processes: str, reason: str, code: int) -> None:
    for name in ("conftest.py", "toolchain.py"):
        shutil.copy(Path(__file__).with_name(name), tmp_path)
    (tmp_path / "test_it.py").write_text(TESTS.format(reason=reason))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", processes, "-p", "no:cacheprovider", tmp_path],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert "1 passed, 1 skipped" in done.stdout
    assert ("error: test_it.py::test_left_out: Skipped: because" in done.stdout) == bool(code)
