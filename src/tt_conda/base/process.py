"""Child processes: those that download, with the pools of threads that wait for them, and those that take our place."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import ParamSpec, TypeVar

from tt_conda.base.errors import TtCondaError

P = ParamSpec("P")
T = TypeVar("T")

_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_FROM_TERMINAL = (signal.SIGINT, signal.SIGQUIT)  # a terminal sends these to the child by itself

_ISOLATED = (
    "import runpy, sys; root, module = sys.argv[1:3]; del sys.argv[1:3]; "
    "root in sys.path or sys.path.insert(0, root); runpy.run_module(module, run_name='__main__', alter_sys=True)"
)

_running: set[subprocess.Popen[str]] = set()

stopped = threading.Event()
"""Set while ^C ends a pool: threads that download by themselves look at it between two pieces."""


def find_program(name: str) -> str | None:
    """A program of this interpreter's environment, else from PATH."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.is_file() else shutil.which(name)


def python(module: str, *arguments: str) -> list[str]:
    """The command that runs one of our modules in this Python, isolated.

    Neither the working folder nor PYTHONPATH nor the person's own site-packages are searched for modules (``-I``), only
    the place that this very package comes from: ``python -m`` would import a ``yaml.py`` in the working folder.
    """
    root = str(Path(__file__).parents[2])
    flags = ["-I", "-B"] if sys.dont_write_bytecode else ["-I"]
    return [sys.executable, *flags, "-c", _ISOLATED, root, module, *arguments]


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


def call(argv: Sequence[str], env: Mapping[str, str], cwd: Path | None = None, fds: tuple[int, ...] = ()) -> int:
    """Run a program; signals that arrive here go to it. Its exit code, or 128 + the signal that ended it.

    Raises TtCondaError if it cannot be started.
    """
    early: list[int] = []
    children: list[subprocess.Popen[bytes]] = []

    def forward(number: int, _: FrameType | None) -> None:
        if number in _FROM_TERMINAL and _in_foreground():
            return
        for child in children:
            child.send_signal(number)
        if not children:
            early.append(number)

    with _handling(forward):
        try:
            child = subprocess.Popen(argv, env=env, cwd=cwd, pass_fds=fds)
        except OSError as error:
            raise TtCondaError(f"{argv[0]} cannot be started: {error}", "Activation needs bash in PATH.") from error
        children.append(child)
        for number in early:
            child.send_signal(number)
        code = child.wait()
    return code if code >= 0 else 128 - code


def _in_foreground() -> bool:
    try:
        with open("/dev/tty") as terminal:  # noqa: PTH123 (a device, not a path)
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False


@contextmanager
def _handling(forward: object) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = {number: signal.signal(number, forward) for number in (*_FORWARDED, *_FROM_TERMINAL)}  # type: ignore[arg-type]
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
