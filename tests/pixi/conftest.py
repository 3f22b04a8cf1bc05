"""A real pixi, with the embedded channel on loopback in conda-forge's place."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tools
from torch_builds import require
from tt_conda.base import settings
from tt_conda.channel import index
from tt_conda.channel.serve import serving
from tt_conda.embedded.assemble import ensure_channel

PROJECT = Path(__file__).parents[2]
FORGE = "https://conda.anaconda.org/conda-forge"
MAPPING = "https://conda-mapping.prefix.dev"
"""Where pixi asks which conda package is which of PyPI's."""
PYPI_NAMES = {"msgpack-python": "msgpack", "python-graphviz": "graphviz", "python-isal": "isal"}
"""Of conda packages that are called otherwise there: pixi would lay PyPI's over them."""

Pixi = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """conda-forge's URL on loopback: the embedded channel, with a PyTorch where one is here.

    For linux-aarch64 it has the records of linux-64: locking asks for nothing else.
    """
    tools.require("pixi")
    folder, embedded = tmp_path_factory.mktemp("mirror") / "forge", ensure_channel()
    index.link([*index.listed(embedded), *_pytorch("libstdcxx")], folder)
    (folder / "linux-aarch64").mkdir()
    text = (folder / "linux-64/repodata.json").read_text()
    (folder / "linux-aarch64/repodata.json").write_text(text.replace('"linux-64"', '"linux-aarch64"'))
    records = index.records(embedded).values()
    python = {r["name"] for r in records if any(re.match(r"python(_abi)?\b", spec) for spec in r["depends"])}
    names = {name: PYPI_NAMES.get(name, name) for name in python}
    (folder / "mapping/compressed-v0").mkdir(parents=True)
    (folder / "mapping/compressed-v0/compressed_mapping.json").write_text(json.dumps(names))
    with serving([folder]) as url:
        yield url


@pytest.fixture(scope="session")
def variables(mirror: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of pixi: its configuration, its caches, and nothing of this process's own workspace."""
    folder = tmp_path_factory.mktemp("pixi")
    (folder / "config.toml").write_text(
        'tls-root-certs = "system"\n[repodata-config]\ndisable-sharded = true\ndisable-zstd = true\n'
        f'[mirrors]\n"{FORGE}" = ["{mirror}"]\n"{MAPPING}" = ["{mirror}/mapping"]\n'
    )
    kept = {
        name: value for name, value in os.environ.items()
        if not re.match(r"PIXI_|CONDA|TT_CONDA_|TT_METAL_|PYTHON|VIRTUAL_ENV|_TT", name)
    }  # fmt: skip
    return {
        **kept, "PIXI_CONFIG_FILE": str(folder / "config.toml"), "PIXI_HOME": str(folder / "home"),
        "PIXI_CACHE_DIR": str(folder / "cache"), "TT_CONDA_CACHE": str(settings.cache_dir()), "NO_COLOR": "1",
    }  # fmt: skip


@pytest.fixture(scope="session")
def pixi(variables: dict[str, str]) -> Pixi:
    """Run pixi; its output, or a failure with its last words."""
    program = tools.require("pixi")

    def run(*words: str | Path, cwd: Path, check: bool = True, **more: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [program, *words], cwd=cwd, env={**variables, **more}, capture_output=True, text=True, timeout=1500
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{words}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
        return done

    return run


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of this project as it is here, committed or not."""
    folder = tmp_path_factory.mktemp("checkout") / "tt-conda"
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (PROJECT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, folder / name, follow_symlinks=False)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "As it is"]):
        subprocess.run([*git, *words], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="session")
def pytorch() -> Callable[[str], list[Path]]:
    """The packages of a PyTorch with a C++ standard library; the test is left out where it is not here."""

    def find(cxx_stdlib: str) -> list[Path]:
        require(cxx_stdlib, "3.10", _places())
        return [package.path for package in _pytorch(cxx_stdlib)]

    return find


def _places() -> list[Path]:
    """Channel folders that may have a PyTorch."""
    places = [PROJECT / "output", *settings.extra_channels()]
    return [Path(place) for place in places if Path(place, "noarch/repodata.json").is_file()]


def _pytorch(cxx_stdlib: str) -> list[index.Listed]:
    return [
        package for place in _places() for package in index.listed(place)
        if package.record["name"] in ("torch-cxx-stdlib", "libtorch", "pytorch")
        and package.record["build"].split("_")[0] == cxx_stdlib
    ]  # fmt: skip


@pytest.fixture(scope="session")
def built(checkout: Path, pixi: Pixi, pytorch: Callable[[str], list[Path]]) -> Path:
    """output/ of the checkout, as `pixi run build` leaves it; torch-ttnn is tested with the mirror's PyTorch."""
    pytorch("libstdcxx")
    pixi("run", "build", cwd=checkout)
    return checkout / "output"
