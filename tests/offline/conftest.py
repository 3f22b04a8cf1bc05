"""Upstream in small, a project with recipes of it, and another machine without a network."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from small_upstream import HOST, Project, Upstream
from tt_conda.channel import index


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TT_CONDA_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TT_CONDA_STORES", raising=False)
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    return tmp_path / "cache"


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Upstream]:
    folder = tmp_path / "upstream"
    (folder / "files").mkdir(parents=True)
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_request(self, *arguments: object) -> None:
            asked.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder / "files")))
    Thread(target=server.serve_forever, daemon=True).start()
    config = tmp_path / "gitconfig"
    config.write_text(f'[url "file://{folder}/"]\n\tinsteadOf = {HOST}/\n[protocol "file"]\n\tallow = always\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    yield Upstream(folder, f"http://127.0.0.1:{server.server_port}", server, asked)
    server.shutdown()
    server.server_close()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (folder := tmp_path / "project").mkdir()
    (folder / "variants.yaml").write_text("{}\n")
    index.publish([], tmp_path / "others")
    return Project(folder, tmp_path / "others")


@pytest.fixture
def elsewhere(
    upstream: Upstream, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], None]:  # fmt: skip
    """Go to another machine, which has the project, no network, and nothing in its cache."""

    def go() -> None:
        upstream.gone(monkeypatch)
        monkeypatch.setenv("TT_CONDA_CACHE", str(tmp_path / "cache elsewhere"))
        if (output := project.folder / "output").exists():
            output.rename(tmp_path / "output before")

    return go
