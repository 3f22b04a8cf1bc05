"""The environment sim: which simulator it gets, and what its shell sets."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from simulators import BLACKHOLE, WORMHOLE, Fake
from tt_conda.base import settings
from tt_conda.base.errors import TtCondaError
from tt_conda.simulator import package
from tt_conda.simulator.examine import examine
from tt_conda.workspace import make, manifest
from tt_conda.workspace.simulator import choose

RUN = [sys.executable, "-m", "tt_conda.cli"]
SIM = settings.project_dir() / "workspaces" / "sim"


@pytest.fixture
def sim(tmp_path: Path, channel: Path) -> manifest.Environment:
    """The project's own, of what the tiny channel has."""
    folder = tmp_path / "workspaces" / "sim"
    shutil.copytree(SIM, folder, ignore=shutil.ignore_patterns(".*", "*.lock"))
    text = (folder / "pixi.toml").read_text()
    for absent in ("numpy", "python"):
        text = "".join(line for line in text.splitlines(True) if not line.startswith(f"{absent} ="))
    (folder / "pixi.toml").write_text(text)
    return manifest.read(folder / "pixi.toml").environment(manifest.DEFAULT)


def test_without_a_simulator_the_way_to_one_is_said(sim: manifest.Environment, channel: Path) -> None:
    with pytest.raises(TtCondaError, match="No simulator was added") as error:
        choose(sim, None, [channel])
    assert "tt-conda simulator add libttsim_wh.so" in error.value.way_out


def test_a_chip_that_was_not_added(sim: manifest.Environment, channel: Path, fake: Fake) -> None:
    package.add(examine(fake("libttsim.so", WORMHOLE)), channel)
    with pytest.raises(TtCondaError, match="No simulator of bh was added; there is one of wh") as error:
        choose(sim, "bh", [channel])
    assert "tt-conda simulator add libttsim_bh.so" in error.value.way_out


def test_chips_have_environments_of_their_own(sim: manifest.Environment, channel: Path, fake: Fake) -> None:
    package.add(examine(fake("wh.so", WORMHOLE)), channel)
    package.add(examine(fake("bh.so", BLACKHOLE)), channel)
    plain, chosen = choose(sim, None, [channel]), choose(sim, "bh", [channel])
    assert plain == sim and chosen.prefix != sim.prefix
    for environment, descriptor in ((plain, "wormhole_b0_80_arch"), (chosen, "blackhole_140_arch")):
        make.make(environment, environment.prefix, [channel])
        assert (environment.prefix / package.DESCRIPTOR).read_text() == f"# {descriptor}.yaml\n"


def test_only_an_environment_with_a_simulator_has_a_chip(tmp_path: Path, channel: Path) -> None:
    file = tmp_path / "pixi.toml"
    file.write_text('[workspace]\nchannels = []\nplatforms = ["linux-64"]\n[dependencies]\nttnn = "*"\n')
    environment = manifest.read(file).environment(manifest.DEFAULT)
    assert choose(environment, None, [channel]) is environment
    with pytest.raises(TtCondaError, match="has no ttsim"):
        choose(environment, "wh", [channel])


def test_its_shell_names_the_simulator_unless_the_person_does(
    sim: manifest.Environment, channel: Path, fake: Fake
) -> None:
    package.add(examine(fake("wh.so", WORMHOLE)), channel)
    make.make(sim, sim.prefix, [channel])
    library = str(sim.prefix / package.LIBRARY)
    assert _variables(sim.prefix) == {"TT_METAL_SIMULATOR": library, "TT_METAL_SLOW_DISPATCH_MODE": "1"}
    assert _variables(sim.prefix, TT_METAL_SIMULATOR="/my/own.so")["TT_METAL_SIMULATOR"] == "/my/own.so"
    assert _variables(sim.prefix, TT_METAL_SLOW_DISPATCH_MODE="0")["TT_METAL_SLOW_DISPATCH_MODE"] == "0"


def test_what_the_shell_has_set_does_not_stay(
    sim: manifest.Environment, channel: Path, fake: Fake, tmp_path: Path
) -> None:
    package.add(examine(fake("wh.so", WORMHOLE)), channel)
    make.make(sim, sim.prefix, [channel])
    other = tmp_path / "other"
    (other / "conda-meta").mkdir(parents=True)
    nested = [*RUN, "run", "--prefix", str(other), "env"]
    assert _variables(sim.prefix, command=nested) == {}
    mine = {"TT_METAL_SIMULATOR": "/my/own.so", "TT_METAL_SLOW_DISPATCH_MODE": "1"}
    assert _variables(sim.prefix, command=nested, **mine) == mine


def _variables(prefix: Path, command: list[str] | None = None, **given: str) -> dict[str, str]:
    """What upstream reads, in an activated environment."""
    env = {name: value for name, value in settings.own_environ().items() if not name.startswith(("TT_METAL", "_TT_"))}
    done = subprocess.run(
        [*RUN, "run", "--prefix", str(prefix), *(command or ["env"])],
        env={**env, **given}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = (line.partition("=") for line in done.stdout.splitlines())
    return {name: value for name, _, value in lines if name in ("TT_METAL_SIMULATOR", "TT_METAL_SLOW_DISPATCH_MODE")}
