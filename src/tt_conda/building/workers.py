"""Processes that build: each in a group of its own, so that ^C ends it with all that its scripts have started."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from tt_conda.base import process, settings
from tt_conda.base.errors import TtCondaError
from tt_conda.base.progress import Stage
from tt_conda.building.memory import PeakMemory, resident
from tt_conda.building.worker import Job
from tt_conda.channel import network

_FULL = 200_000
"""Bytes: a disk with less room than this is why a build failed, whatever the build itself says."""


class Workers:
    """Those at work."""

    def __init__(self) -> None:
        self._workers: set[subprocess.Popen[bytes]] = set()
        self._starting, self._stopped = threading.Lock(), False

    def run(self, job: Job, bar: Stage) -> tuple[Path, list[str], int]:
        """Do a job and show how far it is.

        Returns:
            The package, the dependencies whose absence kept its tests from running, and the bytes of memory that it
            had at once, at most.

        Raises:
            TtCondaError: building or a test failed; the message has the last lines of the log.
        """
        places = {"recipe": job.recipe, "work": job.work, "log": job.log}
        job = job.model_copy(update={name: path.absolute() for name, path in places.items()})  # it has its own folder
        spec = job.work / "job.json"
        spec.write_text(job.model_dump_json())
        noise = job.log.with_suffix(".err")
        reader, events_pipe = os.pipe()
        parent_pipe, alive = os.pipe()
        with noise.open("wb") as err, os.fdopen(reader) as events, os.fdopen(alive, "w"):
            try:
                worker = self._start(
                    process.python("tt_conda.building.worker", str(spec), str(events_pipe), str(parent_pipe)),
                    job.work, err, (events_pipe, parent_pipe),
                )  # fmt: skip
            finally:
                os.close(events_pipe)
                os.close(parent_pipe)
            package, problem, untested = None, "", set[str]()
            with PeakMemory(worker.pid) as memory:
                for line in events:
                    event = json.loads(line)
                    if "step" in event:
                        bar.describe(f"{job.stem}: {event['step']}")
                    if "done" in event:
                        bar.part(job.stem, event["done"], event["total"])
                    package = event.get("package", package)
                    problem = event.get("error", problem)
                    untested.update(event.get("absent", ()))
                code = worker.wait()
            _kill(worker.pid)
            with self._starting:
                self._workers.discard(worker)
        if code == 0 and package:
            noise.unlink(missing_ok=True)
            return Path(package), sorted(untested), memory.peak
        ended = problem or (f"the worker was ended by signal {-code}" if code < 0 else f"the worker exited with {code}")
        for folder in {job.work, settings.cache_dir(), Path(tempfile.gettempdir())}:
            if folder.is_dir() and (free := shutil.disk_usage(folder).free) < _FULL:
                raise TtCondaError(
                    f"building {job.stem} failed: the disk is full: {folder} has {free / 1e6:.1f} MB left\n  {ended}",
                    "Make room there and run the same command again.",
                )
        _append(job.log, noise)
        tail = "\n".join(f"  │ {line}" for line in _tail(job.log))
        raise TtCondaError(f"building {job.stem} failed: {ended}\n{tail}", f"The full log: {job.log}")

    def _start(self, command: list[str], cwd: Path, err: BinaryIO, pipes: tuple[int, int]) -> subprocess.Popen[bytes]:
        with self._starting:
            if self._stopped:
                raise TtCondaError("stopped")
            worker = subprocess.Popen(
                command, cwd=cwd, stdout=err, stderr=err, stdin=subprocess.DEVNULL, pass_fds=pipes,
                start_new_session=True, env={**network.environ(), **settings.worker_environ()},
            )  # fmt: skip
            self._workers.add(worker)
            return worker

    def stop(self) -> None:
        """Kill the workers and whatever their scripts started; none starts any more."""
        with self._starting:
            self._stopped = True
            for worker in self._workers:
                with suppress(ProcessLookupError):
                    os.killpg(worker.pid, signal.SIGKILL)


def _kill(session: int) -> None:
    """Kill what a worker's scripts have left behind, and return when it is gone, or after five seconds."""
    end = time.monotonic() + 5
    with suppress(ProcessLookupError):
        os.killpg(session, signal.SIGKILL)
    while resident(session) and time.monotonic() < end:  # one that nobody has waited for has no memory any more
        time.sleep(0.005)


def _append(log: Path, noise: Path) -> None:
    with log.open("a") as out:
        out.write(noise.read_text(errors="replace"))
    noise.unlink(missing_ok=True)


def _tail(log: Path, lines: int = 12) -> list[str]:
    """The last lines before rattler-build's own epitaph, which repeats paths."""
    text = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    ends = [at for at, line in enumerate(text) if line.startswith(("error: ", "Script failed"))]
    return [line[:200] for line in text[: ends[0] if ends else None][-lines:]]
