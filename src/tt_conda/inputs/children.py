"""Child processes that download, and the pools of threads that wait for them: ^C ends them all."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_running: set[subprocess.Popen[str]] = set()

stopped = threading.Event()
"""Set while ^C ends a pool: threads that download by themselves look at it between two pieces."""


def run(
    command: Sequence[str], *, env: Mapping[str, str], cwd: Path | None = None, merge: bool = False, umask: int = -1
) -> subprocess.CompletedProcess[str]:
    """Run a program that asks nothing and return what it says; ``merge``: its errors among its output.

    ``umask`` is that of the files it writes; -1: this process's.
    """
    with subprocess.Popen(
        command, cwd=cwd, env=env, text=True, errors="replace", stdin=subprocess.DEVNULL, umask=umask,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT if merge else subprocess.PIPE,
    ) as process:  # fmt: skip
        _running.add(process)
        try:
            out, err = process.communicate()
        except BaseException:
            process.terminate()
            raise
        finally:
            _running.discard(process)
    return subprocess.CompletedProcess(command, process.returncode, out, err or "")


class Pool:
    """Threads that may wait for child processes.

    An error in the block drops what has not begun and waits for the rest, whose downloads are kept. ^C ends the child
    processes too, so that no download outlives the command.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(max_workers=threads)
        self._jobs: list[Future[object]] = []

    def submit(self, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a thread make the call."""
        job = self._pool.submit(call, *args, **kwargs)
        self._jobs.append(job)  # type: ignore[arg-type]
        return job

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=False, cancel_futures=error is not None)
        if error is not None and not isinstance(error, Exception):
            self._end()
            return
        try:
            wait(self._pending())
        except BaseException:
            self._end()
            raise

    def _pending(self) -> list[Future[object]]:
        return [job for job in self._jobs if not job.done()]

    def _end(self) -> None:
        stopped.set()
        for job in self._jobs:
            job.cancel()
        while pending := self._pending():  # a thread may start another child before it sees that its last one ended
            for process in list(_running):
                with suppress(OSError):
                    process.terminate()
            wait(pending, timeout=0.1)
        stopped.clear()
