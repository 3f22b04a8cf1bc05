"""What a second time costs beside the first: indexing, installing, and running a command in an environment.

    ci/run exec python benchmarks/warm.py

Times of one run on one machine are compared with each other only; the warm ones are the best of five.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rattler_build import assemble_package

PACKAGES, FILES = 100, 50


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def best(work: Callable[[], object]) -> float:
    return min(seconds(work) for _ in range(5))


def make(folder: Path, number: int) -> Path:
    files = folder / "files" / str(number) / "share" / f"p{number}"
    files.mkdir(parents=True)
    for index in range(FILES):
        (files / str(index)).write_bytes(os.urandom(2000))
    (folder / "made").mkdir(exist_ok=True)
    root = files.parents[1]
    return assemble_package(f"p{number}", "1.0", "linux-64", "0", folder / "made", files_dir=root).path


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["TT_CONDA_CACHE"] = str(folder / "cache")
        from tt_conda.channel import index
        from tt_conda.environment import shell
        from tt_conda.environment.install import install

        packages = [make(folder, number) for number in range(PACKAGES)]
        channel, prefix = folder / "channel", folder / "env"
        specs = [f"p{number}" for number in range(PACKAGES)]
        cold = {
            "index": seconds(lambda: index.publish(packages, channel)),
            "install": seconds(lambda: install(specs, prefix, [channel])),
            "run": best(lambda: subprocess.run(["true"], check=True)),
        }
        warm = {
            "index": best(lambda: index.publish([], channel)),
            "install": best(lambda: install(specs, prefix, [channel])),
            "run": best(lambda: shell.run(prefix, ["true"])),
        }
    print(f"{PACKAGES} packages of {FILES} files")
    print(f"index again / first:      {warm['index'] / cold['index']:.3f}")
    print(f"install again / first:    {warm['install'] / cold['install']:.3f}")
    print(f"run in it / run without:  {warm['run'] / cold['run']:.1f}")


if __name__ == "__main__":
    main()
