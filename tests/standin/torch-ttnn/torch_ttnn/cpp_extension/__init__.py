"""The device ``ttnn``, registered with PyTorch."""

import importlib.util
import sys
from importlib.machinery import ExtensionFileLoader
from pathlib import Path

import torch

try:  # as upstream: by its name where it is a module, by its file where it is installed
    import ttnn_device_extension as ttnn_module
except ImportError:
    _file = Path(__file__).parents[2] / "torch_ttnn_cpp_extension/ttnn_device_extension"
    _spec = importlib.util.spec_from_loader(
        "ttnn_device_extension", ExtensionFileLoader("ttnn_device_extension", str(_file))
    )
    assert _spec is not None
    ttnn_module = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(ttnn_module)

torch.utils.rename_privateuse1_backend("ttnn")
sys.modules["torch.ttnn"] = ttnn_module
torch._register_device_module("ttnn", ttnn_module)
