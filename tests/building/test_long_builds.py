"""Packages that take long: built when they are asked for, kept, shown while they are made."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from tt_conda.base import progress, settings
from tt_conda.base.errors import TtCondaError
from tt_conda.building.build import Built, build
from tt_conda.building.cache import BuildCache
from tt_conda.building.memory import PeakMemory
from tt_conda.building.variants import narrow
from tt_conda.channel import index
from tt_conda.report.build import show

Recipe = Callable[..., Path]
Build = Callable[..., Built]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "recipes").mkdir(parents=True)
    (folder / "variants.yaml").write_text('stdlib: ["a", "b"]\nfrom: ["there"]\n')
    index.publish([], tmp_path / "others")
    return folder


@pytest.fixture
def recipe(project: Path) -> Recipe:
    def write(name: str, *, on_request: bool = False, run: Sequence[str] = (), script: Sequence[str] = ()) -> Path:
        folder = project / "recipes" / name
        folder.mkdir(exist_ok=True)
        (folder / "recipe.yaml").write_text(json.dumps({
            "package": {"name": name, "version": "1.0"},
            "build": {"number": 0, "noarch": "generic", "string": "0",
                      "script": [f"mkdir -p $PREFIX/share; touch $PREFIX/share/{name}", *script]},
            "requirements": {"run": list(run)},
            **({"extra": {"on_request": True}} if on_request else {}),
        }))  # fmt: skip
        return folder

    return write


@pytest.fixture
def run(project: Path, tmp_path: Path) -> Build:
    def call(*packages: str, **more: object) -> Built:
        return build(packages, channels=lambda: [tmp_path / "others"], project=project, **more)  # type: ignore[arg-type]

    return call


def test_what_takes_long_is_built_when_it_is_asked_for(recipe: Recipe, run: Build) -> None:
    recipe("long", on_request=True, run=["longer"])
    recipe("longer", on_request=True)
    recipe("short", run=["long"])
    for packages in ((), ("short",)):
        result = run(*packages)
        assert set(result.not_built) == {"long-1.0-0", "longer-1.0-0"}
        assert set(result.built + result.current) == {"short-1.0-0"}
    result = run("long")
    assert result.built == ["longer-1.0-0", "long-1.0-0"] and result.not_built == []
    assert run().not_built == []


def test_the_command_that_builds_it_is_named(
    recipe: Recipe, run: Build, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    recipe("long", on_request=True, run=["longer"])
    recipe("longer", on_request=True)
    show(result := run())
    assert result.requests == ["tt-conda build long"]
    assert "not built longer-1.0-0, long-1.0-0" in (said := capsys.readouterr().err) and "tt-conda build long\n" in said


def test_one_that_is_there_stays_when_its_recipe_changes(recipe: Recipe, run: Build, project: Path) -> None:
    recipe("long", on_request=True)
    run("long")
    recipe("long", on_request=True, script=["echo changed"])
    result = run()
    assert result.older == ["long-1.0-0"] and result.built == []
    assert (project / "output/noarch/long-1.0-0.conda").is_file()
    assert run("long").built == ["long-1.0-0"]


@pytest.mark.parametrize("place", ["the cache", "a further channel"])
def test_it_is_taken_from_elsewhere(
    recipe: Recipe, run: Build, project: Path, tmp_path: Path, own_cache: Path, place: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    recipe("long", on_request=True)
    run("long")
    package = project / "output/noarch/long-1.0-0.conda"
    if place == "a further channel":
        index.publish([package], tmp_path / "further", keep=True)
        monkeypatch.setenv("TT_CONDA_EXTRA_CHANNEL", str(tmp_path / "further"))
        monkeypatch.setenv("TT_CONDA_CACHE", str(tmp_path / "another cache"))
    index.remove([package], project / "output")
    recipe("long", on_request=True, script=["echo changed"])
    result = run()
    assert result.older == ["long-1.0-0"] and result.not_built == [] and package.is_file()


def test_packages_that_took_long_outlive_the_others(tmp_path: Path, make: Callable[..., Path]) -> None:
    kept = BuildCache(tmp_path / "kept")
    package = make("long")
    kept.put("dear", package, [], seconds=150, peak=7)  # PyTorch from the compiler's cache
    for number in range(70):
        kept.put(f"cheap{number}", package, [], seconds=1)
    found = kept.get("dear")
    assert found and (found.seconds, found.peak) == (150, 7)
    assert kept.get("cheap0") is None and kept.get("cheap69")
    assert (latest := kept.latest("long-1.0-0")) and latest.package.name == "long-1.0-0.conda"
    assert kept.latest("other-1.0-0") is None


def test_the_memory_of_all_processes_of_a_build_counts(tmp_path: Path) -> None:
    hog = "b = bytearray(80_000_000); print(flush=True); input()"
    code = (
        f"import subprocess, sys\nfor _ in range(2): subprocess.Popen([sys.executable, '-c', {hog!r}])\nwhile True: 0"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            assert process.stdout and process.stdout.readline() and process.stdout.readline()
            with PeakMemory(process.pid) as memory:
                pass
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    assert 160_000_000 < memory.peak < 1_000_000_000


def test_ninjas_steps_are_shown(recipe: Recipe, run: Build, capsys: pytest.CaptureFixture[str]) -> None:
    recipe("long", script=['echo "[1/2] check"; for n in $(seq 40); do echo "[$n/40] Building CXX object a.o"; done'])
    run()
    said = capsys.readouterr().err
    assert "long-1.0-0: 20 of 40 steps" in said and "left" in said and "long-1.0-0: 40 of 40 steps" in said
    assert "of 2 steps" not in said
    assert "GB of memory" in said


def test_the_estimate_follows_what_is_slow_now(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    """What a cache has passes fast; what then is compiled takes its time."""
    clock = [0.0]
    monkeypatch.setattr(progress, "Progress", partial(progress.Progress, get_time=lambda: clock[0]))
    with progress.stage("Building", total=1) as bar:
        for done in range(1, 1001):
            clock[0] += 0.1 if done <= 500 else 30.0
            bar.part("long", done, 2000)
    assert "long: 1000 of 2000 steps, 251 min, about 500 min left" in capsys.readouterr().err


def test_a_bar_of_its_own_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "console", progress.Console(force_terminal=True, file=sys.stderr))
    with progress.stage("Building", total=1) as bar:
        bar.part("long", 1, 4)
        bar.part("long", 4, 4)


def test_channels_may_have_other_values_of_an_axis(project: Path) -> None:
    config = narrow(project / "variants.yaml", {"stdlib": ["b"]}, {"from": ["here"], "unknown": ["x"]})
    assert config.to_dict() == {"stdlib": ["b"], "from": ["here"]}


@pytest.mark.parametrize("launcher", [None, "", "sccache"])
def test_compilers_are_started_through_a_cache(
    launcher: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """ccache is the build environment's, another program the machine's."""
    for name in ("ccache", "sccache"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    if launcher is not None:
        monkeypatch.setenv("TT_CONDA_COMPILER_LAUNCHER", launcher)
    variables = settings.worker_environ()
    expected = {None: "ccache", "": "", "sccache": str(tmp_path / "sccache")}[launcher]
    assert variables["CMAKE_CXX_COMPILER_LAUNCHER"] == variables["CMAKE_C_COMPILER_LAUNCHER"] == expected
    assert variables["CCACHE_DIR"] == str(settings.cache_dir() / "ccache")
    assert int(variables["CPU_COUNT"]) >= 1


@pytest.mark.parametrize(("variable", "value"), [
    ("TT_CONDA_COMPILE_JOBS", "many"), ("TT_CONDA_COMPILE_JOBS", "0"), ("TT_CONDA_COMPILE_JOBS", "-1"),
    ("TT_CONDA_COMPILER_LAUNCHER", "no-such-launcher"), ("CCACHE_PREFIX", "/nowhere/distcc"),
])  # fmt: skip
def test_wrong_settings_are_said_before_anything_is_built(
    recipe: Recipe, run: Build, project: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:  # fmt: skip
    recipe("long")
    monkeypatch.setenv(variable, value)
    with pytest.raises(TtCondaError, match=f"{variable}.*{value}"):
        run()
    assert not list((project / "output/.logs").iterdir())


def test_long_ones_are_built_one_by_one(recipe: Recipe, run: Build, project: Path) -> None:
    """Each has compilers for all CPUs, and as much memory as there is."""
    there = project / "at-work"
    for name in ("long", "longer", "longest"):
        recipe(name, on_request=True, script=[f"mkdir {there}", "sleep 1", f"rmdir {there}"])
    assert len(run("long", "longer", "longest", jobs=3).built) == 3


def test_the_command_says_every_axis_that_has_several_values(recipe: Recipe, run: Build) -> None:
    """Also one that was narrowed in this build: without it the command would build more."""
    folder = recipe("long", on_request=True)
    text = json.loads((folder / "recipe.yaml").read_text())
    text["build"]["string"] = "${{ stdlib }}"
    (folder / "recipe.yaml").write_text(json.dumps(text))
    assert run(axes={"stdlib": ["b"]}).requests == ["tt-conda build long --variant stdlib=b"]


def test_scripts_are_told_how_many_compilers_may_run(
    recipe: Recipe, run: Build, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setenv("TT_CONDA_COMPILE_JOBS", "7")
    recipe("long", script=["echo jobs: $CPU_COUNT"])
    run()
    assert "jobs: 7" in (project / "output/.logs/long-1.0-0.log").read_text()
