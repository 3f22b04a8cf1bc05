"""Workspaces: tiny ones on tiny channels, and the project's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from rattler_build import assemble_package

from tt_conda.channel import index
from tt_conda.commands import defaults

WORKSPACE = """
[workspace]
channels = ["conda-forge"]
platforms = [{ platform = "linux-64", glibc = "2.17" }, { name = "board", platform = "linux-aarch64" }, "osx-arm64"]
[dependencies]
tool = ">=1"
[activation.env]
COLOUR = "red"
TT_CONDA_CHANNELS = "conda-forge"
[feature.old.constraints]
lib = { version = "1.*", build = "0" }
[feature.old.activation.env]
COLOUR = "grey"
[feature.mine.dependencies]
mine = "*"
[feature.elsewhere]
platforms = ["board", "osx-arm64"]
[environments]
old = ["old"]
mine = { features = ["mine"], no-default-feature = true }
elsewhere = ["elsewhere"]
"""

Make = Callable[..., Path]


@pytest.fixture
def make_package(tmp_path: Path) -> Make:
    """Make a package of ``files`` (path → content)."""

    def make(name: str, version: str = "1.0", build: str = "0", depends: tuple[str, ...] = (), **files: str) -> Path:
        staged = tmp_path / "staged" / f"{name}-{version}-{build}"
        for path, content in (files or {f"share/{name}": f"{name} {version}\n"}).items():
            (staged / path).parent.mkdir(parents=True, exist_ok=True)
            (staged / path).write_text(content)
        (tmp_path / "made").mkdir(exist_ok=True)
        return assemble_package(
            name, version, "linux-64", build, tmp_path / "made", files_dir=staged, depends=list(depends)
        ).path

    return make


@pytest.fixture
def channel(tmp_path: Path, make_package: Make, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``tool`` depends on ``lib`` 1.0 or 2.0; the cache is of its own."""
    monkeypatch.setenv("TT_CONDA_CACHE", str(tmp_path / "cache"))
    packages = [make_package("lib", "1.0"), make_package("lib", "2.0"), make_package("tool", depends=("lib",))]
    index.publish(packages, tmp_path / "channel")
    return tmp_path / "channel"


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    file = tmp_path / "project/pixi.toml"
    file.parent.mkdir()
    file.write_text(WORKSPACE)
    return file


@pytest.fixture(scope="session")
def others() -> list[str | Path]:
    """Where everything comes from that the project does not build."""
    return defaults.others()
