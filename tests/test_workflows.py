"""GitHub's workflows: their form, their actions' versions, their secrets, and their commands as far as it goes."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from script import loaded
from test_docs import check
from tt_conda.base.settings import worker_environ
from tt_conda.inputs.store import Store

PROJECT = Path(__file__).parents[1]
WORKFLOWS = sorted((PROJECT / ".github/workflows").glob("*.yml"))
EXPRESSION = re.compile(r"\$\{\{.*?\}\}")


def load(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(path.read_text(), yaml.BaseLoader)  # `on` is a key, not a truth
    return found


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in WORKFLOWS:
        for name, job in load(path)["jobs"].items():
            for step in job["steps"]:
                yield f"{path.stem}/{name}", step


def commands() -> Iterator[tuple[str, list[str]]]:
    """Each line of the ``run`` steps that starts a program of ours, pixi, conda or docker: its place and its words."""
    for place, step in steps():
        for line in step.get("run", "").splitlines():
            if line.strip().startswith(("ci/", "python3 ", "pixi ", "conda ", "docker ")):
                yield place, shlex.split(line.partition(" > ")[0])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_its_form(path: Path) -> None:
    command = ["check-jsonschema", "--builtin-schema", "vendor.github-workflows"]
    subprocess.run([*command, path], check=True)
    wrong = subprocess.run([*command, "-"], input=path.read_text().replace("runs-on", "run-on"), text=True,
                           capture_output=True)  # fmt: skip
    assert wrong.returncode == 1, "the schema sees what is wrong"


def test_actions_are_pinned() -> None:
    """By commit, with the version beside it."""
    lines = [line for path in WORKFLOWS for line in path.read_text().splitlines() if "- uses:" in line]
    assert len(lines) > 8
    for line in lines:
        assert re.search(r"uses: [\w-]+/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line
    versions: dict[str, set[str]] = {}
    for line in lines:
        action, _, version = line.partition("uses: ")[2].partition("@")
        versions.setdefault(action, set()).add(version)
    assert all(len(found) == 1 for found in versions.values()), "one version of each"


def test_a_run_may_only_what_it_must() -> None:
    for path in WORKFLOWS:
        assert load(path)["permissions"] == {"contents": "read"}, path
    writing = {
        f"{path.stem}/{name}": sorted(key for key, value in job["permissions"].items() if value == "write")
        for path in WORKFLOWS for name, job in load(path)["jobs"].items() if "permissions" in job
    }  # fmt: skip
    assert writing == {
        "publish/publish": ["attestations", "id-token"],
        "upstream/bump": ["contents", "pull-requests", "statuses"],
    }


def test_what_may_write_runs_nothing_that_was_fetched() -> None:
    """The pins are moved and tested without the right to write; what then has it applies a patch and opens."""
    jobs = load(PROJECT / ".github/workflows/upstream.yml")["jobs"]
    runs = [step["run"] for step in jobs["bump"]["steps"] if "run" in step]
    assert runs == ["git apply pins/pins.patch", 'ci/open-bump pins/summary.md "$VERDICT"']
    for name in ("pins", "test"):
        assert "permissions" not in jobs[name]
        checkout = next(step for step in jobs[name]["steps"] if "actions/checkout@" in step.get("uses", ""))
        assert checkout["with"]["persist-credentials"] == "false"


def test_the_verdict_is_that_of_the_tests_with_the_moved_pins() -> None:
    jobs = load(PROJECT / ".github/workflows/upstream.yml")["jobs"]
    assert [step["run"] for step in jobs["test"]["steps"] if "run" in step] == [
        "git apply pins/pins.patch", "ci/run test"
    ]  # fmt: skip
    assert jobs["bump"]["needs"] == ["pins", "test"]
    assert "success()" not in jobs["bump"]["if"] and "!cancelled()" in jobs["bump"]["if"], "a failure is told, too"
    (verdict,) = [step["env"]["VERDICT"] for step in jobs["bump"]["steps"] if "VERDICT" in step.get("env", {})]
    assert verdict == "${{ needs.test.result }}"


def test_builds_take_pinned_files_only() -> None:
    building = [
        {**workflow["env"], **job.get("env", {})}
        for workflow in map(load, WORKFLOWS) for job in workflow["jobs"].values()
        for step in job["steps"] if re.search(r"ci/run (build|test|exec tt-conda build)", step.get("run", ""))
    ]  # fmt: skip
    assert len(building) >= 4 and all(env.get("TT_CONDA_PINNED") == "1" for env in building)


def test_no_secret_is_on_a_command_line() -> None:
    """Nor anything else that GitHub puts in: a title of a pull request could be a command."""
    for place, step in steps():
        assert not EXPRESSION.search(step.get("run", "")), place
    for path in WORKFLOWS:
        for number, line in enumerate(path.read_text().splitlines()):
            if "secrets." in line:
                assert re.fullmatch(r"\s+[A-Z_]+: \$\{\{ secrets\.[A-Z_]+ \}\}", line), (path, number)


def test_scripts_are_of_bash() -> None:
    for place, step in steps():
        if "run" in step:
            done = subprocess.run(["bash", "-n"], input=step["run"], text=True, capture_output=True)
            assert done.returncode == 0, (place, done.stderr)
    subprocess.run(["bash", "-n", PROJECT / "ci/open-bump"], check=True)


@pytest.mark.parametrize(
    ("place", "words"), list(commands()), ids=lambda value: value if isinstance(value, str) else " "
)
def test_each_command_is_one(place: str, words: list[str]) -> None:
    """A program or task that is there; of tt-conda a command with such options."""
    if words[0].startswith("ci/"):
        assert os.access(PROJECT / words[0], os.X_OK), place
    if words[0] != "ci/open-bump":
        options = _options()[0].split()
        check([new for word in words for new in (options if word == "$OPTIONS" else [word])])


def test_the_lines_that_are_taken_from_the_readme_are_there() -> None:
    blocks = loaded(PROJECT / "ci/readme.py").blocks((PROJECT / "README.md").read_text())
    asked = [words[2] for _, words in commands() if words[1:2] == ["ci/readme.py"]]
    assert sorted(asked) == ["conda or mamba", "pixi"]
    for title in asked:
        assert "torch-ttnn" in blocks[title] and "$CHANNEL" in blocks[title]
        done = subprocess.run(["python", PROJECT / "ci/readme.py", title], text=True, capture_output=True, check=True)
        assert done.stdout == blocks[title]


def test_the_channel_of_the_readmes_lines_is_what_the_build_uploads() -> None:
    jobs = load(PROJECT / ".github/workflows/ci.yml")["jobs"]
    (download,) = (step["with"]["name"] for step in jobs["conda"]["steps"] if "download" in step.get("uses", ""))
    (upload,) = (step["with"] for step in jobs["build"]["steps"] if "upload" in step.get("uses", ""))
    assert jobs["conda"]["needs"] == "build"
    assert download in [upload["name"].replace("${{ matrix.name }}", entry["name"]) for entry in _entries("wheel")]
    assert {"output/*/*.conda", "output/*/repodata.json"} <= set(upload["path"].split())
    assert jobs["conda"]["env"]["CHANNEL"] == "file://${{ github.workspace }}/output"


@lru_cache
def _entries(*origins: str) -> list[dict[str, str]]:
    done = subprocess.run(["python", PROJECT / "ci/matrix.py", *origins], text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    name, _, text = done.stdout.strip().partition("=")
    assert name == "matrix"
    found: list[dict[str, str]] = json.loads(text)["include"]
    return found


def _options() -> list[str]:
    return [entry["options"] for entry in _entries("wheel", "source")]


@pytest.mark.parametrize(("words", "code"), [([], 2), (["nonsense"], 2), (["--help"], 0)])
def test_what_the_matrix_is_asked_for(words: list[str], code: int) -> None:
    """An empty matrix would build nothing, and be green."""
    done = subprocess.run(["python", PROJECT / "ci/matrix.py", *words], text=True, capture_output=True)
    assert done.returncode == code and "matrix={" not in done.stdout and "Traceback" not in done.stderr
    assert "wheel" in done.stdout + done.stderr


def test_the_matrix_is_the_variants_that_have_packages() -> None:
    options = _options()
    wheel = [f"--origin wheel --cxx-stdlib libstdcxx --python {python}" for python in ("3.10", "3.12")]
    assert [o for o in options if "wheel" in o] == wheel, "wheels are compiled with libstdc++"
    assert {tuple(o.split()[3::2]) for o in options if "source" in o} == {
        (runtime, python) for runtime in ("libcxx", "libstdcxx") for python in ("3.10", "3.12")
    }


def test_what_is_cached_is_the_store_named_by_what_is_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TT_CONDA_CACHE", str(tmp_path))
    for name in ("CCACHE_DIR", "TT_CONDA_COMPILER_LAUNCHER"):
        monkeypatch.delenv(name, raising=False)
    store = f"${{{{ env.TT_CONDA_CACHE }}}}/{Store.default().folder.relative_to(tmp_path)}"
    caches = [step["with"] for _, step in steps() if step.get("uses", "").startswith("actions/cache")]
    assert caches and list(PROJECT.glob("recipes/*/*.lock"))
    compiled = f"${{{{ env.TT_CONDA_CACHE }}}}/{Path(worker_environ()['CCACHE_DIR']).relative_to(tmp_path)}"
    for given in caches:
        assert given["path"] in (store, compiled) and ".." not in given["path"]
        assert given["path"] == compiled or "recipes/*/*.lock" in given["key"]
    for path in WORKFLOWS:
        # what a cache's path must not have
        assert ".." not in load(path)["env"]["TT_CONDA_CACHE"], path


def test_hidden_folders_are_uploaded_where_they_are_named() -> None:
    """Since its version 4.4 the action leaves them out, without a word, where it is not told otherwise."""
    uploads = [step["with"] for _, step in steps() if step.get("uses", "").startswith("actions/upload-artifact@")]
    hidden = [given for given in uploads if re.search(r"(^|/)\.[^./]", given["path"], re.M)]
    assert hidden and all(given.get("include-hidden-files") == "true" for given in hidden)
