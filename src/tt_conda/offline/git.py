"""Repositories as bundles, git's own form for moving commits in a file: made, verified, and checked out.

A bundle here holds one commit and its tree, without history, which the commit's hash covers whole. It is read into a
new repository of our own, with nobody's configuration: unlike a repository, a bundle has no hooks, settings or links
that git might follow, and git computes the hash of every object in it.
https://git-scm.com/docs/git-bundle, https://git-scm.com/docs/gitformat-bundle
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from tt_conda.base import process, settings
from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import disk_error_in
from tt_conda.offline.pins import Repository

Progress = Callable[[int, int], None]
"""Told objects done, and in all."""

_OBJECTS = re.compile(rb"Receiving objects:\s+\d+% \((\d+)/(\d+)\)")
_LAST_LINES = 3
READY = ".ok"
"""An empty file that the engine leaves in a checkout, and so in packages (rattler_git 0.2.1, src/git.rs, line 26)."""
_GITLINK = "160000"
"""The mode of a submodule in a tree."""


class GitError(Exception):
    """A git command failed, or a bundle is not what it should be; the message says why."""


@dataclass(frozen=True)
class Submodule:
    """A repository in the tree of another one."""

    path: str
    pin: Repository


def open_bundle(bundle: Path, pin: Repository, tree: Path) -> str:
    """Read a bundle into a new repository, verify that the pinned commit is in it whole, and return that commit.

    Args:
        bundle: from anywhere.
        pin: what should be in it.
        tree: the repository's folder, which is made.

    Raises:
        GitError: the file is no bundle, damaged, or has not the pinned commit with all of its tree.
        TtCondaError: there is no git.
    """
    tree.mkdir(parents=True)
    _alone(tree, "init", "--quiet", "--template=", ".")
    said = _alone(tree, "bundle", "unbundle", str(bundle)).splitlines()
    heads = {name: oid for oid, _, name in (line.partition(" ") for line in said)}
    commit = pin.commit
    if pin.tag:
        if f"refs/tags/{pin.tag}" not in heads:
            raise GitError(f"has no tag {pin.tag}")
        commit = _alone(tree, "rev-parse", "--verify", f"{heads[f'refs/tags/{pin.tag}']}^{{commit}}")
        if pin.expected_commit and commit != pin.expected_commit:
            raise GitError(f"its tag {pin.tag} is commit {commit}, and not {pin.expected_commit} as in the recipe")
    elif _said(tree, "cat-file", "-t", commit) != "commit":
        raise GitError(f"does not have this commit, but {', '.join(sorted(set(heads.values())))}")
    (tree / ".git" / "shallow").write_text(f"{commit}\n")
    _alone(tree, "rev-list", "--objects", "--quiet", commit, failed="lacks a part of this commit")
    return commit


def check_out(tree: Path, commit: str) -> None:
    """Write the files of a commit beside its repository, as the engine does."""
    _alone(tree, "checkout", "--quiet", "--detach", commit)
    (tree / READY).write_bytes(b"")
    (tree / READY).chmod(0o644)


def submodules(tree: Path, commit: str, url: str) -> list[Submodule]:
    """The submodules of a commit in a repository that came from ``url``.

    Raises:
        GitError: the commit does not say where one of them comes from.
    """
    links = {}
    for line in _alone(tree, "ls-tree", "-rz", commit).split("\0"):
        if line.startswith(_GITLINK):
            about, path = line.split("\t", 1)
            links[path] = about.split()[2]
    if not links:
        return []
    said = _said(tree, "config", "--blob", f"{commit}:.gitmodules", "--null", "--list") or ""
    table: dict[str, dict[str, str]] = {}
    for line in filter(None, said.split("\0")):
        key, _, value = line.partition("\n")
        name, _, variable = key.removeprefix("submodule.").rpartition(".")
        table.setdefault(name, {})[variable] = value
    urls = {entry["path"]: entry["url"] for entry in table.values() if {"path", "url"} <= entry.keys()}
    if unknown := sorted(links.keys() - urls.keys()):
        raise GitError(f"does not say where its submodule {unknown[0]} comes from")
    return [
        Submodule(path, Repository(_absolute(urls[path], url), commit=link, submodules=True))
        for path, link in links.items()
    ]


def _absolute(url: str, base: str) -> str:
    """A submodule's address; ``./`` and ``../`` are from its parent's (gitmodules(5))."""
    if not url.startswith(("./", "../")):
        return url
    parts = urlsplit(base)
    folders = parts.path.rstrip("/").split("/")
    while url.startswith(("./", "../")):
        first, _, url = url.partition("/")
        folders = folders[:-1] if first == ".." else folders
    return urlunsplit(parts._replace(path="/".join([*folders, url])))


def bundle_from(repository: Path, pin: Repository, bundle: Path, scratch: Path) -> bool:
    """Make a bundle of a pin that a repository of this machine has; False where it does not have it whole.

    Args:
        repository: only read.
        pin: the commit or tag.
        bundle: the file to write.
        scratch: a folder that is made, for git's own files.
    """
    tags = (f"refs/tags/{pin.tag}", f"refs/remotes/origin/tags/{pin.tag}")  # the second is rattler-build's
    names = tags if pin.tag else (pin.commit,)
    head = next((oid for name in names if (oid := _said(repository, "rev-parse", "--verify", "-q", name))), "")
    objects = _said(repository, "rev-parse", "--git-path", "objects")
    if not head or not objects:
        return False
    scratch.mkdir(parents=True)
    _alone(scratch, "init", "--quiet", "--bare", "--template=", ".")
    (scratch / "objects" / "info").mkdir(parents=True, exist_ok=True)
    (scratch / "objects" / "info" / "alternates").write_text(f"{repository / objects}\n")
    try:
        _bundle(scratch, head, pin, bundle)
    except GitError:
        return False
    return True


def bundle_of(pin: Repository, bundle: Path, scratch: Path, progress: Progress) -> None:
    """Fetch a pin from its address, as this machine's git is configured to, and make a bundle of it.

    Args:
        pin: the commit or tag.
        bundle: the file to write.
        scratch: a folder that is made, for git's own files.
        progress: told how many of the objects are there.

    Raises:
        GitError: the repository cannot be reached, or does not have the pin.
        TtCondaError: there is no git.
    """
    scratch.mkdir(parents=True)
    _alone(scratch, "init", "--quiet", "--bare", "--template=", ".")
    wanted = f"refs/tags/{pin.tag}" if pin.tag else pin.commit
    try:
        _fetch(scratch, ["--depth", "1", "--no-tags", pin.url, f"+{wanted}:refs/tt-conda/wanted"], progress)
    except GitError as error:
        if pin.tag or "unadvertised" not in str(error):
            raise
        # a server that gives out commits only with the branches and tags that they are in
        _fetch(scratch, [pin.url, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"], progress)
        if _said(scratch, "cat-file", "-t", pin.commit) != "commit":
            raise GitError("no branch or tag there has this commit") from None
    head = _alone(scratch, "rev-parse", "--verify", "refs/tt-conda/wanted" if pin.tag else pin.commit)
    try:
        _bundle(scratch, head, pin, bundle)
    except GitError as error:
        raise GitError(f"what is there lacks a part of this commit: {error}") from None


def _bundle(repository: Path, head: str, pin: Repository, bundle: Path) -> None:
    """Write one commit without its history, under the name of its pin."""
    commit = _alone(repository, "rev-parse", "--verify", f"{head}^{{commit}}")
    name = f"refs/tags/{pin.tag}" if pin.tag else f"refs/commit/{pin.commit}"
    (repository / "shallow").write_text(f"{commit}\n")
    _alone(repository, "update-ref", name, head)
    _alone(repository, "bundle", "create", "--quiet", str(bundle), name)


def _alone(repository: Path, *arguments: str, failed: str = "") -> str:
    """Run git with no configuration but the repository's own, and no network; what it prints, without the last newline.

    Raises:
        GitError: it failed; with ``failed``, in these words.
        TtCondaError: there is no git.
    """
    inherited = {name: value for name, value in settings.environ().items() if not name.startswith("GIT_")}
    env = {
        **inherited,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }
    # safe.directory: a cache may belong to another user, and nothing but objects is read there
    own = ("safe.directory=*", "core.attributesFile=/dev/null")
    command = ["git", *(part for setting in own for part in ("-c", setting)), "-C", str(repository), *arguments]
    try:
        done = process.run(command, env=env, umask=0o022)  # what is checked out gets into packages with its modes
    except FileNotFoundError:
        raise _no_git() from None
    if done.returncode:
        raise _failure(done.stderr, failed)
    return done.stdout.removesuffix("\n")


def _said(repository: Path, *arguments: str) -> str | None:
    with suppress(GitError):
        return _alone(repository, *arguments)
    return None


def _fetch(repository: Path, arguments: list[str], progress: Progress) -> None:
    command = ["git", f"--git-dir={repository}", "fetch", "--progress", "--force", *arguments]
    env = {**settings.environ(), "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    except FileNotFoundError:
        raise _no_git() from None
    said = b""
    with process:
        try:
            assert process.stderr is not None
            while piece := os.read(process.stderr.fileno(), 1 << 12):
                said = (said + piece)[-(1 << 14) :]
                if steps := _OBJECTS.findall(said):
                    progress(int(steps[-1][0]), int(steps[-1][1]))
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise _failure(said.decode(errors="replace"))


def _failure(said: str, failed: str = "") -> Exception:
    """The error of a git command; a full disk is no fault of a repository."""
    return disk_error_in(said) or GitError(failed or _reason(said))


def _no_git() -> TtCondaError:
    return TtCondaError("git is not on PATH, and sources are git repositories", "Install it.")


def _reason(said: str) -> str:
    """The lines in which git says what went wrong."""
    lines = [line for line in said.splitlines() if line.startswith(("fatal: ", "error: ", "remote: "))]
    return "; ".join(line.split(": ", 1)[1] for line in lines[-_LAST_LINES:]) or said.strip()[-200:] or "git failed"
