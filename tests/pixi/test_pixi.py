"""What people do with pixi here, done by a real one: tests/workspace holds the rules without it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

import metalium
import tools
from tt_conda.base.errors import TtCondaError
from tt_conda.base.location import channel_url
from tt_conda.channel import index
from tt_conda.channel.serve import serving
from tt_conda.workspace import manifest as manifests

pytestmark = pytest.mark.xdist_group("pixi")

Pixi = Callable[..., "subprocess.CompletedProcess[str]"]
PyTorch = Callable[[str], list[Path]]
EXTENSION = """
import torch, ttnn, torch_ttnn
from torch_ttnn.cpp_extension import ttnn_module
print(ttnn_module.__name__, "ttnn" in str(torch._dynamo.list_backends(exclude_tags=())))
"""
FOLDERS = [".", "recipes", "workspaces/dev", "workspaces/libcxx", "workspaces/libstdcxx", "workspaces/sim"]


def write_manifest(source: Path, folder: Path, url: str) -> Path:
    """Copy one of workspaces/ with a URL in the place of output/, and what its tasks name."""
    text = source.read_text()
    assert text.count('"../../output"') == 1
    folder.mkdir(parents=True)
    (folder / "pixi.toml").write_text(text.replace('"../../output"', f'"{url}"'))
    return folder


# --- manifests ---


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_manifest_is_read(checkout: Path, pixi: Pixi, folder: str) -> None:
    done = pixi("workspace", "environment", "list", cwd=checkout / folder)
    for environment in manifests.read(checkout / folder / "pixi.toml").names:
        assert re.search(rf"\b{environment}\b", done.stdout), done.stdout


@pytest.mark.parametrize(
    "table",
    ['{ platform = "linux-64", glibc = "2.35" }', '{ platform = "linux-64", linux = "5.15", cuda = "12" }',
     '{ platform = "linux-64", archspec = "x86_64_v3", glibc = "2.28" }',
     '{ name = "new", platform = "linux-64", glibc = "2.35" }',
     '{ name = "linux-64", platform = "linux-64", glibc = "2.35" }', '{ name = "linux", platform = "linux-64" }'],
)  # fmt: skip
def test_a_platform_has_the_same_name_for_both(pixi: Pixi, tmp_path: Path, table: str) -> None:
    """Ours is tried as a feature's platform; what the one refuses, the other refuses."""
    head = f'[workspace]\nname = "x"\nchannels = ["conda-forge"]\nplatforms = [{table}]\n'
    file = tmp_path / "pixi.toml"
    file.write_text(head)
    try:
        name, is_right = manifests.read(file)._content.platforms[0].name, True
    except TtCondaError:
        name, is_right = "linux-64", False
    for reference, fits in ((name, is_right), (f"{name}-more", False)):
        feature = f'[feature.one]\nplatforms = ["{reference}"]\n[environments]\none = ["one"]\n'
        file.write_text(head + feature)
        done = pixi("workspace", "environment", "list", cwd=tmp_path, check=False)
        assert (done.returncode == 0) is fits, done.stdout + done.stderr


# --- this project's own environments ---


def test_the_lock_settles(checkout: Path, pixi: Pixi) -> None:
    pixi("lock", cwd=checkout)
    before = (checkout / "pixi.lock").read_bytes()
    pixi("lock", cwd=checkout)
    assert (checkout / "pixi.lock").read_bytes() == before
    pixi("lock", "--check", cwd=checkout)
    pixi("run", "--locked", "lint", cwd=checkout)


def test_a_person_s_own_channels_win(checkout: Path, pixi: Pixi) -> None:
    said = ["run", "python", "-c", "from tt_conda.base import settings; print(settings.channels())"]
    assert pixi(*said, cwd=checkout, TT_CONDA_CHANNELS="mine").stdout.strip() == "['mine']"
    assert pixi(*said, cwd=checkout).stdout.strip() == "[]"


def test_packages_are_built_and_tests_run(checkout: Path, built: Path, pixi: Pixi) -> None:
    """The build goes through the mirror that pixi's configuration names: nothing else here has conda-forge."""
    index.validate(built)
    names = {record["name"] for record in index.records(built).values()}
    assert {"tt-conda", "tt-metal", "libttnn", "ttnn", "torch-ttnn"} <= names
    done = pixi("run", "-e", "test", "--skip-deps", "test", "tests/elf", "-q", "-x", cwd=checkout)
    assert re.search(r"\d+ passed", done.stdout), done.stdout


# --- the stack ---


