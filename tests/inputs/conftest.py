from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tt_conda.inputs.lock import Wheel

MakeWheel = Callable[..., tuple[Path, Wheel]]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("TT_CONDA_CACHE", str(folder))
    return folder


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where pip looks."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def make_wheel(index: Path) -> MakeWheel:
    """Put a wheel into the index; returns it and its pin."""

    def make(name: str, version: str = "1.0", tag: str = "py3-none-any", size: int = 10) -> tuple[Path, Wheel]:
        path = index / f"{name}-{version}-{tag}.whl"
        info = f"{name}-{version}.dist-info"
        with zipfile.ZipFile(path, "w") as zf:
            zf.writestr(f"{name}/__init__.py", "#" * size)
            zf.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            zf.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
            zf.writestr(f"{info}/RECORD", "")
        data = path.read_bytes()
        python = "3.10" if "cp310" in tag else "3.12" if "cp312" in tag else ""
        return path, Wheel(
            name=name, version=version, python=python, filename=path.name, size=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
        )  # fmt: skip

    return make


Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve a folder over HTTP on loopback, with a handler of one's own if need be; returns the URL."""
    servers: list[ThreadingHTTPServer] = []

    def start(folder: Path, handler: type[SimpleHTTPRequestHandler] = SimpleHTTPRequestHandler) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
        Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
