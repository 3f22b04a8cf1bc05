"""What all tests share."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from toolchain import program


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # pytest-xdist's workers inherit the folder from the first process
        os.environ["TT_CONDA_TEST_FOLDER"] = tempfile.mkdtemp(prefix="tt-conda-tests-", dir=_memory())


def _memory() -> str | None:
    """A folder in memory, where there is plenty and programs may be run from it: the carved wheels are 4 GB."""
    shm = "/dev/shm"
    roomy = os.path.isdir(shm) and shutil.disk_usage(shm).free > 8 << 30  # noqa: PTH112
    return shm if roomy and not os.statvfs(shm).f_flag & os.ST_NOEXEC else None


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop("TT_CONDA_TEST_FOLDER"), ignore_errors=True)


Compile = Callable[..., Path]


@pytest.fixture
def scratch() -> Iterator[Path]:
    """As ``tmp_path``, for much data: it is gone when the test is over."""
    with tempfile.TemporaryDirectory(dir=os.environ["TT_CONDA_TEST_FOLDER"]) as folder:
        yield Path(folder)


@pytest.fixture
def compile_library(tmp_path: Path) -> Compile:
    """Compile a shared library: ``compile_library("liba.so", "int a(void) { return 1; }", "-Wl,...")``."""

    def build(name: str, source: str, *flags: str) -> Path:
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        code = tmp_path / f"{Path(name).name}.c"
        code.write_text(source)
        command = [program("gcc"), "-shared", "-fPIC", "-O1", "-g0", "-nostdlib", "-Wl,--as-needed", "-o", target, code]
        subprocess.run([*command, *flags, "-lc"], check=True, cwd=target.parent)
        return target

    return build
