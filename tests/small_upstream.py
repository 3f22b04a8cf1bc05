"""Upstream in small: git repositories, and archives over HTTP; and a project with recipes of them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tarfile
from dataclasses import dataclass, field
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tt_conda.building.build import Built, build, select
from tt_conda.building.variants import Output
from tt_conda.offline.supply import supply

HOST = "https://git.example"


def git(folder: Path, *arguments: str) -> str:
    """Run git as somebody; what it prints."""
    settings = ("user.name=somebody", "user.email=somebody@example.org", "protocol.file.allow=always")
    command = ["git", *(part for setting in settings for part in ("-c", setting)), "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@dataclass
class Upstream:
    """Repositories in ``folder``, each of two commits, served as ``HOST/o/NAME.git``; and files over HTTP."""

    folder: Path
    url: str
    """Of the files."""
    server: ThreadingHTTPServer
    asked: list[str] = field(default_factory=list)
    """Paths that were asked for."""

    def repository(self, name: str, **files: str) -> str:
        """Commit files to a repository (made if need be), with a tag ``v1``; the commit."""
        there = self.folder / "o" / f"{name}.git"
        if not there.is_dir():
            there.mkdir(parents=True)
            git(there, "init", "--quiet", "--initial-branch=main")
            (there / "old").write_text("history\n")
            git(there, "add", "--all")
            git(there, "commit", "--quiet", "--message=first")
        for file, content in files.items():
            (there / file).write_text(content)
        (there / "tool.sh").write_text("#!/bin/sh\n")
        (there / "tool.sh").chmod(0o755)
        git(there, "add", "--all")
        git(there, "commit", "--quiet", "--message=second")
        git(there, "tag", "--force", "--annotate", "--message=v1", "v1")
        return git(there, "rev-parse", "HEAD")

    def archive(self, name: str, **files: str) -> dict[str, str]:
        """An archive with one folder; its source in a recipe."""
        (inside := self.folder / "staged" / name.split(".")[0]).mkdir(parents=True)
        for file, content in files.items():
            (inside / file).write_text(content)
        path = self.folder / "files" / name
        with tarfile.open(path, "w:gz") as tar:
            tar.add(inside, inside.name)
        return {"url": f"{self.url}/{name}", "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}

    def gone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the network away."""
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "none")
        self.server.shutdown()
        self.server.server_close()


@dataclass
class Project:
    """A project whose package ``thing`` is its sources."""

    folder: Path
    others: Path

    def recipe(self, *sources: dict[str, Any], name: str = "thing", **more: Any) -> None:
        """Write its recipe."""
        (home := self.folder / "recipes" / name).mkdir(parents=True, exist_ok=True)
        script = (
            f"mkdir -p $PREFIX/share/{name}; find . -name .git -prune -exec rm -rf {{}} +;"
            f" ls -A | grep -v -e ^conda_build -e ^build_env -e ^.source_info | xargs cp -R -t $PREFIX/share/{name}"
        )
        (home / "recipe.yaml").write_text(json.dumps({
            "package": {"name": name, "version": "1.0"},
            "build": {"number": 0, "noarch": "generic", "string": "0", "script": [script]},
            "source": list(sources),
            **more,
        }))  # fmt: skip

    def outputs(self) -> list[Output]:
        """What it gives."""
        return select(self.folder, [])[2]

    def build(self, sources: Path | None = None) -> Built:
        """Build it, with sources from a folder where one is named."""
        given = partial(supply, sources) if sources else None
        return build(channels=lambda: [self.others], project=self.folder, supply=given)

    @property
    def package(self) -> bytes:
        """What was built."""
        return (self.folder / "output/noarch/thing-1.0-0.conda").read_bytes()
