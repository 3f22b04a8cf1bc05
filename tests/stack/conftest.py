"""The channel and the environments that ``ci/run build`` made."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from rattler.package_streaming import download_to_path

from tt_conda.base.location import local_path
from tt_conda.building.inventory import PackageFacts, channel_facts, package_facts
from tt_conda.channel import network
from tt_conda.commands import defaults
from tt_conda.embedded.assemble import available_pythons
from tt_conda.environment import solver
from tt_conda.environment.shell import activated

PROJECT = Path(__file__).parents[2]
BUILD = "run `ci/run build` first: these tests look at what it makes"
ENVIRONMENTS = {"0.65-py310": "3.10", "0.81-py310": "3.10", "0.81-py312": "3.12"}
PYTORCH = ("torch-cxx-stdlib", "libtorch", "pytorch")

Call = Callable[..., "subprocess.CompletedProcess[str]"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.stack)


@pytest.fixture(scope="session")
def output() -> Path:
    folder = PROJECT / "output"
    if not any(folder.glob("linux-64/*.conda")):
        pytest.fail(f"there are no packages in {folder}: {BUILD}", pytrace=False)
    return folder


@pytest.fixture(scope="session")
def others() -> list[str | Path]:
    """Where everything else comes from: the embedded channel, unless others are set."""
    return defaults.others()


@pytest.fixture(scope="session")
def channels(output: Path, others: list[str | Path]) -> list[str | Path]:
    return [output, *others]


@pytest.fixture(scope="session")
def suite(output: Path) -> list[PackageFacts]:
    """The packages that `ci/run build` makes; what is compiled, where it was built on request, has its own tests."""
    compiled = re.compile(r"(lib\w+_)?(source|local)(debug)?_")
    return [p for p in channel_facts(output) if p.name not in PYTORCH and not compiled.match(p.build)]


@pytest.fixture(scope="session")
def everything(
    output: Path, suite: list[PackageFacts], others: list[str | Path], tmp_path_factory: pytest.TempPathFactory
) -> list[PackageFacts]:
    """All that is built, PyTorch too, and other channels' packages: of one elsewhere those that the suite needs."""
    folders = [output, *(folder for other in others if (folder := local_path(str(other))))]
    found = [package for folder in folders for package in channel_facts(folder)]
    return found + _needed(suite, [output, *others], tmp_path_factory.mktemp("elsewhere"))


def _needed(suite: list[PackageFacts], channels: Sequence[str | Path], folder: Path) -> list[PackageFacts]:
    """What packages need to run without PyTorch, as far as it is not in folders; downloaded into ``folder``."""
    if all(local_path(str(channel)) for channel in channels):
        return []
    specs = {tuple(spec for spec in package.depends if spec.split()[0] not in PYTORCH) for package in suite}
    urls = {record.url for each in specs for record in solver.solve_present(each, channels)[0]}
    targets = {url: folder / url.rpartition("/")[2] for url in urls if not local_path(url)}

    async def download() -> None:
        client = network.client()
        await asyncio.gather(*(download_to_path(client, url, path) for url, path in targets.items()))

    asyncio.run(download())
    return list(map(package_facts, targets.values()))


@pytest.fixture(scope="session")
def pythons() -> list[str]:
    """The Pythons that there are packages for."""
    return list(available_pythons()) if defaults.is_embedded() else ["3.10", "3.12"]


@pytest.fixture(scope="session")
def environment_of(output: Path, pythons: list[str]) -> Callable[[str], Path]:
    """An environment that the build ended with."""

    def find(name: str) -> Path:
        if ENVIRONMENTS[name] not in pythons:
            pytest.skip(f"no CPython {ENVIRONMENTS[name]} on this machine")
        folder = output / "envs" / name
        if not (folder / "conda-meta").is_dir():
            pytest.fail(f"there is no environment in {folder}: {BUILD}", pytrace=False)
        return folder.resolve()

    return find


@pytest.fixture(params=ENVIRONMENTS)
def prefix(request: pytest.FixtureRequest, environment_of: Callable[[str], Path]) -> Path:
    """Each of them."""
    return environment_of(request.param)


@pytest.fixture
def call(tmp_path: Path) -> Call:
    """Run a program of an environment in an empty folder; ``activate`` does without its scripts' variables."""

    def run(
        prefix: Path, *command: str | Path, activate: bool = False, check: bool = True, **more: str
    ) -> subprocess.CompletedProcess[str]:
        clean = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
        environ = {**clean, "PATH": "/usr/bin:/bin", **more}
        if activate:
            environ = activated(prefix, environ)
        else:
            command = (prefix / "bin" / command[0], *command[1:])
        done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=600)
        assert not check or done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done

    return run


@pytest.fixture(scope="session")
def solve(channels: Sequence[str | Path]) -> Callable[..., dict[str, str]]:
    """Solve specs; version and build by package name."""

    def run(*specs: str) -> dict[str, str]:
        records = solver.solve(specs, channels)
        return {record.name.normalized: f"{record.version} {record.build}" for record in records}

    return run
