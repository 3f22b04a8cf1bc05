"""`tt-conda audit` and `tt-conda explain` as people run them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tt_conda.audit.rules import all_rules
from tt_conda.report.audit.compare import targets_of
from tt_conda.report.audit.explain import pages

Run = Callable[..., "subprocess.CompletedProcess[str]"]
PROJECT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("TT_CONDA", "CONDA"))} | {"COLUMNS": "80"}
        command = [sys.executable, "-m", "tt_conda.cli", *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=300)

    return call


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A folder in which one library is cut."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/libcut.so").write_bytes(b"\x7fELF\x02\x01")
    return tmp_path / "broken"


def test_exit_codes(run: Run, broken: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("nothing at all")
    clean = run("audit", "empty")
    assert (clean.returncode, clean.stderr) == (0, "") and "no findings" in clean.stdout
    found = run("audit", broken)
    assert (found.returncode, found.stderr) == (1, "") and "TC901" in found.stdout
    assert found.stdout.rstrip().splitlines()[-1].startswith("tt-conda explain TC901")
    for arguments in (["nowhere"], ["text"], [], [broken, "--select", "TC8"], [broken, "--baseline", "nowhere"]):
        done = run("audit", *arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert "error" in done.stderr.lower()


def test_a_target_of_which_nothing_can_be_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "cut-1.0-py3-none-any.whl").write_bytes(b"PK\3\4 and no more")
    (tmp_path / "libcut.so").write_bytes(b"\x7fELF\x02\x01")
    (tmp_path / "good").mkdir()
    for name in ("cut-1.0-py3-none-any.whl", "libcut.so"):
        done = run("audit", name, "good")
        assert (done.returncode, done.stderr) == (2, ""), name
        assert "TC901" in done.stdout and name in done.stdout
        assert run("audit", "--compare", "good", name).returncode == 2


def test_options_choose_what_counts(run: Run, broken: Path) -> None:
    assert run("audit", broken, "--ignore", "TC9").returncode == 0
    assert run("audit", broken, "--select", "TC1").returncode == 0
    assert run("audit", broken, "--severity", "error").returncode == 1


def test_a_file_says_its_form_by_its_ending(run: Run, broken: Path, tmp_path: Path) -> None:
    for name in ("a.json", "a.sarif", "a.html", "a.txt"):
        done = run("audit", broken, "--output", name)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{name}: 1 finding\n")
    assert json.loads((tmp_path / "a.json").read_text())["schema"] == 1
    assert json.loads((tmp_path / "a.sarif").read_text())["version"] == "2.1.0"
    assert (tmp_path / "a.html").read_text().startswith("<!DOCTYPE html>")
    assert "TC901" in (tmp_path / "a.txt").read_text()
    assert json.loads(run("audit", broken, "--format", "json").stdout)["schema"] == 1
    assert run("audit", broken, "--output", "no/such/folder.json").returncode == 2
    refused = run("audit", broken, "--output", "a.xml")
    assert refused.returncode == 2 and "--format" in refused.stderr


def test_a_baseline_from_day_to_day(run: Run, broken: Path) -> None:
    written = run("audit", broken, "--write-baseline", "accepted.json")
    assert (written.returncode, written.stderr) == (0, "accepted.json: 1 accepted finding\n")
    assert run("audit", broken, "--baseline", "accepted.json").returncode == 0
    (broken / "libnew.so").write_bytes(b"")
    done = run("audit", broken, "--baseline", "accepted.json")
    assert done.returncode == 1 and "libnew.so" in done.stdout and "1 finding accepted" in done.stdout
    for file in broken.iterdir():
        file.unlink()
    done = run("audit", broken, "--baseline", "accepted.json")
    assert done.returncode == 0 and "gone from the baseline" in done.stdout and "--write-baseline" in done.stdout


def test_two_states(run: Run, broken: Path, tmp_path: Path) -> None:
    (tmp_path / "fixed").mkdir()
    better = run("audit", "--compare", broken, "fixed")
    assert better.returncode == 0 and "1 gone, 0 new" in better.stdout
    worse = run("audit", "--compare", "fixed", f"{broken},fixed")
    assert worse.returncode == 1 and "0 gone, 1 new" in worse.stdout
    assert run("audit", "--compare", "fixed", "nowhere").returncode == 2
    assert run("audit", "--compare", "fixed", "fixed", "--format", "sarif").returncode == 2
    assert run("audit", "fixed", "--compare", "fixed", "fixed").returncode == 2


def test_targets_of_one_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("torch-2.0+cpu-py3.whl", "a.whl", "b"):
        Path(name).touch()
    assert targets_of("torch-2.0+cpu-py3.whl") == [Path("torch-2.0+cpu-py3.whl")]
    assert targets_of("torch-2.0+cpu-py3.whl,a.whl") == [Path("torch-2.0+cpu-py3.whl"), Path("a.whl")]
    assert targets_of("a.whl+b") == [Path("a.whl"), Path("b")]
    assert targets_of("a.whl+nowhere") == [Path("a.whl+nowhere")]


@pytest.mark.parametrize("code", list(all_rules()))
def test_every_rule_has_a_page(run: Run, code: str) -> None:
    text = pages()[f"{code}.md"]
    for part in ("**Why it matters.**", "**Seen in the wild.**", "**What to do.**", "**False alarms.**"):
        assert part in text


def test_explain(run: Run) -> None:
    assert run("explain", "tc901").stdout == pages()["TC901.md"]
    assert run("explain", "unreadable-file").stdout == pages()["TC901.md"]
    listed = run("explain", "--all").stdout
    assert all(code in listed for code in all_rules())
    done = run("explain", "TC909")
    assert done.returncode == 2 and "TC901" in done.stderr
    assert run("explain").returncode == 2


def test_the_pages_in_docs_are_current() -> None:
    folder = PROJECT / "docs/rules"
    there = {file.name: file.read_text() for file in folder.glob("*.md")}
    assert there == pages(), "run: ci/run exec python ci/rules_docs.py"
