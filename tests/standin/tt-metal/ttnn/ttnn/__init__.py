"""The stand-in's ttnn."""

import pathlib

from ttnn._ttnn import add, additions, compile_kernel, is_debug, open_device, set_root_dir, version

__all__ = ["add", "additions", "compile_kernel", "is_debug", "open_device", "set_root_dir", "version"]

this_dir = pathlib.Path(__file__).resolve().parent
root_dir = this_dir
set_root_dir(str(root_dir))
