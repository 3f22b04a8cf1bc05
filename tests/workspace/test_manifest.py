"""What is read of a pixi.toml, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tt_conda.base import settings
from tt_conda.base.errors import TtCondaError
from tt_conda.channel import index
from tt_conda.workspace import make
from tt_conda.workspace import manifest as manifests


def test_an_environment_is_the_sum_of_its_features(manifest: Path) -> None:
    workspace = manifests.read(manifest)
    assert workspace.names == ["default", "old", "mine", "elsewhere"]
    default, old, mine = (workspace.environment(name) for name in ("default", "old", "mine"))
    assert default.specs == old.specs == ("tool >=1",) and mine.specs == ("mine *",)
    assert (default.constraints, old.constraints) == ((), ("lib 1.* 0",))
    assert (default.variables["COLOUR"], old.variables["COLOUR"], mine.variables) == ("red", "grey", {})
    assert (default.glibc, workspace.channels) == ("2.17", ["conda-forge"])
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
        (('tool = ">=1"', 'tool = { path = "somewhere" }'), r"dependencies\.tool\.path"),
        (("[workspace]", '[workspace]\nchannel-priority = "disabled"'), r"workspace\.channel-priority"),
        (("[workspace]", '[workspace]\nexclude-newer = "7d"'), r"workspace\.exclude-newer"),
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


PLATFORMS = '[{ platform = "linux-64", glibc = "2.17" }, { name = "board", platform = "linux-aarch64" }, "osx-arm64"]'
"""As they stand in the tiny workspace."""


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ('{ platform = "linux-64", glibc = "2.35" }', "linux-64-glibc-2-35"),
        ('{ platform = "linux-64", glibc = "2.28" }', "linux-64"),
        ('{ platform = "linux-64", linux = "5.15", cuda = "12" }', "linux-64-cuda-12-linux-5-15"),
        ('{ platform = "linux-64", archspec = "x86_64_v3" }', "linux-64-archspec-x86-64-v3"),
        ('{ name = "new", platform = "linux-64", glibc = "2.35" }', "new"),
        ('{ name = "linux-64" }', "linux-64"),
    ],
)
def test_how_pixi_calls_a_platform(manifest: Path, table: str, name: str) -> None:
    """pixi v0.77.0, crates/pixi_manifest/src/toml/platform.rs, lines 723 to 761; a feature names it so."""
    text = manifest.read_text().replace(PLATFORMS, f'[{table}, {{ name = "board", platform = "linux-aarch64" }}]')
    text = text.replace('"board", "osx-arm64"', f'"board", "{name}"')
    manifest.write_text(text)
    workspace = manifests.read(manifest)
    assert workspace.has_here("elsewhere") and workspace.environment("elsewhere").name == "elsewhere"
    manifest.write_text(text.replace(f'"board", "{name}"', f'"board", "{name}-1"'))
    with pytest.raises(
        TtCondaError, match=rf"elsewhere is for {name}-1, which the workspace does not declare"
    ) as error:
        manifests.read(manifest)
    assert name in error.value.way_out


@pytest.mark.parametrize(
    ("platforms", "said"),
    [
        ('[{ name = "linux-64", platform = "linux-64", glibc = "2.35" }]', "linux-64 has virtual packages"),
        ('["linux-64", { platform = "linux-64", glibc = "2.28" }]', "linux-64 is there twice"),
        ('["linux-65"]', "'linux-65' is no conda platform"),
        ('[{ name = "unix", platform = "linux-64", glibc = "2.35" }]', "'unix' is no name"),
        ('[{ name = "new-", platform = "linux-64", glibc = "2.35" }]', "'new-' is no name"),
        ('[{ platform = "linux-64", libc = "2.35" }]', "libc"),
    ],
)
def test_platforms_that_pixi_refuses(manifest: Path, platforms: str, said: str) -> None:
    """pixi v0.77.0, crates/pixi_manifest/src/platform.rs:70, :111 and :447, and toml/workspace.rs:340."""
    manifest.write_text(manifest.read_text().replace(PLATFORMS, platforms))
    with pytest.raises(TtCondaError, match=said):
        manifests.read(manifest)


def test_plain_platforms_may_come_with_a_feature(manifest: Path) -> None:
    """pixi v0.77.0, crates/pixi_manifest/src/toml/manifest.rs:699. Of glibc such a one has 2.28, whatever there is."""
    text = manifest.read_text().replace(PLATFORMS, '["linux-aarch64"]')
    manifest.write_text(text.replace('"board", "osx-arm64"', '"linux-64"'))
    workspace = manifests.read(manifest)
    assert workspace.has_here("default") and workspace.environment("elsewhere").glibc == "2.28"


def test_a_feature_for_one_of_two_platforms_of_a_kind(manifest: Path) -> None:
    """pixi v0.77.0, crates/pixi_manifest/src/features_ext.rs:205: the one that is named, not its neighbour."""
    text = manifest.read_text().replace(PLATFORMS, '[{ platform = "linux-64", glibc = "2.17" }, "linux-64"]')
    manifest.write_text(text.replace('"board", "osx-arm64"', '"linux-64"'))
    workspace = manifests.read(manifest)
    assert workspace.environment("default").glibc == "2.17" and workspace.environment("elsewhere").glibc == "2.28"


def test_packages_are_chosen_for_the_glibc_of_the_platform(
    manifest: Path, channel: Path, make_package: Callable[..., Path]
) -> None:  # fmt: skip
    """Not for this machine's, which is newer: a lock is for other machines, too."""
    index.publish([make_package("lib", "3.0", depends=("__glibc >=2.18",))], channel)
    versions = []
    for glibc in ("2.17", "2.18"):
        manifest.write_text(manifest.read_text().replace('"2.17"', f'"{glibc}"'))
        records = make.solve(manifests.read(manifest).environment("default"), [channel])
        versions += [str(record.version) for record in records if record.name.normalized == "lib"]
    assert versions == ["2.0", "3.0"]


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
    """The nearest; a package has no workspace, and pixi walks on (crates/pixi_manifest/src/discovery.rs:540)."""
    monkeypatch.delenv("TT_CONDA_PROJECT", raising=False)
    (manifest.parent / "deep/down").mkdir(parents=True)
    (manifest.parent / "deep/down/pixi.toml").write_text('[package.build.backend]\nname = "some"\nversion = "*"\n')
    monkeypatch.chdir(manifest.parent / "deep/down")
    assert settings.workspace_file() == manifest
    monkeypatch.chdir("/")
    with pytest.raises(TtCondaError, match=r"There is no /pixi\.toml"):
        manifests.read(settings.workspace_file())
    monkeypatch.setenv("TT_CONDA_PROJECT", str(manifest.parent))
    assert settings.workspace_file() == manifest
