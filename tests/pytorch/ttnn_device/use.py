"""Load the extension whose path is the first argument, name its device as tt-metal's extension does, and use it."""

import sys
import types

import torch

torch.utils.rename_privateuse1_backend("ttnn")
torch._register_device_module("ttnn", types.ModuleType("torch.ttnn"))  # PyTorch looks for a module of that name
torch.ops.load_library(sys.argv[1])

ones = torch.ones(2, device="ttnn:0")
assert str(ones.device) == "ttnn:0" and ones.cpu().tolist() == [1, 1]
assert (ones + ones).cpu().tolist() == [2, 2] and torch.ops.ttnn_device.additions() == 1
assert torch.arange(4.0).reshape(2, 2).to("ttnn").sum().item() == 6  # falls back to the host

assert torch.ops.ttnn_device.catches()
try:
    torch.ops.ttnn_device.throws()
except RuntimeError as error:
    assert "thrown in the extension" in str(error)
else:
    raise AssertionError("nothing was thrown")
print("works")
