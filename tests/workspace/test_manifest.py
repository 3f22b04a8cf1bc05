"""What is read of a pixi.toml, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tt_conda import settings
from tt_conda.errors import TtCondaError
from tt_conda.workspace import manifest as manifests


def test_an_environment_is_the_sum_of_its_features(manifest: Path) -> None:
    workspace = manifests.read(manifest)
    assert workspace.names == ["default", "old", "mine", "elsewhere"]
    default, old, mine = (workspace.environment(name) for name in ("default", "old", "mine"))
    assert default.specs == old.specs == ("tool >=1",) and mine.specs == ("mine *",)
    assert (default.constraints, old.constraints) == ((), ("lib 1.* 0",))
    assert (default.variables["COLOUR"], old.variables["COLOUR"], mine.variables) == ("red", "grey", {})
    assert (default.built, mine.built) == ((), ("mine",))
    assert mine.prefix == manifest.parent / ".tt-conda/envs/mine" and mine.lock == manifest.parent / "tt-conda.lock"


def test_what_pip_installs(manifest: Path) -> None:
    manifest.write_text(
        manifest.read_text() + '[pypi-dependencies]\nown = { path = "own", editable = true }\na = "*"\nb = ">=1,<2"\n'
    )
    found = manifests.read(manifest).environment("default")
    assert (found.editable, found.requirements) == ((manifest.parent / "own",), ("a", "b>=1,<2"))


def test_of_another_platform(manifest: Path) -> None:
    with pytest.raises(
        TtCondaError, match=r"elsewhere .* is for linux-aarch64, osx-arm64, and this machine is linux-64"
    ):
        manifests.read(manifest).environment("elsewhere")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("[dependencies]", "[dependencies"), "cannot be read"),
        (('tool = ">=1"', 'tool = ">="'), "'tool >=' is no package spec"),
        (('tool = ">=1"', 'tool = { git = "somewhere" }'), r"dependencies\.tool\.git"),
        (("[feature.old.constraints]", "[feature.old.constraint]"), r"feature\.old\.constraint"),
        (("[feature.old.constraints]", "[target.linux-64.dependencies]"), "target"),
        (('old = ["old"]', 'old = ["new"]'), "the environment old has no feature new"),
        (('COLOUR = "red"', 'COLOUR = "$HOME"'), "for a shell to expand"),
        (("[workspace]", "[project]"), "workspace"),
        (("[dependencies]", "[host-dependencies]"), "host-dependencies"),
        (("[dependencies]", "[build-dependencies]"), "build-dependencies"),
        (("[dependencies]", '[system-requirements]\nlibc = "2.35"\n[dependencies]'), "system-requirements"),
        (("[feature.elsewhere]", '[feature.mine.tasks.develop]\ncmd = "pip"\n[feature.elsewhere]'), "the task develop"),
        (("[environments]", '[feature.mine.tasks]\ndevelop = ["a"]\n[environments]'), "the task develop"),
    ],
)
def test_what_is_not_understood_is_named(manifest: Path, change: tuple[str, str], said: str) -> None:
    manifest.write_text(manifest.read_text().replace(*change))
    with pytest.raises(TtCondaError, match=said) as error:
        manifests.read(manifest)
    assert str(manifest) in error.value.what


def test_not_even_text(manifest: Path) -> None:
    manifest.write_bytes(b"# \xff\n")
    with pytest.raises(TtCondaError, match=rf"{manifest} cannot be read"):
        manifests.read(manifest)


@pytest.mark.parametrize("task", ['develop = "mine {{ checkout }}"', '[tasks.develop]\ncmd = "mine {{ checkout }}"'])
def test_the_task_that_installs_a_checkout(manifest: Path, task: str) -> None:
    """As pixi lets it be written, of a feature or of the whole workspace."""
    where = "" if task.startswith("[") else "[tasks]\n"
    manifest.write_text(f"{manifest.read_text()}{where}{task}\n")
    workspace = manifests.read(manifest)
    assert workspace.environment("old").develop == "mine {{ checkout }}"
    assert workspace.environment("mine").develop == manifests.DEVELOP, "it is without the workspace's own"


def test_which_one_is_read(manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TT_CONDA_PROJECT", raising=False)
    (manifest.parent / "deep/down").mkdir(parents=True)
    monkeypatch.chdir(manifest.parent / "deep/down")
    assert settings.workspace_file() == manifest
    monkeypatch.chdir("/")
    with pytest.raises(TtCondaError, match=r"There is no /pixi\.toml"):
        manifests.read(settings.workspace_file())
    monkeypatch.setenv("TT_CONDA_PROJECT", str(manifest.parent))
    assert settings.workspace_file() == manifest
