"""The stand-in's packages, made by the recipes that compile upstream's sources, and environments with them."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from torch_builds import require
from tt_conda.base import settings
from tt_conda.building import gate
from tt_conda.building.build import Built, build
from tt_conda.commands import defaults
from tt_conda.embedded.assemble import available_pythons
from tt_conda.environment.install import install

PROJECT = Path(__file__).parents[2]
VERSION = "0.65.0.dev20251205"
RECIPES = ("sfpi", "tt-metal", "ttnn", "torch-cxx-stdlib", "torch-ttnn", "pytorch-libcxx")

Make = Callable[..., Built]
Environment = Callable[..., Path]
Call = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def python() -> str:
    """One of the Pythons that there are packages for."""
    return "3.10" if not defaults.is_embedded() or "3.10" in available_pythons() else next(iter(available_pythons()))


@pytest.fixture(scope="session")
def others() -> list[str | Path]:
    """tt-conda's own package, PyTorch where it is, and everything else."""
    if not any((PROJECT / "output").glob("noarch/tt-conda-*.conda")):
        pytest.fail("there is no package of tt-conda in output/: run `ci/run build` first", pytrace=False)
    return [PROJECT / "output", *settings.extra_channels(), *defaults.others()]


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This project's recipes and axes, with a channel of their own."""
    folder = tmp_path_factory.mktemp("standin")
    for name in RECIPES:
        shutil.copytree(PROJECT / "recipes" / name, folder / "recipes" / name)
    for file in (*PROJECT.glob("variants*.yaml"), PROJECT / "LICENSE"):
        shutil.copy(file, folder)
    (folder / "tests").mkdir()
    (folder / "tests/standin").symlink_to(PROJECT / "tests/standin")
    return folder


@pytest.fixture(scope="session")
def make(project: Path, others: list[str | Path], python: str) -> Make:
    """Build packages from the stand-in's sources; what was built before from the same things is taken again."""

    def run(*packages: str, cxx_stdlib: str, tt_metal_build: str = "Release") -> Built:
        folder = Path(os.environ["TT_CONDA_TEST_FOLDER"])
        with (folder / "standin.lock").open("w") as lock, pytest.MonkeyPatch.context() as patch:
            fcntl.flock(lock, fcntl.LOCK_EX)
            patch.setenv("TT_METAL_VERSION", "9.9.9")  # of the old set-up: the variant's is what counts
            return build(
                ["sfpi", *packages],  # by its name, or an older one would do
                axes={"origin": ["source"], "cxx_stdlib": [cxx_stdlib], "python": [python],
                      "tt_metal_version": [VERSION]},
                instead={"tt_source": ["../../tests/standin"], "tt_metal_build": [tt_metal_build],
                         "pytorch_source": ["debian"]},
                channels=lambda: others, project=project, check=gate.check_package,
            )  # fmt: skip

    return run


@pytest.fixture(scope="session")
def environment_with(
    make: Make, project: Path, others: list[str | Path], python: str, tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    """An environment with packages of the stand-in, built if need be, and with other packages."""

    def run(cxx_stdlib: str, packages: Collection[str], *more: str, kind: str = "local") -> Path:
        make(*packages, cxx_stdlib=cxx_stdlib)
        folder = tmp_path_factory.mktemp("env") / "env"
        tag = {"ttnn": f"{cxx_stdlib}_{kind}_py*", "torch-ttnn": f"{cxx_stdlib}_{kind}_py*"}
        specs = [f"{name} * {tag.get(name, f'{cxx_stdlib}_{kind}_*')}" for name in packages]
        install([*specs, f"python {python}.*", *more], folder, [project / "output", *others])
        return folder

    return run


@pytest.fixture(scope="session")
def call(tmp_path_factory: pytest.TempPathFactory) -> Call:
    """Run a command in an activated environment, in an empty folder, with nothing of this process's variables."""

    def run(prefix: Path, *command: str | Path, check: bool = True, **more: str) -> subprocess.CompletedProcess[str]:
        variables = {"HOME": str(tmp_path_factory.mktemp("home")), "PATH": "/usr/bin:/bin", **more}
        variables["PYTHONPATH"] = variables["TT_CONDA_OWN_PYTHONPATH"] = str(PROJECT / "src")
        words = [sys.executable, "-m", "tt_conda.cli", "run", "--prefix", prefix, *command]
        done = subprocess.run(
            words, env=variables, text=True, capture_output=True, cwd=tmp_path_factory.mktemp("run"), check=False
        )
        assert not check or done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        return done

    return run


@pytest.fixture(scope="session")
def pytorch(others: list[str | Path], python: str) -> Callable[[str], None]:
    """Leave a test out where no channel has a PyTorch with that C++ standard library."""

    return lambda cxx_stdlib: require(cxx_stdlib, python, others)