@pytest.fixture(scope="module")
def channel(built: Path, pytorch: PyTorch, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A channel with what was built and one PyTorch."""

    def make(cxx_stdlib: str) -> Path:
        folder = tmp_path_factory.mktemp("channel") / cxx_stdlib
        index.publish([*index.records(built), *pytorch(cxx_stdlib)], folder, keep=True)
        return folder

    return make


@pytest.fixture(scope="module")
def libstdcxx(channel: Callable[[str], Path]) -> Iterator[str]:
    with serving([channel("libstdcxx")]) as url:
        yield url


@pytest.fixture(scope="module")
def libcxx(channel: Callable[[str], Path]) -> Iterator[str]:
    with serving([channel("libcxx")]) as url:
        yield url


def hashes(lock: Path) -> dict[str, str]:
    """URL → sha256 of the packages in a lock file."""
    return {package["conda"]: package["sha256"] for package in yaml.safe_load(lock.read_text())["packages"]}


def test_a_dev_shell(checkout: Path, libcxx: str, pixi: Pixi, tmp_path: Path) -> None:
    """With carved packages and one PyTorch; the lock is the same again, and on another machine."""
    folder = write_manifest(checkout / "workspaces/dev/pixi.toml", tmp_path / "one/workspaces/dev", libcxx)
    done = pixi("run", "python", "-c", "import torch; print(torch.ones(2).sum().item())", cwd=folder)
    assert done.stdout == "2.0\n"
    done = pixi("run", "sh", "-c", "clang++ --version; clangd --version; echo $CMAKE_GENERATOR", cwd=folder)
    assert "19.1" in done.stdout and done.stdout.endswith("Ninja\n")
    before = (folder / "pixi.lock").read_bytes()
    pixi("lock", cwd=folder)
    assert (folder / "pixi.lock").read_bytes() == before and b"file:" not in before
    other = tmp_path / "two"
    other.mkdir()
    for name in ("pixi.toml", "pixi.lock"):
        shutil.copy(folder / name, other)
    pixi("run", "--frozen", "python", "-c", "import torch", cwd=other, PIXI_CACHE_DIR=str(tmp_path / "cache"))
    assert (other / "pixi.lock").read_bytes() == before
    one, two = ({p.name for p in f.glob(".pixi/envs/default/conda-meta/*.json")} for f in (folder, other))
    assert one == two and len(one) == len(hashes(folder / "pixi.lock"))


def test_a_checkout_in_dev(checkout: Path, libcxx: str, pixi: Pixi, tmp_path: Path) -> None:
    """Named from where pixi is called; installed so that what is edited is what is imported."""
    folder = write_manifest(checkout / "workspaces/dev/pixi.toml", tmp_path / "workspaces/dev", libcxx)
    (tmp_path / "recipes").symlink_to(checkout / "recipes")
    shutil.copytree(checkout / "tests/workspace/native", tmp_path / "here/native")
    words = ["run", "--manifest-path", folder]
    pixi(*words, "develop", "native", cwd=tmp_path / "here")
    done = pixi(*words, "python", "-c", "import native; print(native.answer(), native.__file__)", cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == f"41 {tmp_path}/here/native/src/native/__init__.py"


def test_torch_ttnn_in_its_workspace(checkout: Path, libstdcxx: str, pixi: Pixi, tmp_path: Path) -> None:
    folder = write_manifest(checkout / "workspaces/libstdcxx/pixi.toml", tmp_path / "libstdcxx", libstdcxx)
    done = pixi("run", "python", "-c", EXTENSION, cwd=folder)
    assert done.stdout.splitlines()[-1].endswith("True"), done.stdout
    before = (folder / "pixi.lock").read_bytes()
    pixi("lock", cwd=folder)
    pixi("lock", "--check", cwd=folder)
    assert (folder / "pixi.lock").read_bytes() == before


def test_torch_ttnn_in_a_fresh_workspace(libstdcxx: str, pixi: Pixi, tmp_path: Path) -> None:
    """The README's lines. Without the third, pixi takes linux-64 to have glibc 2.28, and finds nothing."""
    pixi("init", "mine", "--channel", libstdcxx, "--channel", "conda-forge", cwd=tmp_path)
    folder = tmp_path / "mine"
    failed = pixi("add", "torch-ttnn", cwd=folder, check=False)
    assert failed.returncode and "__glibc" in failed.stderr
    pixi("workspace", "platform", "edit", "linux-64", "--glibc", "2.35", cwd=folder)
    pixi("add", "torch-ttnn", cwd=folder)
    done = pixi("run", "python", "-c", EXTENSION, cwd=folder)
    assert done.stdout.splitlines()[-1].endswith("True"), done.stdout
    pixi("workspace", "channel", "add", "--no-install", channel_url(metalium.make_channel(tmp_path)), cwd=folder)
    failed = pixi("add", "tt-metalium", cwd=folder, check=False)
    assert failed.returncode and "<0a0" in failed.stderr, failed.stderr


# --- recipes as packages ---


@pytest.mark.parametrize("way", ["path", "git"])
def test_ttnn_from_its_recipe(checkout: Path, pixi: Pixi, tmp_path: Path, way: str) -> None:
    """Carved by the backend, from a neighbouring folder or from git, into a workspace of one's own."""
    backend = tools.require("pixi-build-rattler-build")
    more = {"PIXI_BUILD_BACKEND_OVERRIDE": f"pixi-build-rattler-build={backend}"}
    (tmp_path / "pixi.toml").write_text(
        '[workspace]\nname = "mine"\nchannels = ["conda-forge"]\npreview = ["pixi-build"]\n'
        'platforms = [{ platform = "linux-64", glibc = "2.35" }]\n[dependencies]\npython = "3.12.*"\n'
    )
    if way == "path":
        with (tmp_path / "pixi.toml").open("a") as file:
            file.write(f'ttnn = {{ path = "{os.path.relpath(checkout / "recipes/ttnn", tmp_path)}" }}\n')
    else:
        pixi("add", "ttnn", "--git", checkout.as_uri(), "--subdirectory", "recipes/ttnn", cwd=tmp_path, **more)
    done = pixi("run", "python", "-c", "import ttnn; print(ttnn.__file__)", cwd=tmp_path, **more)
    assert done.stdout.splitlines()[-1].startswith(str(tmp_path))
    before = (tmp_path / "pixi.lock").read_bytes()
    pixi("lock", cwd=tmp_path, **more)
    assert (tmp_path / "pixi.lock").read_bytes() == before
    done = pixi("lock", "--check", cwd=tmp_path, check=False, **more)
    # pixi holds a package from git for another one each time where its host has one of a neighbouring folder
    assert (done.returncode == 0) is (way == "path"), done.stderr
