"""Sources are collected in a folder on one machine, and built from on another that has no network."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from small_upstream import HOST, Project, Upstream, git
from stopping import hears_ctrl_c, wait_until
from tt_conda.base.errors import TtCondaError
from tt_conda.offline import collect
from tt_conda.offline.collect import Collected
from tt_conda.report.fetch import show


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sources"


def repository(name: str, pin: str, **more: Any) -> dict[str, Any]:
    """A source in a recipe."""
    kind = "rev" if len(pin) == 40 else "tag"
    return {"git": f"{HOST}/o/{name}.git", kind: pin, "submodules": False, "target_directory": name, **more}


def fetch(project: Project, folder: Path) -> Collected:
    return collect.collect(folder, project.outputs())


def faults(result: Collected) -> dict[str, str]:
    return {fault.name: fault.why for fault in result.faults}


def test_what_is_built_from_a_folder_is_what_is_built_from_the_network(
    upstream: Upstream, project: Project, folder: Path, elsewhere: Callable[[], None]
) -> None:
    inner = upstream.repository("inner", deep="below\n")
    upstream.repository("outer", file="outer\n")
    git(upstream.folder / "o/outer.git", "submodule", "add", "--quiet", "../inner.git", "parts/inner")
    outer = upstream.repository("outer", file="outer\n")
    project.recipe(
        repository("plain", upstream.repository("plain", file="text\n", empty="")),
        repository("tagged", "v1") if upstream.repository("tagged", file="by tag\n") else {},
        repository("outer", outer, submodules=True),
        {**upstream.archive("a-1.tar.gz", inside="unpacked\n"), "target_directory": "a"},
        {**upstream.archive("b-1.tar.gz", inside="as it is\n"), "file_name": "b.tgz"},
    )
    project.build()
    from_network = project.package
    result = fetch(project, folder)
    assert not result.faults and len(result.fetched) == 5
    elsewhere()
    with pytest.raises(TtCondaError, match="failed"):
        project.build()
    before = os.umask(0o077)  # what somebody prefers for new files is not what packages have
    try:
        assert project.build(folder).built == ["thing-1.0-0"]
    finally:
        os.umask(before)
    assert project.package == from_network
    assert inner in str(list(folder.glob("git/git.example/o/inner/*.bundle")))


def test_no_history_is_collected(upstream: Upstream, project: Project, folder: Path, tmp_path: Path) -> None:
    commit = upstream.repository("plain", file="text\n")
    project.recipe(repository("plain", commit))
    fetch(project, folder)
    (bundle,) = folder.glob("git/git.example/o/plain/*.bundle")
    assert bundle.stem == commit
    git(tmp_path, "init", "--quiet", "read")
    git(tmp_path / "read", "bundle", "unbundle", str(bundle))
    assert git(tmp_path / "read", "cat-file", "--batch-all-objects", "--batch-check").count(" commit ") == 1


def test_what_is_there_and_right_is_not_fetched_again(upstream: Upstream, project: Project, folder: Path) -> None:
    archive = upstream.archive("a-1.tar.gz", inside="text\n")
    project.recipe(repository("plain", upstream.repository("plain", file="text\n")), archive)
    assert len(fetch(project, folder).fetched) == 2
    asked = list(upstream.asked)
    shutil.rmtree(upstream.folder / "o")
    again = fetch(project, folder)
    assert len(again.there) == 2 and not again.fetched and not again.faults and upstream.asked == asked


def test_what_this_machine_has_built_from_is_not_fetched_either(
    upstream: Upstream, project: Project, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.repository("tagged", file="by tag\n")
    plain = repository("plain", upstream.repository("plain", file="text\n"))
    project.recipe(plain, repository("tagged", "v1"), upstream.archive("a-1.tar.gz", inside="text\n"))
    project.build()
    upstream.gone(monkeypatch)
    result = fetch(project, folder)
    assert len(result.fetched) == 3 and not result.faults


def test_it_goes_on_after_one_that_fails_and_names_all_that_are_missing(
    upstream: Upstream, project: Project, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit = upstream.repository("plain", file="text\n")
    project.recipe(
        repository("nowhere", "1" * 40),
        repository("plain", "2" * 40),
        {"url": f"{upstream.url}/nothing.tar.gz", "sha256": "3" * 64},
        {**upstream.archive("a-1.tar.gz", inside="other\n"), "sha256": "4" * 64},
        {"url": f"{upstream.url}/unpinned.tar.gz"},
        {"git": f"{HOST}/o/plain.git", "branch": "main"},
        {"git": f"{HOST}/o/plain.git", "rev": commit, "lfs": True},
        repository("plain", commit),
    )
    result = fetch(project, folder)
    assert [pin.name for pin in result.fetched] == [f"{HOST}/o/plain.git {commit}"]
    said = faults(result)
    assert "does not appear to be a git repository" in said[f"{HOST}/o/nowhere.git {'1' * 40}"]
    assert "not our ref" in said[f"{HOST}/o/plain.git {'2' * 40}"]
    assert "404" in said[f"{upstream.url}/nothing.tar.gz sha256 {'3' * 64}"]
    assert "another hash" in said[f"{upstream.url}/a-1.tar.gz sha256 {'4' * 64}"]
    assert "add its sha256" in said[f"{upstream.url}/unpinned.tar.gz"]
    whys = [fault.why for fault in result.faults if fault.name == f"{HOST}/o/plain.git"]
    assert "name a commit" in whys[0] and "lfs" in whys[1]
    assert not list(folder.glob("**/a-1.tar.gz"))
    show(result, checked=False)
    shown = capsys.readouterr().err
    assert all(name in shown for name in said) and "for thing: " in shown and "7 missing" in shown


def test_a_build_says_at_once_all_that_the_folder_lacks(
    upstream: Upstream, project: Project, folder: Path, elsewhere: Callable[[], None]
) -> None:
    archive = upstream.archive("a-1.tar.gz", inside="text\n")
    project.recipe(repository("plain", upstream.repository("plain", file="text\n")))
    fetch(project, folder)
    project.recipe(repository("plain", "1" * 40), repository("more", "2" * 40), archive)
    elsewhere()
    with pytest.raises(TtCondaError) as error:
        project.build(folder)
    assert "3 of 3 sources are missing or wrong" in error.value.what and "tt-conda fetch" in error.value.way_out
    assert all(name in error.value.what for name in ("1" * 40, "2" * 40, archive["sha256"], "for thing"))
    assert not (project.folder / "output/noarch/thing-1.0-0.conda").exists()


def test_a_repository_that_gives_out_no_single_commits(upstream: Upstream, project: Project, folder: Path) -> None:
    commit = upstream.repository("plain", file="text\n")
    upstream.repository("plain", file="newer\n")
    for option in ("uploadpack.allowTipSHA1InWant", "uploadpack.allowAnySHA1InWant"):
        git(upstream.folder / "o/plain.git", "config", option, "false")
    config = Path(os.environ["GIT_CONFIG_GLOBAL"])
    config.write_text(f"{config.read_text()}\tversion = 0\n")  # where such servers refuse
    project.recipe(repository("plain", commit))
    result = fetch(project, folder)
    assert not result.faults and len(result.fetched) == 1


def test_check_says_it_and_writes_nothing(upstream: Upstream, project: Project, folder: Path) -> None:
    archive = upstream.archive("a-1.tar.gz", inside="text\n")
    with pytest.raises(TtCondaError, match="no folder"):
        project.recipe(archive)
        collect.check(folder, project.outputs())
    fetch(project, folder)
    project.recipe(archive, repository("plain", "1" * 40))
    (file,) = folder.glob("??/*/a-1.tar.gz")
    file.write_bytes(b"damaged")
    before = sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))
    result = collect.check(folder, project.outputs())
    assert sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*")) == before
    whys = [fault.why for fault in result.faults]
    assert whys[0].startswith("wrong: ") and whys[1].startswith("not there: ") and not result.there


def test_files_put_there_by_hand(upstream: Upstream, project: Project, folder: Path, tmp_path: Path) -> None:
    """As docs/source.md says: bundles of a clone, with its history."""
    commit = upstream.repository("plain", file="text\n")
    upstream.repository("tagged", file="text\n")
    archive = upstream.archive("a-1.tar.gz", inside="text\n")
    project.recipe(repository("plain", commit), repository("tagged", "v1"), archive)
    for name, pin, ref in (("plain", commit, "main"), ("tagged", "v1", "v1")):
        (place := folder / f"git/git.example/o/{name}").mkdir(parents=True)
        git(tmp_path, "clone", "--quiet", str(upstream.folder / f"o/{name}.git"), name)
        git(tmp_path / name, "bundle", "create", "--quiet", str(place / f"{pin}.bundle"), ref)
    place = folder / archive["sha256"][:2] / archive["sha256"]
    place.mkdir(parents=True)
    shutil.copy(upstream.folder / "files/a-1.tar.gz", place)
    result = collect.check(folder, project.outputs())
    assert len(result.there) == 3 and not result.faults


def test_what_is_damaged_is_fetched_again(upstream: Upstream, project: Project, folder: Path) -> None:
    archive = upstream.archive("a-1.tar.gz", inside="text\n")
    project.recipe(repository("plain", upstream.repository("plain", file="text\n")), archive)
    fetch(project, folder)
    (bundle,) = folder.glob("git/**/*.bundle")
    (file,) = folder.glob("??/*/a-1.tar.gz")
    bundle.write_bytes(bundle.read_bytes()[:-30])
    file.write_bytes(b"damaged")
    assert len(fetch(project, folder).fetched) == 2
    assert not collect.check(folder, project.outputs()).faults


def test_a_fetch_that_is_stopped_goes_on(upstream: Upstream, project: Project, folder: Path, tmp_path: Path) -> None:
    """While git waits for a server."""
    first = repository("first", upstream.repository("first", file="text\n"))
    project.recipe(first, repository("plain", upstream.repository("plain", file="text\n")))
    (tmp_path / "bin").mkdir()
    slow = tmp_path / "bin/git"
    real = shutil.which("git")
    hang = f"sleep 2; echo $$ > {tmp_path}/at; exec sleep 300"  # first: tt-conda has to come to waiting for it
    slow.write_text(f'#!/bin/sh\ncase "$*" in *" fetch "*plain*) {hang};; esac\nexec {real} "$@"\n')
    slow.chmod(0o755)
    command, env = fetch_command(project, folder)
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    with subprocess.Popen(
        command, env={**env, "PATH": path}, stderr=subprocess.PIPE, text=True, preexec_fn=hears_ctrl_c
    ) as child:
        wait_until(lambda: (tmp_path / "at").is_file() and (tmp_path / "at").read_text().endswith("\n"), child)
        child.send_signal(signal.SIGINT)
        said = child.communicate(timeout=200)[1]
    assert child.returncode == 130 and "stopped" in said
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "at").read_text()), 0)
    assert [path.name for path in folder.iterdir()] == ["git"] and len(list(folder.rglob("*.bundle"))) == 1
    assert subprocess.run(command, env=env, check=False).returncode == 0
    assert len(list(folder.rglob("*.bundle"))) == 2


def fetch_command(project: Project, folder: Path) -> tuple[list[str], dict[str, str]]:
    env = {**os.environ, "TT_CONDA_PROJECT": str(project.folder), "TT_CONDA_CHANNELS": str(project.others)}
    return [sys.executable, "-m", "tt_conda.cli", "fetch", str(folder)], env


def test_the_second_build_needs_no_folder(
    upstream: Upstream, project: Project, folder: Path, elsewhere: Callable[[], None]
) -> None:
    archive = upstream.archive("a-1.tar.gz", inside="text\n")
    project.recipe(repository("plain", upstream.repository("plain", file="text\n")), archive)
    fetch(project, folder)
    elsewhere()
    project.build(folder)
    first = project.package
    shutil.rmtree(folder)
    shutil.rmtree(project.folder / "output")
    shutil.rmtree(Path(os.environ["TT_CONDA_CACHE"]) / "built")
    assert project.build().built and project.package == first


def test_a_tag_is_the_folder_s_and_not_the_cache_s(
    upstream: Upstream, project: Project, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.repository("tagged", file="old\n")
    project.recipe(repository("tagged", "v1"))
    project.build()
    before = project.package
    upstream.repository("tagged", file="new\n")
    shutil.move(Path(os.environ["TT_CONDA_CACHE"]) / "sources", folder.with_name("sources before"))
    fetch(project, folder)
    shutil.rmtree(Path(os.environ["TT_CONDA_CACHE"]))
    Path(os.environ["TT_CONDA_CACHE"]).mkdir()
    shutil.move(folder.with_name("sources before"), Path(os.environ["TT_CONDA_CACHE"]) / "sources")
    shutil.rmtree(project.folder / "output")
    upstream.gone(monkeypatch)
    assert project.build(folder).built == ["thing-1.0-0"] and project.package != before


def test_files_of_lock_files_come_from_the_folder(project: Project, folder: Path, tmp_path: Path) -> None:
    """A project's own wheel, pinned beside a recipe that has tt-conda fetch it."""
    from tt_conda.inputs import mirrors
    from tt_conda.inputs.lock import load
    from tt_conda.inputs.store import Store
    from tt_conda.inputs.wheels import fetch_all

    content = {"1.0": b"the wheel", "2.0": b"another version's"}
    pins = {version: Store(tmp_path / "index").put(_write(tmp_path / f"x-{version}-py3-none-any.whl", data),
            _sha256(data)) for version, data in content.items()}  # fmt: skip
    script = 'tt-conda carve --lock "$RECIPE_DIR/wheels.lock"'
    project.recipe(requirements={"build": ["tt-conda"]}, build={"noarch": "generic", "string": "0", "script": script})
    tables = [
        f'[[wheel]]\nname = "x"\nversion = "{version}"\nfilename = "{path.name}"\nsize = {path.stat().st_size}\n'
        f'sha256 = "{path.parent.name}"\n'
        for version, path in pins.items()
    ]
    lock = project.folder / "recipes/thing/wheels.lock"
    lock.write_text("format = 1\n" + "\n".join(tables))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TT_CONDA_STORES", str(tmp_path / "index"))
        result = fetch(project, folder)
    assert [pin.place.name for pin in result.fetched] == [_sha256(content["1.0"])] and not result.faults
    assert json.loads((folder / mirrors.LISTING).read_text())["files"][0]["filename"] == "x-1.0-py3-none-any.whl"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TT_CONDA_CACHE", str(tmp_path / "cache elsewhere"))
        patch.setenv("TT_CONDA_STORES", "/nowhere")
        from tt_conda.offline.supply import supply

        supply(folder, project.outputs())
        assert os.environ["TT_CONDA_STORES"] == f"{folder},/nowhere"
        wheel = next(wheel for wheel in load(lock).wheel if wheel.version == "1.0")
        assert fetch_all([wheel])[wheel.sha256].read_bytes() == content["1.0"]


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _sha256(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def test_the_commands(
    upstream: Upstream, project: Project, folder: Path, elsewhere: Callable[[], None], tmp_path: Path
) -> None:
    project.recipe(repository("plain", upstream.repository("plain", file="text\n")))
    project.recipe({"url": f"{upstream.url}/nothing.tar.gz", "sha256": "3" * 64}, name="other")

    def call(*arguments: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "TT_CONDA_PROJECT": str(project.folder), "TT_CONDA_CHANNELS": str(project.others), **more}
        command = [sys.executable, "-m", "tt_conda.cli", *map(str, arguments)]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)

    assert call("fetch", folder, "--check").returncode == 2
    all_of_it = call("fetch", folder)
    assert all_of_it.returncode == 2 and "1 missing" in all_of_it.stderr and "404" in all_of_it.stderr
    checked = call("fetch", folder, "--check")
    assert checked.returncode == 1 and "there" in checked.stderr and "missing" in checked.stderr
    assert call("fetch", folder, "--without", "other").returncode == 0
    assert call("fetch", folder, "--without", "nobody").returncode == 2
    elsewhere()
    assert "there is no folder" in call("build", "thing", "--sources", tmp_path / "nowhere").stderr
    lacks = call("build", "--sources", folder)
    assert lacks.returncode == 2 and "1 of 2 sources are missing" in lacks.stderr
    built = call("build", "thing", TT_CONDA_SOURCES=str(folder))
    assert built.returncode == 0, built.stderr
