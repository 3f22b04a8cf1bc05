"""The stack as it is published, on any PyTorch that it fits: torch-ttnn's extension is compiled with libstdc++."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from torch_builds import stack_environment
from tt_conda.audit.audit import audit
from tt_conda.audit.finding import Severity
from tt_conda.audit.targets import read_targets
from tt_conda.embedded.link import is_glibc

Call = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def stack(channels: list[str | Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With whichever PyTorch the recipe accepts."""
    return stack_environment(tmp_path_factory.mktemp("stack") / "env", channels)


def test_torch_ttnn_is_imported_with_one_copy_of_each_library(stack: Path, call: Call) -> None:
    code = """
import collections, json, os, torch_ttnn, torch, sys
from torch_ttnn.cpp_extension import ttnn_module
assert "torch.ttnn" in sys.modules and "ttnn" in torch._dynamo.list_backends(exclude_tags=None)
mapped = {line.split()[-1] for line in open("/proc/self/maps") if line.split()[-1].startswith("/")}
extension = [path for path in mapped if path.endswith("/ttnn_device_extension")]  # it has no suffix
paths = [path for path in mapped if ".so" in path] + extension
elsewhere = [path for path in paths if not os.path.realpath(path).startswith(os.path.realpath(sys.prefix))]
count = collections.Counter(os.path.basename(os.path.realpath(path)) for path in paths)
print(json.dumps([len(extension), [name for name, many in count.items() if many > 1], elsewhere]))
"""
    extensions, twice, elsewhere = json.loads(call(stack, "python", "-c", code).stdout.splitlines()[-1])
    assert (extensions, twice) == (1, [])
    assert [path for path in elsewhere if not is_glibc(Path(path).name)] == []


def test_the_audit_of_the_environment_is_clean(stack: Path) -> None:
    with read_targets([stack]) as scene:
        found = audit(scene).findings
    assert [f"{f.code} {f.message}" for f in found if f.severity is not Severity.NOTE] == []


def test_without_a_device_ttnn_says_so(stack: Path, call: Call) -> None:
    code = """
import torch_ttnn, ttnn
try:
    ttnn.open_device(device_id=0)
except RuntimeError as error:
    print("RuntimeError:", error)
"""
    _, raised, why = call(stack, "python", "-c", code).stdout.rpartition("RuntimeError:")
    assert raised and "No chips detected" in why


def test_the_extension_itself_ends_the_process_there(stack: Path, call: Call) -> None:
    """As it is published: `open_torch_device` terminates where `ttnn.open_device` raises."""
    code = """
from torch_ttnn.cpp_extension import ttnn_module
print("loaded", flush=True)
ttnn_module.open_torch_device(0)
"""
    done = call(stack, "python", "-c", code, check=False)
    _, loaded, after = done.stdout.partition("loaded\n")
    assert loaded and "No chips detected" in after  # as tt-metal logs it
    assert done.returncode == 128 + signal.SIGABRT and "terminate called" in done.stderr
