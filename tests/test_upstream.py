"""The nightly look at upstream's versions, with recorded answers of the index, and with the index itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from script import loaded
from tt_conda.channel.variants import narrow, render
from tt_conda.errors import TtCondaError
from tt_conda.inputs.lock import Lock, load

PROJECT = Path(__file__).parents[1]

RECORDED = {
    "ttnn": ["0.82.0", "0.82.0rc3", "0.81.1", "0.80.0", "0.65.0"],
    "ttnn-shutov": ["0.65.0.dev20251205", "0.62.0.dev20250916"],
    "torch-ttnn-shutov": ["0.2.0", "0.1.0"],
}
"""What ``pip index versions --pre --json`` says, with a version of ttnn that does not exist yet."""


@pytest.fixture(scope="module")
def upstream() -> ModuleType:
    return loaded(PROJECT / "ci/upstream.py")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copytree(PROJECT / "recipes", folder / "recipes", symlinks=True)
    for path in (*PROJECT.glob("variants*.yaml"), PROJECT / "ci/proof.toml"):
        (folder / path.relative_to(PROJECT)).parent.mkdir(exist_ok=True)
        shutil.copy(path, folder / path.relative_to(PROJECT))
    return folder


def ask(name: str, python: str) -> list[str]:
    return RECORDED[name]


def pin_again(lock: Path) -> Lock:
    """As ``tt-conda lock-inputs`` for a version that does not exist: the pins of the one before it, renamed."""
    text = lock.read_text()
    head, *pins = text.split("[[wheel]]")
    lock.write_text("[[wheel]]".join([head, *(pin.replace("0.81.1", "0.82.0") for pin in pins)]))
    return load(lock)


def test_what_is_newer(upstream: ModuleType, project: Path) -> None:
    """The newest that is no pre-release, once, though two recipes pin it; an older line of versions stays."""
    (newer,) = upstream.check(project, ask)
    assert (newer.name, newer.pinned, newer.newest, newer.python) == ("ttnn", "0.81.1", "0.82.0", ("3.10", "3.12"))
    assert newer.beside == {"sfpi_version": "7.89.0"} and not newer.with_wheel
    assert newer.lock == project / "recipes/ttnn/wheels.lock"


def test_a_version_without_wheels_for_every_python_is_not_offered(upstream: ModuleType, project: Path) -> None:
    assert upstream.check(project, lambda name, python: RECORDED[name][1 if python == "3.12" else 0 :]) == []


def test_pins_are_rewritten_everywhere(upstream: ModuleType, project: Path) -> None:
    (newer,) = upstream.check(project, ask)
    upstream.write(newer, project, pin_again)
    for name in ("ttnn", "tt-metal"):
        assert {pin.version for pin in load(project / f"recipes/{name}/wheels.lock").wheel} == {
            "0.82.0", "0.65.0.dev20251205"
        }  # fmt: skip
    for path in ("variants.yaml", "ci/proof.toml"):
        assert "0.82.0" in (project / path).read_text() and "0.81.1" not in (project / path).read_text(), path
    outputs = render(sorted(project.glob("recipes/*/recipe.yaml")), narrow(project / "variants.yaml", {}))
    assert {o.version for o in outputs if o.name == "tt-metal"} == {"0.82.0", "0.65.0.dev20251205"}
    assert upstream.check(project, ask) == []


def test_nothing_changes_where_the_wheels_cannot_be_fetched(upstream: ModuleType, project: Path) -> None:
    def fails(lock: Path) -> Lock:
        raise TtCondaError("no network")

    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    with pytest.raises(TtCondaError):
        upstream.write(upstream.check(project, ask)[0], project, fails)
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


def test_what_belongs_to_another_version_is_only_reported(
    upstream: ModuleType, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newer = {**RECORDED, "ttnn": ["0.81.1"], "torch-ttnn-shutov": ["0.3.0", "0.2.0"]}
    before = (project / "variants.yaml").read_text()
    assert upstream.main(["--write"], project, lambda name, python: newer[name]) == 0
    said = capsys.readouterr().out
    assert "## torch-ttnn-shutov 0.3.0" in said and "nothing was rewritten" in said
    assert (project / "variants.yaml").read_text() == before


def test_an_index_that_cannot_be_asked(upstream: ModuleType, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(name: str, python: str) -> list[str]:
        raise TtCondaError("pip could not fetch the versions", "Check the network.")

    assert upstream.main([], project, fails) == 2
    assert "Check the network" in capsys.readouterr().err


@pytest.mark.parametrize("said", ["", "hello", "} {", '{"name": "ttnn"}', "{1}"])
def test_a_pip_that_does_not_say_it(
    upstream: ModuleType, project: Path, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(upstream, "run_pip", lambda command, what, folder: said)
    assert upstream.main([], project) == 2
    assert "pip does not say the versions of" in capsys.readouterr().err


def test_the_index_itself(upstream: ModuleType, project: Path, tmp_path: Path) -> None:
    """It has what is pinned."""
    assert "0.81.1" in upstream.ask_pip("ttnn", "3.12") and "0.2.0" in upstream.ask_pip("torch-ttnn-shutov", "3.10")
    assert upstream.main(["--summary", str(tmp_path / "summary.md")], project) == 0
    assert (tmp_path / "summary.md").read_text().startswith(("Every pinned wheel is the newest", "## "))


# --- the pull request ---


def test_a_pull_request_is_opened_and_then_renewed(project: Path, tmp_path: Path) -> None:
    """git is the real one, with a bare repository as GitHub's; gh is a script that writes down what it is asked."""
    shutil.copy(PROJECT / "ci/open-bump", project / "ci/open-bump")
    origin, summary, said = tmp_path / "origin.git", tmp_path / "summary.md", tmp_path / "said"
    summary.write_text("## ttnn 0.82.0\n")
    gh = tmp_path / "bin/gh"
    gh.parent.mkdir()
    gh.write_text(
        f'#!/bin/sh\necho "$@" >> {said}\n[ "$1 $2" != "pr list" ] || cat {tmp_path}/open 2>/dev/null || true\n'
    )
    gh.chmod(0o755)
    environ = {"PATH": f"{gh.parent}:/usr/bin:/bin", "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}

    def run(*command: str | Path) -> str:
        done = subprocess.run(command, cwd=project, env=environ, text=True, capture_output=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("git", "init", "-q", "--bare", origin)
    run("git", "init", "-q", "-b", "main")
    run("git", "add", "-A")
    run("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first")
    run("git", "remote", "add", "origin", origin)
    assert "Nothing is newer" in run("ci/open-bump", summary)
    assert not said.exists()
    variants = project / "variants.yaml"
    variants.write_text(variants.read_text().replace("0.81.1", "0.82.0"))
    lock = project / "recipes/ttnn/wheels.lock"
    lock.write_text(lock.read_text().replace('version = "0.81.1"', 'version = "0.82.0"'))
    run("ci/open-bump", summary)
    assert said.read_text().splitlines()[-1] == (
        f"pr create --head upstream-bump --title Upstream: 0.82.0 --body-file {summary}"
    )
    assert "0.82.0" in run("git", "--git-dir", origin, "show", "upstream-bump:variants.yaml")
    (tmp_path / "open").write_text("7\n")
    pushed = []
    for day, version in enumerate(("0.83.0", "0.83.0", "0.84.0")):
        environ["GIT_COMMITTER_DATE"] = f"2030-01-0{day + 1}T00:00:00Z"
        run("git", "checkout", "-q", "main")
        variants.write_text(variants.read_text().replace("0.81.1", version))
        run("ci/open-bump", summary)
        assert said.read_text().splitlines()[-1].startswith("pr edit upstream-bump ")
        pushed.append(run("git", "--git-dir", origin, "rev-parse", "upstream-bump"))
    assert pushed[0] == pushed[1] != pushed[2], "what is there already is not pushed again"


def test_a_pull_request_needs_a_text() -> None:
    done = subprocess.run([PROJECT / "ci/open-bump"], text=True, capture_output=True)
    assert done.returncode != 0 and "ci/open-bump SUMMARY.md" in done.stderr
