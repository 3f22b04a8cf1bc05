"""The console script, and ``python -m tt_conda``: answers ^C from its first line on, then loads the command line."""

from __future__ import annotations

import os
import signal
from types import FrameType


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


def entry() -> None:
    """Run the command line; nothing is begun before it listens to signals itself."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    from tt_conda.cli import entry as start

    start()


if __name__ == "__main__":
    entry()
