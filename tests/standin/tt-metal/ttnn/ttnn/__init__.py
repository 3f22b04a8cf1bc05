"""The stand-in's ttnn."""

import pathlib

from ttnn._ttnn import add, additions, compile_kernel, is_debug, open_device, set_root_dir, version

__all__ = ["add", "additions", "compile_kernel", "is_debug", "open_device", "set_root_dir", "version"]

set_root_dir(str(pathlib.Path(__file__).parent))
