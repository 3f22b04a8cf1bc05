"""The stack as it is published, on a PyTorch of this project: torch-ttnn's extension is compiled with libstdc++."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Environment = Callable[..., Path]
Call = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def stack(environment_with: Environment) -> Path:
    return environment_with("libstdcxx", "3.10", "torch-ttnn")


def test_torch_ttnn_is_imported_with_one_copy_of_each_library(stack: Path, call: Call) -> None:
    code = """
import collections, os, torch_ttnn, torch, sys
from torch_ttnn.cpp_extension import ttnn_module
assert "torch.ttnn" in sys.modules and "ttnn" in torch._dynamo.list_backends(exclude_tags=None)
paths = {line.split()[-1] for line in open("/proc/self/maps") if ".so" in line and line.split()[-1].startswith("/")}
extension = [path for path in paths if "ttnn_device_extension" in path]
count = collections.Counter(os.path.basename(os.path.realpath(path)) for path in paths)
print(len(extension), [name for name, many in count.items() if many > 1])
"""
    assert call(stack, "python", "-c", code).stdout.splitlines()[-1] == "1 []"


def test_without_a_device_ttnn_says_so(stack: Path, call: Call) -> None:
    code = """
import torch_ttnn, ttnn
try:
    ttnn.open_device(device_id=0)
except RuntimeError as error:
    print("RuntimeError:", str(error).splitlines()[0])
"""
    assert "RuntimeError:" in call(stack, "python", "-c", code).stdout


def test_the_extension_itself_ends_the_process_there(stack: Path, call: Call) -> None:
    """As it is published: `open_torch_device` terminates where `ttnn.open_device` raises."""
    code = """
from torch_ttnn.cpp_extension import ttnn_module
print("loaded", flush=True)
ttnn_module.open_torch_device(0)
"""
    done = call(stack, "python", "-c", code, check=False)
    assert done.stdout.splitlines()[-1] == "loaded"
    assert done.returncode == 128 + signal.SIGABRT and "terminate called" in done.stderr
