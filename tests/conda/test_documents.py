"""The commands of the documents for conda and the tools around it, as they stand there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from real_conda import Conda, with_each
from script import loaded
from tt_conda.base import settings
from tt_conda.base.location import channel_url

PROJECT = Path(__file__).parents[2]
_BLOCK = re.compile(r"<!-- runs with ([\w-]+) -->\n```sh\n(.*?)```", re.S)


def blocks(document: str) -> list[tuple[str, str]]:
    """The blocks that run with a tool of conda's: the tool, and the commands."""
    return _BLOCK.findall((PROJECT / "docs" / document).read_text())


INSTALLING, BUILDING = blocks("installing.md"), blocks("building.md")


def test_the_tools_of_the_documents() -> None:
    assert [tool for tool, _ in INSTALLING] == ["conda", "conda", "mamba", "conda-lock", "conda-pack"]
    assert [tool for tool, _ in BUILDING] == ["conda-build"]


def run(conda: Conda, text: str, folder: Path, **environ: str) -> str:
    """Run commands with the channels that stand here for CHANNEL, PYTORCH and conda-forge; what they printed."""
    suite, *beside = conda.channels
    extra = [channel_url(channel) for channel in settings.extra_channels()]
    stand_ins = {"CHANNEL": [suite], "PYTORCH": [*extra, suite], "conda-forge": beside}
    for name, urls in stand_ins.items():
        text = re.sub(rf"(?<=-c ){name}\b", " -c ".join(urls), text)
        text = re.sub(rf"(?<=[\[ ]){name}(?=[],])", ", ".join(urls), text)
    assert "CHANNEL" not in text and "conda-forge" not in text
    text = re.sub(r"^(conda|mamba) ", f"{conda.program.name} ", text, flags=re.M)  # most are mamba's, too
    done = conda.call("bash", "-ec", text, cwd=folder, **environ)
    return done.stdout + done.stderr


@with_each
def test_readme(conda: Conda, pytorch: None, tmp_path: Path) -> None:
    """Its lines for conda or mamba, as they stand; conda-forge's name stands for the channels that are here."""
    lines = loaded(PROJECT / "ci/readme.py").blocks((PROJECT / "README.md").read_text())["conda or mamba"]
    beside = [*(channel_url(channel) for channel in settings.extra_channels()), *conda.channels[1:]]
    (tmp_path / "condarc").write_text(json.dumps({"custom_multichannels": {"conda-forge": beside}}))
    name = conda.program.name
    hook = f"{name} {'shell.bash hook' if name == 'conda' else 'shell hook --shell bash'}"
    lines = re.sub("^conda ", f"{name} ", lines, flags=re.M)
    done = conda.call(
        "bash", "-ec", f'eval "$({hook})"\n{lines}', cwd=tmp_path, CONDARC=str(tmp_path / "condarc"),
        CONDA_ENVS_DIRS=str(tmp_path / "envs"), CHANNEL=conda.channels[0],
    )  # fmt: skip
    assert f"'ttnn_device_extension' from '{tmp_path}/envs/tt/" in done.stdout


@pytest.fixture(scope="module")
def folder(conda: Conda, pytorch: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where installing.md's first commands were run."""
    folder = tmp_path_factory.mktemp("installing")
    run(conda, INSTALLING[0][1], folder)
    return folder


@with_each
def test_installing(conda: Conda, folder: Path) -> None:
    for name in ("tt", "tt-pytorch"):
        code = "from torch_ttnn.cpp_extension import ttnn_module; print(ttnn_module)"
        said = conda("run", "-n", name, "python", "-c", code)
        assert "ttnn_device_extension" in said.stdout


@with_each
def test_an_explicit_list(conda: Conda, folder: Path) -> None:
    run(conda, INSTALLING[1 if conda.program.name == "conda" else 2][1], folder)
    names = [{path.name for path in conda.folder.glob(f"envs/{env}/conda-meta/*.json")} for env in ("tt", "tt-again")]
    assert names[0] and names[0] == names[1]


@with_each
def test_conda_lock(conda: Conda, tmp_path: Path) -> None:
    lock = conda.tool("conda-lock")
    run(conda, INSTALLING[3][1].replace("conda-lock lock", f"{lock} lock"), tmp_path)
    assert re.search(r"name: ttnn\n", (tmp_path / "conda-lock.yml").read_text())
    if conda.program.name != "conda":  # which does not read it
        conda("create", "-p", tmp_path / "env", "--file", tmp_path / "conda-lock.yml")
        assert list(tmp_path.glob("env/conda-meta/ttnn-*.json"))


def test_conda_pack(conda: Conda, folder: Path) -> None:
    pack = conda.tool("conda-pack")
    run(conda, INSTALLING[4][1].replace("conda-pack -n", f"{pack} -n"), folder)
    said = conda.call(folder / "moved/bin/python", "-c", "import ttnn; print(ttnn.__file__)").stdout
    assert str(folder / "moved") in said


def test_conda_build(conda: Conda, pytorch: None, tmp_path: Path) -> None:
    """All recipes that conda-build can build, their tests included; it calls the engine that `tt-conda build` calls."""
    conda.tool("conda-build")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (PROJECT / name).is_symlink() or (PROJECT / name).is_file():
            (tmp_path / "project" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, tmp_path / "project" / name, follow_symlinks=False)
    text = BUILDING[0][1]
    if extra := [channel_url(channel) for channel in settings.extra_channels()]:
        text = text.replace("-c conda-forge", " ".join(["-c conda-forge", *(f"-c {url}" for url in extra)]))
    run(conda, text, tmp_path / "project", TT_CONDA_CACHE=str(settings.cache_dir()))
    built = {path.stem for path in tmp_path.glob("project/built/*/*.conda")}
    ours = {path.stem for path in (PROJECT / "output").glob("*/*.conda")}
    assert built and {name for name in ours if "_wheel_" in name or "-wheel_" in name} <= built
