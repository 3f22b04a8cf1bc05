"""A folder of sources that is broken, or that somebody made to do harm: nothing of it gets in, and it says why."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from small_upstream import HOST, Project, Upstream, git
from tt_conda.base.errors import TtCondaError
from tt_conda.offline import collect

Refused = Callable[[], str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sources"


@pytest.fixture
def commit(upstream: Upstream, project: Project, folder: Path) -> str:
    """The pinned one of the repository ``plain``, which the folder has, with an archive."""
    commit = upstream.repository("plain", file="text\n")
    archive = upstream.archive("a-1.tar.gz", inside="text\n")
    project.recipe({"git": f"{HOST}/o/plain.git", "rev": commit, "submodules": False}, archive)
    collect.collect(folder, project.outputs())
    return commit


@pytest.fixture
def bundle(folder: Path, commit: str) -> Path:
    return folder / f"git/git.example/o/plain/{commit}.bundle"


@pytest.fixture
def refused(project: Project, folder: Path, elsewhere: Callable[[], None]) -> Refused:
    """What a build from the folder says on a machine without a network, where nothing of it is left then."""

    def call() -> str:
        elsewhere()
        with pytest.raises(TtCondaError) as error:
            project.build(folder)
        cache = Path(os.environ["TT_CONDA_CACHE"]) / "sources"
        assert sorted(path.name for path in cache.iterdir()) == [".supply.lock"]
        return error.value.what

    return call


def broken_bundle(repository: Path, head: str, target: Path, drop: str = "", name: str = "") -> None:
    """Write a bundle by hand: of one commit, without the object ``drop``."""
    (repository / "shallow").write_text(f"{head}\n") if not (repository / ".git").is_dir() else None
    listed = git(repository, "rev-list", "--objects", "--no-walk", head).splitlines()
    objects = "".join(f"{line.split()[0]}\n" for line in listed if line.split()[0] != drop)
    command = ["git", "-C", str(repository), "pack-objects", "--stdout", "-q"]
    pack = subprocess.run(command, input=objects.encode(), check=True, capture_output=True).stdout
    target.write_bytes(f"# v2 git bundle\n{head} {name or f'refs/commit/{head}'}\n\n".encode() + pack)


def test_another_commit_in_its_place(upstream: Upstream, bundle: Path, commit: str, refused: Refused) -> None:
    other = upstream.repository("plain", file="harm\n")
    broken_bundle(upstream.folder / "o/plain.git", other, bundle, name=f"refs/commit/{commit}")
    assert f"wrong: {bundle}: does not have this commit" in refused()


def test_a_commit_without_one_of_its_files(upstream: Upstream, bundle: Path, commit: str, refused: Refused) -> None:
    there = upstream.folder / "o/plain.git"
    broken_bundle(there, commit, bundle, drop=git(there, "rev-parse", f"{commit}:file"))
    assert "lacks a part of this commit" in refused()


@pytest.mark.parametrize("damage", ["cut", "a bit", "empty", "text"])
def test_a_damaged_bundle(bundle: Path, refused: Refused, damage: str) -> None:
    data = bytearray(bundle.read_bytes())
    data[-30] ^= 1
    bundle.write_bytes({"cut": bytes(data[:-40]), "a bit": bytes(data), "empty": b"", "text": b"<html>\n"}[damage])
    assert f"wrong: {bundle}: " in refused()


def test_a_bundle_of_changes_to_what_is_not_here(upstream: Upstream, bundle: Path, refused: Refused) -> None:
    git(upstream.folder / "o/plain.git", "bundle", "create", "--quiet", str(bundle), "HEAD~1..HEAD", "main")
    assert "wrong: " in (said := refused()) and "prerequisite" in said


def test_a_repository_with_hooks_instead_of_a_bundle(
    upstream: Upstream, bundle: Path, refused: Refused, tmp_path: Path
) -> None:
    bundle.unlink()
    shutil.copytree(upstream.folder / "o/plain.git", bundle)
    touch = tmp_path / "touch.sh"
    touch.write_text(f"#!/bin/sh\ntouch {tmp_path}/harm\n")
    touch.chmod(0o755)
    for setting in ("core.fsmonitor", "uploadpack.packObjectsHook", "core.sshCommand"):
        git(bundle, "config", setting, str(touch))
    shutil.copy(touch, bundle / ".git/hooks/post-checkout")
    assert f"not there: {bundle}" in refused()
    assert not (tmp_path / "harm").exists()


def test_a_tag_that_is_another_commit_than_the_recipe_says(
    upstream: Upstream, project: Project, folder: Path, refused: Refused
) -> None:
    first = upstream.repository("tagged", file="text\n")
    source = {"git": f"{HOST}/o/tagged.git", "tag": "v1", "submodules": False, "expected_commit": first}
    project.recipe(source)
    collect.collect(folder, project.outputs())
    (bundle,) = folder.glob("git/git.example/o/tagged/*")
    second = upstream.repository("tagged", file="harm\n")
    broken_bundle(upstream.folder / "o/tagged.git", second, bundle, name="refs/tags/v1")
    assert f"its tag v1 is commit {second}, and not {first}" in refused()


def test_a_file_in_git_s_own_folder(upstream: Upstream, project: Project, folder: Path, refused: Refused) -> None:
    """Only a tag without a commit beside it can be such a thing: a commit's hash is that of its files' names."""
    upstream.repository("tagged", file="text\n")
    project.recipe({"git": f"{HOST}/o/tagged.git", "tag": "v1", "submodules": False})
    collect.collect(folder, project.outputs())
    (bundle,) = folder.glob("git/git.example/o/tagged/*")
    there = upstream.folder / "o/tagged.git"
    blob = git(there, "rev-parse", "HEAD:tool.sh")
    tree = b"100755 post-checkout\0" + bytes.fromhex(blob)
    for name in (b"hooks", b".git"):
        tree = b"40000 %s\0" % name + bytes.fromhex(_write_tree(there, tree))
    harm = git(there, "commit-tree", "-m", "harm", _write_tree(there, tree))
    broken_bundle(there, harm, bundle, name="refs/tags/v1")
    assert "cannot be checked out" in refused()


def _write_tree(repository: Path, content: bytes) -> str:
    command = ["git", "-C", str(repository), "hash-object", "-t", "tree", "-w", "--literally", "--stdin"]
    return subprocess.run(command, input=content, check=True, capture_output=True).stdout.decode().strip()


def test_a_submodule_that_is_not_there(upstream: Upstream, project: Project, folder: Path, refused: Refused) -> None:
    upstream.repository("inner", deep="below\n")
    upstream.repository("outer", file="outer\n")
    git(upstream.folder / "o/outer.git", "submodule", "add", "--quiet", "../inner.git", "parts/inner")
    project.recipe({"git": f"{HOST}/o/outer.git", "rev": upstream.repository("outer", file="outer\n")})
    assert not collect.collect(folder, project.outputs()).faults
    shutil.rmtree(folder / "git/git.example/o/inner")
    assert "its submodule parts/inner, " in (said := refused()) and "not there" in said


def _link(file: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("somebody's\n")
    file.unlink()
    file.symlink_to(tmp_path / "secret")


def _device(file: Path, tmp_path: Path) -> None:
    file.unlink()
    file.symlink_to("/dev/zero")


def _pipe(file: Path, tmp_path: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _other(file: Path, tmp_path: Path) -> None:
    file.write_bytes(b"another")


@pytest.mark.parametrize(
    ("put", "why"), [(_link, "wrong: "), (_other, "wrong: "), (_device, "not there: "), (_pipe, "not there: ")]
)
@pytest.mark.parametrize("kind", ["bundle", "archive"])
def test_something_else_in_a_file_s_place(
    folder: Path, bundle: Path, refused: Refused, tmp_path: Path, kind: str, put: Callable[..., None], why: str
) -> None:
    (archive,) = folder.glob("??/*/a-1.tar.gz")
    put(bundle if kind == "bundle" else archive, tmp_path)
    assert why in refused()


def _unshared(mount: str, *command: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a command where ``mount`` has been run."""
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("this machine lets only root mount a small disk")
    return subprocess.run(
        [*unshare, "sh", "-c", f'{mount} && exec "$@"', "sh", *command], text=True, capture_output=True, check=False,
        **more,
    )  # fmt: skip


