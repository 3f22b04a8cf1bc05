"""Which channel counts where nobody names one: conda-forge if it answers, whatever else the network says."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tt_conda.base import settings
from tt_conda.base.location import channel_url
from tt_conda.channel.network import why_not
from tt_conda.commands import defaults

Serve = Callable[..., str]
PATIENCE = 0.5
JSON = b'{"info": {}, "packages": {}}'
ZSTD = b"\x28\xb5\x2f\xfd rest"
LOGIN = b"<!DOCTYPE html><title>Welcome to our network</title>"


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A server on loopback that answers with what ``pages`` has for a path: a status, headers and a body."""
    servers: list[ThreadingHTTPServer] = []
    over = threading.Event()

    def start(pages: Callable[[str], tuple[int, dict[str, str], bytes]], drip: bool = False) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers, body = pages(self.path)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                if drip:  # a header every now and then: no single read takes long, the answer never comes
                    for number in range(100):
                        self.send_header(f"X-{number}", "x")
                        self.flush_headers()
                        if over.wait(PATIENCE / 5):
                            return
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/conda-forge"

    yield start
    over.set()
    for server in servers:
        server.shutdown()
        server.server_close()


def only(name: str, body: bytes) -> Callable[[str], tuple[int, dict[str, str], bytes]]:
    return lambda path: (200, {}, body) if path.endswith(f"/{name}") else (404, {}, b"")


def moved_to(path: str, body: bytes) -> Callable[[str], tuple[int, dict[str, str], bytes]]:
    return lambda asked: (200, {}, body) if asked == path else (302, {"Location": path}, b"")


@pytest.mark.parametrize(
    "pages",
    [
        only("repodata.json", JSON),
        only("repodata.json.zst", ZSTD),
        moved_to("/elsewhere", ZSTD),
        lambda path: (401, {"WWW-Authenticate": "Bearer"}, b""),
    ],
    ids=["plain", "compressed", "moved", "with a key"],
)
def test_it_answers(serve: Serve, pages: Callable[[str], tuple[int, dict[str, str], bytes]]) -> None:
    assert why_not(serve(pages)) == ""


def test_a_folder_answers(tmp_path: Path, channel: Path) -> None:
    assert why_not(channel.as_uri()) == ""
    assert why_not((tmp_path / "nothing").as_uri()) != ""


@pytest.mark.parametrize(
    ("pages", "said"),
    [
        (lambda path: (404, {}, b"gone"), "404"),
        (lambda path: (200, {}, JSON) if "noarch" in path else (404, {}, b""), "linux-64/repodata.json: 404"),
        (lambda path: (200, {}, LOGIN), "is no index"),
        (moved_to("/login", LOGIN), "is no index"),
        (lambda path: (302, {"Location": path}, b""), "302"),
        (lambda path: (407, {}, b""), "407"),
        (lambda path: (200, {}, b""), "is no index"),
        (lambda path: (200, {"Content-Length": "100"}, b"("), "is no index"),
    ],
    ids=["nothing", "half a channel", "login page", "moved to a login page", "in circles", "proxy", "empty", "cut"],
)
def test_it_answers_something_else(
    serve: Serve, pages: Callable[[str], tuple[int, dict[str, str], bytes]], said: str
) -> None:
    assert said in why_not(serve(pages))


def test_nobody_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert "refused" in why_not(f"http://127.0.0.1:{port}/conda-forge")


def _is_told_soon(url: str) -> None:
    start = time.monotonic()
    assert why_not(url, PATIENCE) == f"no answer from {url} in 0.5 s"
    assert time.monotonic() - start < 2 * PATIENCE


def test_a_server_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # connections are accepted by the system, and that is all
        _is_told_soon(f"http://127.0.0.1:{server.getsockname()[1]}/conda-forge")


def test_a_server_that_never_ends(serve: Serve) -> None:
    _is_told_soon(serve(only("repodata.json.zst", ZSTD), drip=True))


def test_a_name_server_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def look_up(*_: object, **__: object) -> None:
        over.wait()
        raise socket.gaierror("stopped")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    _is_told_soon("https://channel.invalid/conda-forge")
    over.set()


@pytest.fixture
def conda_forge(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have nothing configured, and conda-forge at this address."""
    monkeypatch.setenv("TT_CONDA_CHANNELS", "")  # so that it is put back afterwards

    def put(url: str) -> None:
        monkeypatch.setattr(defaults, "channel_url", lambda name: url)

    return put


def test_conda_forge_is_taken_where_it_answers(
    serve: Serve, conda_forge: Callable[[str], None], capfd: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []
    conda_forge(serve(lambda path: asked.append(path) or (200, {}, ZSTD)))
    assert defaults.names() == defaults.others() == ["conda-forge"] and not defaults.is_embedded()
    assert os.environ["TT_CONDA_CHANNELS"] == "conda-forge", "children do not ask again"
    assert len(asked) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "conda-forge" in line and "TT_CONDA_CHANNELS=embedded" in line
    assert defaults.pythons() is None and defaults.overridden() == {}


def test_the_embedded_channel_stands_in(
    serve: Serve, conda_forge: Callable[[str], None], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = serve(lambda path: (404, {}, b""))
    conda_forge(url)
    assert defaults.names() == ["embedded"] == settings.channels() and defaults.is_embedded()
    assert os.environ["TT_CONDA_CHANNELS"] == "embedded"
    (line,) = capfd.readouterr().err.splitlines()
    assert "Channel: embedded (conda-forge does not answer: " in line and "404" in line
    assert "TT_CONDA_CHANNELS=conda-forge" in line
    monkeypatch.setattr("tt_conda.embedded.assemble.ensure_channel", lambda: Path("/made"))
    assert defaults.others() == [Path("/made")]
    assert defaults.others(["a", "embedded"]) == ["a", Path("/made")]
    assert defaults.overridden() and defaults.overridden(["conda-forge"]) == {}


def test_nobody_is_asked_where_somebody_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defaults, "why_not", lambda *_: pytest.fail("asked"))
    for chosen in ("embedded", "conda-forge", "http://a/b, embedded"):
        monkeypatch.setenv("TT_CONDA_CHANNELS", chosen)
        assert defaults.names() == [name.strip() for name in chosen.split(",")]
        assert defaults.is_embedded() == ("embedded" in chosen)
    assert not defaults.is_embedded(["conda-forge"]) and defaults.is_embedded(["embedded"])


def test_a_configured_mirror_is_asked(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """In its place; conda-forge itself is not."""
    url = serve(only("repodata.json", JSON))
    (tmp_path / "config.toml").write_text(f'[mirrors]\n"{channel_url("conda-forge")}" = ["{url}"]\n')
    monkeypatch.setenv("PIXI_CONFIG_FILE", str(tmp_path / "config.toml"))
    monkeypatch.setenv("TT_CONDA_CHANNELS", "")
    assert defaults.names() == ["conda-forge"]
    assert "conda-forge (it answers)" in capfd.readouterr().err
