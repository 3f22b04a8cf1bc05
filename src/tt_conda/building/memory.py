"""How much memory a build takes: what all its processes have resident together, at most."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

_INTERVAL = 1.0
"""Seconds between two looks: compilers and linkers that matter live longer."""


class PeakMemory:
    """Watches a session of processes while its block runs; ``peak`` is in bytes, shared pages once per process."""

    def __init__(self, session: int) -> None:
        self.peak = 0
        self._session, self._over = session, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.peak = max(self.peak, resident(self._session))
            if self._over.wait(_INTERVAL):
                return


def resident(session: int) -> int:
    """Bytes that the processes of a session have in memory now."""
    pages = 0
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError, IndexError, ValueError):  # it ended meanwhile
                fields = Path(entry.path, "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == session:
                    pages += int(fields[21])
    return pages * os.sysconf("SC_PAGE_SIZE")
