"""What used to be set by hand (docs/was-and-is.md) is not needed any more, and does no harm where it still is set."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from published import TORCH_020, TTNN_065, published
from tt_conda.audit.mapped import mapped_objects, parse_probe, probe_command, problems
from tt_conda.base.errors import TtCondaError
from tt_conda.environment import solver

Call = Callable[..., "subprocess.CompletedProcess[str]"]
EnvironmentOf = Callable[[str], Path]


def test_variables_of_another_checkout_change_nothing(prefix: Path, call: Call, tmp_path: Path) -> None:
    """What the old set-up exported, all of it pointing to a checkout that is not there any more."""
    gone = str(tmp_path / "gone")
    old = {"TT_METAL_HOME": gone, "TT_METAL_VERSION": "0.1", "LD_LIBRARY_PATH": f"{gone}/build/lib:{gone}/build/tt_stl"}
    done = call(prefix, "python", *probe_command(prefix / "bin/python", ["ttnn"])[1:], **old)
    files = parse_probe(done.stdout)
    assert problems(mapped_objects(files, prefix), prefix) == []
    assert prefix / "lib/libtt_metal.so" in files


def test_debug_cpp_ext_reaches_the_extension(environment_of: EnvironmentOf, tmp_path: Path) -> None:
    """The published extension asks for it; nothing between a person's shell and the extension takes it away."""
    with zipfile.ZipFile(published(TORCH_020)) as wheel:
        (name,) = (n for n in wheel.namelist() if n.endswith("/ttnn_device_extension"))
        assert b"\0DEBUG_CPP_EXT\0" in wheel.read(name)
    code = ["python", "-c", "import os; print(os.environ['DEBUG_CPP_EXT'])"]
    words = [sys.executable, "-m", "tt_conda.cli", "run", "--prefix", str(environment_of("0.65-py310")), *code]
    environ = {**os.environ, "DEBUG_CPP_EXT": "1"}
    assert subprocess.run(words, env=environ, capture_output=True, text=True, cwd=tmp_path).stdout == "1\n"


def test_python_is_the_environment_s(prefix: Path, call: Call, tmp_path: Path) -> None:
    """Whatever came first in PATH before, and whichever virtual environment was activated."""
    other = tmp_path / "venv"
    (other / "bin").mkdir(parents=True)
    for name in ("python", "python3"):
        (other / "bin" / name).write_text("#!/bin/sh\necho the wrong one\n")
        (other / "bin" / name).chmod(0o755)
    code = "import sys, ttnn; print(sys.executable, sys.prefix, ttnn.__file__)"
    words = [sys.executable, "-m", "tt_conda.cli", "run", "--prefix", str(prefix), "python3", "-c", code]
    clean = {name: value for name, value in os.environ.items() if "PYTHON" not in name}
    environ = {**clean, "PATH": f"{other}/bin:{os.environ['PATH']}", "VIRTUAL_ENV": str(other),
               "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
               "TT_CONDA_OWN_PYTHONPATH": os.environ.get("TT_CONDA_OWN_PYTHONPATH", "")}  # fmt: skip
    done = subprocess.run(words, env=environ, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(path.startswith(f"{prefix}/") or path == str(prefix) for path in done.stdout.splitlines()[-1].split())


def test_an_extension_for_another_python_is_refused(channels: Sequence[str | Path], pythons: Sequence[str]) -> None:
    if "3.12" not in pythons:
        pytest.skip("no CPython 3.12 on this machine")
    with pytest.raises(TtCondaError, match=r"(?s)cannot be installed here.*python"):
        solver.solve(["ttnn ==0.65.0.dev20251205", "python 3.12.*"], channels)


def test_versions_are_told_by_python_and_by_conda(prefix: Path, call: Call) -> None:
    (record,) = prefix.glob("conda-meta/ttnn-*.json")
    package = json.loads(record.read_text())
    code = "import importlib.metadata as m, json\n"
    code += "print(json.dumps({d.name: d.version for d in m.distributions() if 'ttnn' in d.name}))"
    told = json.loads(call(prefix, "python", "-c", code).stdout)
    assert list(told.values()) == [package["version"]] and package["sha256"]
    (metal,) = prefix.glob("conda-meta/tt-metal-[0-9]*.json")
    assert json.loads(metal.read_text())["version"] == package["version"]


def test_a_second_ttnn_is_named_by_the_audit(environment_of: EnvironmentOf, tmp_path: Path) -> None:
    """A wheel that pip adds to the environment brings every library a second time."""
    output = tmp_path / "audit.json"
    words = ["audit", str(environment_of("0.65-py310")), str(published(TTNN_065)), "--select", "TC101"]
    done = subprocess.run(
        [sys.executable, "-m", "tt_conda.cli", *words, "--output", str(output)], capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    assert "libtt_metal.so" in output.read_text()
