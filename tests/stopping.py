"""Programs that are stopped in the middle."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from pathlib import Path


def listens(child: subprocess.Popen[str]) -> None:
    """Wait until the child has come to its own code: before that, ^C is answered by Python itself."""
    while child.poll() is None:
        caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{child.pid}/status").read_text())
        if caught and int(caught[1], 16) >> signal.SIGTERM - 1 & 1:
            return
        time.sleep(0.001)
