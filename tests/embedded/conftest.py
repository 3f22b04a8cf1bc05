from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import rattler

from tt_conda.base import settings
from tt_conda.embedded.assemble import available_pythons, ensure_channel

Install = Callable[..., Path]
USED = """
numpy pandas seaborn openmpi pyyaml ml_dtypes loguru networkx python-graphviz click libnuma typer pydantic py-rattler
py-rattler-build patchelf pytest hatchling tomli pip setuptools wheel cmake ninja
"""

DLOPEN = """
import ctypes, os, sys
failed = 0
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        path = os.path.join(folder, name)
        if ".so" not in name or os.path.islink(path) or "/sysroot/" in path or "libclang_rt." in name:
            continue  # sanitizers' runtimes are loaded first or not at all
        with open(path, "rb") as file:
            if file.read(4) != b"\\x7fELF":
                continue
        child = os.fork()
        if child == 0:
            try:
                ctypes.CDLL(path, os.RTLD_NOW)
            except OSError as error:
                print(error, flush=True)
                os._exit(1)
            os._exit(0)
        failed += os.waitpid(child, 0)[1] != 0
sys.exit(failed != 0)
"""


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is large, an environment or the whole channel unpacked, is made by one worker."""
    for item in items:
        if isinstance(item, pytest.Function) and Path(__file__).parent in item.path.parents:
            for name in {"environment", "compilers", "unpacked"} & {*item.fixturenames}:
                which = item.callspec.params.get(name, "") if hasattr(item, "callspec") else ""
                item.add_marker(pytest.mark.xdist_group(f"embedded-{name}{which}"))


async def _install(channel: Path, prefix: Path, specs: tuple[str, ...]) -> None:
    records = await rattler.solve(
        [channel.as_uri()],
        list(specs),
        platforms=["linux-64", "noarch"],
        virtual_packages=rattler.VirtualPackage.detect(),
    )
    await rattler.install(records, prefix, show_progress=False, cache_dir=settings.cache_dir() / "pkgs")


@pytest.fixture(scope="session")
def channel() -> Path:
    return ensure_channel()


@pytest.fixture(scope="session")
def install(channel: Path) -> Install:
    """Install packages of the embedded channel into a folder."""

    def run(prefix: Path, *specs: str) -> Path:
        asyncio.run(_install(channel, prefix, specs))
        return prefix

    return run


@pytest.fixture(scope="session", params=["3.10", "3.12"])
def environment(request: pytest.FixtureRequest, install: Install, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with everything for Python, one per interpreter on this machine."""
    if request.param not in available_pythons():
        pytest.skip(f"no CPython {request.param} on this machine")
    return install(tmp_path_factory.mktemp("env") / request.param, f"python {request.param}.*", *USED.split())


@pytest.fixture(scope="session")
def compilers(install: Install, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the compilers."""
    specs = "clangxx_linux-64 libcxx-devel libstdcxx llvm-openmp cmake ninja make ccache pkgconf openblas zstd"
    return install(tmp_path_factory.mktemp("compilers"), *specs.split())


Run = Callable[..., str]


@pytest.fixture(scope="session")
def dlopen_all() -> str:
    """A Python program that loads every library below a folder, each in a process of its own."""
    return DLOPEN


@pytest.fixture(scope="session")
def run() -> Run:
    """Run a program of an environment with nothing else on PATH; returns what it prints."""

    def call(prefix: Path, *command: str | Path, cwd: Path | None = None, **env: str) -> str:
        environ = {"PATH": f"{prefix}/bin", "CONDA_PREFIX": str(prefix), "HOME": str(cwd or os.sep), **env}
        done = subprocess.run([str(c) for c in command], env=environ, cwd=cwd, text=True, capture_output=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return call