def _command(project: Project, *arguments: str | Path) -> list[str]:
    variables = {"TT_CONDA_PROJECT": project.folder, "TT_CONDA_CHANNELS": project.others}
    given = [f"{name}={value}" for name, value in variables.items()]
    return ["env", *given, sys.executable, "-m", "tt_conda.cli", *map(str, arguments)]


def test_a_medium_that_cannot_be_written_to(
    project: Project, folder: Path, bundle: Path, elsewhere: Callable[[], None]
) -> None:
    elsewhere()
    read_only = f'mount --bind "{folder}" "{folder}" && mount -o remount,ro,bind "{folder}"'
    checked = _unshared(read_only, *_command(project, "fetch", folder, "--check"))
    assert checked.returncode == 0, checked.stderr
    fetched = _unshared(f'rm "{bundle}" && {read_only}', *_command(project, "fetch", folder))
    assert fetched.returncode == 2 and f"{folder}: the file system is read-only" in fetched.stderr
    assert "Traceback" not in fetched.stderr


def test_it_is_built_from_a_medium_that_cannot_be_written_to(
    project: Project, folder: Path, bundle: Path, elsewhere: Callable[[], None]
) -> None:
    elsewhere()
    read_only = f'mount --bind "{folder}" "{folder}" && mount -o remount,ro,bind "{folder}"'
    built = _unshared(read_only, *_command(project, "build", "--sources", folder))
    assert built.returncode == 0, built.stderr


@pytest.mark.parametrize("where", ["the folder", "the cache"])
def test_a_full_disk(
    upstream: Upstream, project: Project, folder: Path, elsewhere: Callable[[], None], where: str
) -> None:
    commit = upstream.repository("large")
    (upstream.folder / "o/large.git/noise").write_bytes(os.urandom(1 << 20))
    commit = upstream.repository("large")
    project.recipe({"git": f"{HOST}/o/large.git", "rev": commit, "submodules": False})
    if where == "the folder":
        folder.mkdir()
        small, command = folder, _command(project, "fetch", folder)
    else:
        collect.collect(folder, project.outputs())
        elsewhere()
        small, command = Path(os.environ["TT_CONDA_CACHE"]), _command(project, "build", "--sources", folder)
        small.mkdir()
    done = _unshared(f'mount -t tmpfs -o size=700k tmpfs "{small}"', *command)
    assert done.returncode == 2 and "isk is full" in done.stderr and str(small) in done.stderr
    assert "Traceback" not in done.stderr
