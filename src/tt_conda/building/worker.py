"""Build and test one package, in a process of its own: ``python -m tt_conda.building.worker JOB``.

rattler-build runs inside this interpreter and holds it until it is done, so the process that shows progress and
listens to ^C must be another one. Events go to a pipe as JSON lines, everything else to the log.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from pydantic import BaseModel
from rattler_build import (
    Package,
    PackageContentsTest,
    RattlerBuildError,
    Stage0Recipe,
    ToolConfiguration,
    VariantConfig,
)
from rattler_build import package as package_tests

from tt_conda.base import settings
from tt_conda.base.errors import TtCondaError
from tt_conda.building.missing import missing_dependencies
from tt_conda.building.reproducible import Origins, make_reproducible
from tt_conda.channel import network

_NINJA = re.compile(r"\W*\[(\d+)/(\d+)\] ")
"""How ninja's lines begin: steps done, steps in all."""
_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Job(BaseModel):
    """What to build, from what, and where."""

    recipe: Path
    axes: dict[str, list[Any]]
    zip_keys: list[list[str]]
    stem: str
    """Which of the rendered packages: name-version-build."""
    channels: list[str]
    work: Path
    log: Path
    compression: int
    """zstd level, 1 to 22."""
    carver: str = ""
    """Name of the package that carves."""
    origins: Origins = Origins()
    """What the package says in place of the channels here."""
    tested: bool = True
    """Whether its tests run."""


class Events:
    """The worker's progress: into the log, and as JSON lines to the parent."""

    def __init__(self, pipe: TextIO, log: BinaryIO) -> None:
        self._pipe, self._log, self._step = pipe, log, ""

    def write(self, line: str) -> None:
        """Add a line to the log; where the disk is full, building fails by itself and says so."""
        with suppress(OSError):
            self._log.write(line.encode() + b"\n")

    def send(self, **event: Any) -> None:
        """Tell the parent."""
        print(json.dumps(event), file=self._pipe, flush=True)

    def on_log(self, event: Any) -> None:
        """Write one of rattler-build's messages to the log; tell the parent where it is."""
        message = _ANSI.sub("", event.message).rstrip()
        for line in message.splitlines():
            if steps := _NINJA.match(line):
                self.send(done=int(steps[1]), total=int(steps[2]))
            self.write(line if event.level == "info" else f"{event.level}: {line}")
        if event.span and event.span != self._step:
            self._step = event.span
            self.send(step=event.span)

    def on_download_start(self, event: Any) -> None:
        """Nothing: downloads are small or ours."""

    on_download_progress = on_download_complete = on_build_step = on_download_start


def build(job: Job, events: Events) -> Path:
    """Build the job's package into ``job.work``, give it its reproducible form, and run its tests.

    Returns:
        The package file.

    Raises:
        RattlerBuildError: building failed.
        AssertionError: a test of the package failed.
    """
    mirrors = {mirror: url for url in job.channels if (mirror := network.mirrored(url)) != url}
    config = VariantConfig(job.axes, zip_keys=job.zip_keys or None)
    rendered = next(
        v
        for v in Stage0Recipe.from_file(job.recipe).render(config)
        if f"{v.recipe.package.name}-{v.recipe.package.version}-{v.recipe.build.string}" == job.stem
    )
    sources = settings.cache_dir() / "sources"  # fetched once for all builds: rattler-build locks and verifies it
    sources.mkdir(parents=True, exist_ok=True)
    (job.work / "src_cache").symlink_to(sources)
    result = rendered.run_build(
        output_dir=job.work,
        channels=list(map(network.mirrored, job.channels)),
        progress_callback=events,
        package_format="conda:1",  # its reproducible form is compressed anew
        no_build_id=True,  # the folder is this job's alone
        tool_config=ToolConfiguration(test_strategy="skip"),
    )
    path = Path(result.packages[0])
    events.send(step="reproducible form")
    origins = replace(job.origins, mirrors=mirrors)
    make_reproducible(path, job.recipe.parent, job.compression, carver=job.carver, origins=origins)
    if job.tested:
        test(path, job, events)
    return path


def test(path: Path, job: Job, events: Events) -> None:
    """Run the tests in a package; those that cannot have their dependencies here are reported as not run."""
    package = Package.from_file(path)
    absent = missing_dependencies(path, job.channels)
    for index, case in enumerate(package.tests):
        kind = _kind(case)
        if absent and not isinstance(case, PackageContentsTest):
            events.send(untested=f"its {kind}", absent=absent)
            continue
        events.send(step=f"test: {kind}")
        channels = [str(job.work), *map(network.mirrored, job.channels)]
        try:
            result = package.run_test(index, channel=channels, progress_callback=events)
        except RattlerBuildError as error:
            raise AssertionError(f"a test of the package failed, its {kind}: {_plain(error)}") from error
        for line in result.output:
            events.write(_ANSI.sub("", str(line)))
        if not result.success:
            raise AssertionError(f"a test of the package failed, its {kind}")


def _plain(error: Exception) -> str:
    """rattler-build's message without colours and without the name of its Python class."""
    return _ANSI.sub("", str(error)).removeprefix("PyRattlerBuildError: ")


def _kind(case: Any) -> str:
    match case:
        case PackageContentsTest():
            return "contents"
        case package_tests.PythonTest():
            return "imports"
        case _:
            return "commands"


def main() -> int:
    """Run the job whose file is the first argument; events go to the pipe of the second one's number."""
    os.umask(0o022)  # files in packages must not take the mode that this person prefers for new files
    pipe, parent = int(sys.argv[2]), int(sys.argv[3])
    _end_with(parent)
    os.set_inheritable(pipe, False)
    job = Job.model_validate_json(Path(sys.argv[1]).read_text())
    with job.log.open("wb", buffering=0) as log, os.fdopen(pipe, "w") as to_parent:
        events = Events(to_parent, log)
        try:
            events.send(package=str(build(job, events)))
        except (RattlerBuildError, AssertionError, TtCondaError, OSError) as error:
            events.write(f"error: {_plain(error)}")
            events.send(error=_plain(error))
            return 1
    return 0


def _end_with(parent: int) -> None:
    """Leave a process behind that kills this group, scripts included, when the other end of ``parent`` is closed.

    It is closed when the package is done, and by the system when the driver is killed.
    """
    if os.fork():
        os.close(parent)
        return
    os.closerange(0, parent)
    os.closerange(parent + 1, os.sysconf("SC_OPEN_MAX"))
    os.read(parent, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # rattler-build's threads may still be at work, and an interpreter that ends under them crashes
