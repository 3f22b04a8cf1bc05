"""The word of this machine's loader, for small compiled objects."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_OPEN = """
import ctypes, os, sys
for path in sys.argv[1:]:
    try:
        mode = os.RTLD_NOW
        if path.startswith("global:"):
            mode, path = mode | os.RTLD_GLOBAL, path[7:]
        ctypes.CDLL(path, mode)
    except OSError as error:
        sys.exit(str(error))
"""


def opened(*paths: Path | str) -> str:
    """Open objects one after the other in a fresh Python, as ``import`` does: the loader's complaint, or nothing.

    ``global:PATH`` is opened with RTLD_GLOBAL.
    """
    done = subprocess.run(
        [sys.executable, "-I", "-c", _OPEN, *map(str, paths)], capture_output=True, text=True, check=False
    )
    return done.stderr.strip() or ("" if done.returncode == 0 else f"ended with status {done.returncode}")
