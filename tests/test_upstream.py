"""The nightly move of the pins, with recorded answers of the index, and with the index itself."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from script import loaded
from tt_conda.base.errors import TtCondaError
from tt_conda.building.variants import narrow, render
from tt_conda.inputs.lock import Lock, load

PROJECT = Path(__file__).parents[1]

RECORDED = {
    "ttnn": ["0.82.0", "0.82.0rc3", "0.81.1", "0.80.0", "0.65.0"],
    "ttnn-shutov": ["0.65.0.dev20251205", "0.62.0.dev20250916"],
    "torch-ttnn-shutov": ["0.2.0", "0.1.0"],
}
"""What ``pip index versions --pre --json`` says, with a version of ttnn that does not exist yet."""


REQUIREMENTS = f"""# made by uv
numpy==2.2.6 ; python_full_version < '3.11' \\
    --hash=sha256:{"a" * 64} \\
    --hash=sha256:{"b" * 64}
    # via moto
numpy==2.5.1 ; python_full_version >= '3.11' \\
    --hash=sha256:{"c" * 64}
rich==15.0.0 \\
    --hash=sha256:{"d" * 64} \\
    --hash=sha256:{"e" * 64}
    # via
    #   tt-conda (pyproject.toml)
    #   typer
"""
"""A file as ``ci/requirements.txt``: two versions of a package, several hashes, comments."""


@pytest.fixture(scope="module")
def upstream() -> ModuleType:
    return loaded(PROJECT / "ci/upstream.py")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copytree(PROJECT / "recipes", folder / "recipes", symlinks=True)
    others = ("ci/proof.toml", "src/tt_conda/embedded/inputs.lock", "tests/wheels.lock")
    for path in (*PROJECT.glob("variants*.yaml"), *(PROJECT / name for name in others)):
        (folder / path.relative_to(PROJECT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / path.relative_to(PROJECT))
    (folder / "ci/requirements.txt").write_text(REQUIREMENTS)
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
    assert upstream.main(["--write"], project, lambda name, python: newer[name], lambda project: []) == 0
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
    assert (tmp_path / "summary.md").read_text().startswith(("Every wheel that the recipes pin is the newest", "## "))


# --- all other pins ---


def test_every_lock_file_of_the_project_is_moved(upstream: ModuleType, project: Path) -> None:
    """And the tool's own environment: nothing that pins is forgotten."""
    done = subprocess.run(["git", "ls-files", "*.lock"], cwd=PROJECT, text=True, capture_output=True, check=True)
    files = {(PROJECT / line).resolve() for line in done.stdout.splitlines()}
    locks = {str(file.relative_to(PROJECT)) for file in files if "[[want]]" in file.read_text()}
    asked: list[Path] = []
    moved = upstream.move(project, asked.append, asked.append)
    assert {file.file for file in moved} == {*locks, "ci/requirements.txt"}
    assert len(asked) == len(moved) and not any(file.changes or file.failed for file in moved)


def newer_debian(lock: Path) -> None:
    text = lock.read_text()
    if "libmd0" in text:
        lock.write_text(text.replace('"1.0.4-2"', '"1.0.4-3"').replace('"pytz"', '"pytz2"'))


def newer_tool(file: Path) -> None:
    file.write_text(file.read_text().replace("\nrich==", "\nrich==99."))


def test_what_moved_stands_in_the_summary(
    upstream: ModuleType, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def move(project: Path) -> object:
        return upstream.move(project, newer_debian, newer_tool)

    assert upstream.main(["--write"], project, lambda name, python: [], move) == 0
    said = capsys.readouterr().out
    assert "## `src/tt_conda/embedded/inputs.lock`" in said and "- libmd0 (bookworm) 1.0.4-2 → 1.0.4-3" in said
    assert "- pytz gone" in said and "- pytz2 new: " in said
    assert "## `ci/requirements.txt`" in said and "- rich " in said and "→ 99." in said
    assert "tests/wheels.lock" not in said


def test_pins_that_cannot_be_moved_are_named_and_stay(
    upstream: ModuleType, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One place that does not answer keeps none of the others from being moved."""

    def fails(lock: Path) -> None:
        newer_debian(lock)
        if lock.name == "inputs.lock":
            raise TtCondaError("apt's sources name no mirror", "Add one.")

    before = (project / "src/tt_conda/embedded/inputs.lock").read_bytes()
    assert upstream.main(
        ["--write"], project, lambda name, python: [], lambda project: upstream.move(project, fails, newer_tool)
    ) == 1  # fmt: skip
    said = capsys.readouterr().out
    assert "## `src/tt_conda/embedded/inputs.lock` was not moved" in said and "    apt's sources name no mirror" in said
    assert "- rich " in said
    assert (project / "src/tt_conda/embedded/inputs.lock").read_bytes() == before


def test_another_file_of_the_same_version_is_told(upstream: ModuleType, project: Path) -> None:
    lock = project / "tests/wheels.lock"
    old = upstream.pins(lock)
    lock.write_text(lock.read_text().replace(next(iter(old.values()))[1], "ab" * 32))
    (line,) = upstream.differences(old, upstream.pins(lock))
    assert line.endswith("another file of the same version")


def test_all_that_requirements_pin_is_read(upstream: ModuleType, project: Path) -> None:
    pins = upstream.pins(project / "ci/requirements.txt")
    assert {name: (version, hashes.count("--hash=sha256:")) for name, (version, hashes) in pins.items()} == {
        "numpy ; python_full_version < '3.11'": ("2.2.6", 2),
        "numpy ; python_full_version >= '3.11'": ("2.5.1", 1),
        "rich": ("15.0.0", 2),
    }


def test_a_pinner_that_fails_says_why(upstream: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "requirements.py").write_text("import sys; sys.exit('no solution: rich 99')")
    with pytest.raises(TtCondaError, match="no solution: rich 99"):
        upstream.renew_requirements(tmp_path / "requirements.txt")


# --- the pull request ---


Command = Callable[..., str]


class Forge:
    """A checkout, a bare repository as GitHub's, and a script in gh's place that writes down what it is asked."""

    def __init__(self, project: Path, folder: Path) -> None:
        self.project, self.origin, self.asked = project, folder / "origin.git", folder / "asked"
        self.summary, self.body, self.open = folder / "summary.md", folder / "body", folder / "open"
        shutil.copy(PROJECT / "ci/open-bump", project / "ci/open-bump")
        self.summary.write_text("## ttnn 0.82.0\n")
        gh = folder / "bin/gh"
        gh.parent.mkdir()
        gh.write_text(
            f'#!/bin/sh\necho "$@" >> {self.asked}\nfor last; do :; done\n'
            f'case "$1 $2" in "pr list") cat {self.open} 2>/dev/null || true ;; pr*) cp "$last" {self.body} ;; esac\n'
        )
        gh.chmod(0o755)
        self.environ = {"PATH": f"{gh.parent}:/usr/bin:/bin", "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1",
                        "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "a/b",
                        "GITHUB_RUN_ID": "7"}  # fmt: skip
        self.run("git", "init", "-q", "--bare", self.origin)
        self.run("git", "init", "-q", "-b", "main")
        self.run("git", "add", "-A")
        self.run("git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "first")
        self.run("git", "remote", "add", "origin", self.origin)

    def run(self, *command: str | Path) -> str:
        done = subprocess.run(command, cwd=self.project, env=self.environ, text=True, capture_output=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def bump(self, verdict: str) -> str:
        return self.run("ci/open-bump", self.summary, verdict)

    def write(self, name: str, old: str, new: str) -> None:
        file = self.project / name
        file.write_text(file.read_text().replace(old, new))

    def head(self) -> str:
        return self.run("git", "--git-dir", self.origin, "rev-parse", "upstream-bump").strip()


@pytest.fixture
def forge(project: Path, tmp_path: Path) -> Forge:
    return Forge(project, tmp_path)


def test_a_pull_request_is_opened_and_then_renewed(forge: Forge) -> None:
    assert "Nothing is newer" in forge.bump("success")
    assert not forge.asked.exists()
    forge.write("variants.yaml", "0.81.1", "0.82.0")
    forge.write("recipes/ttnn/wheels.lock", 'version = "0.81.1"', 'version = "0.82.0"')
    forge.bump("success")
    asked = forge.asked.read_text().splitlines()[-1]
    assert asked.startswith("pr create --head upstream-bump --title Upstream: 0.82.0 --body-file ")
    assert "0.82.0" in forge.run("git", "--git-dir", forge.origin, "show", "upstream-bump:variants.yaml")
    forge.open.write_text("7\n")
    pushed = []
    for day, version in enumerate(("0.83.0", "0.83.0", "0.84.0")):
        forge.environ["GIT_COMMITTER_DATE"] = f"2030-01-0{day + 1}T00:00:00Z"
        forge.run("git", "checkout", "-q", "main")
        forge.write("variants.yaml", "0.81.1", version)
        forge.bump("success")
        assert forge.asked.read_text().splitlines()[-1].startswith("pr edit upstream-bump ")
        pushed.append(forge.head())
    assert pushed[0] == pushed[1] != pushed[2], "what is there already is not pushed again"


def test_pins_of_any_file_are_in_it(forge: Forge) -> None:
    forge.write("src/tt_conda/embedded/inputs.lock", '"1.0.4-2"', '"1.0.4-3"')
    forge.write("ci/requirements.txt", "\nrich==", "\nrich==99.")
    forge.bump("success")
    assert "--title Upstream: the newest pins --body-file" in forge.asked.read_text()
    changed = forge.run("git", "diff", "--name-only", "main", "upstream-bump").split()
    assert changed == ["ci/requirements.txt", "src/tt_conda/embedded/inputs.lock"]


@pytest.mark.parametrize(
    ("verdict", "state", "said"),
    [
        ("success", "success", "The tests pass with these pins."),
        ("failure", "failure", "**The tests fail with these pins.**"),
        ("cancelled", "error", "**The tests did not run to their end with these pins (cancelled).**"),
        ("skipped", "error", "**The tests did not run to their end with these pins (skipped).**"),
    ],
)
def test_the_tests_verdict_is_carried(forge: Forge, verdict: str, state: str, said: str) -> None:
    """By the text, whose first line it is, by the commit's status, and by the title where it is not good."""
    for night in range(2):
        forge.run("git", "checkout", "-q", "main")
        forge.write("variants.yaml", "0.81.1", "0.82.0")
        forge.bump(verdict if night == 0 else "success")
        body = forge.body.read_text()
        asked = forge.asked.read_text().splitlines()
        if night == 0:
            assert body == f"{said} https://github.com/a/b/actions/runs/7\n\n## ttnn 0.82.0\n"
            assert f"/statuses/{forge.head()} -f state={state} " in asked[-3] + asked[-2]
            assert (f"(tests: {verdict})" in asked[-1]) == (verdict != "success")
    assert body.startswith("The tests pass"), "a better verdict on the same pins is told, too"
    statuses = [line for line in asked if "/statuses/" in line]
    assert len(statuses) == 2 and all(f"/statuses/{forge.head()} " in line for line in statuses)


@pytest.mark.parametrize("words", [[], ["summary.md"], ["summary.md", "fine"]])
def test_a_pull_request_needs_a_text_and_a_verdict(words: list[str]) -> None:
    done = subprocess.run([PROJECT / "ci/open-bump", *words], text=True, capture_output=True)
    assert done.returncode != 0 and "ci/open-bump SUMMARY.md success|failure|cancelled|skipped" in done.stderr
