"""Archives from servers, which name them as they like and stop when they like."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tt_conda.offline.download import NotDownloaded, download

Serve = Callable[[dict[str, str], bytes], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Answer with these headers and this content; the URL."""
    servers: list[ThreadingHTTPServer] = []

    def start(headers: dict[str, str], content: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments: object) -> None: ...

        servers.append(server := ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("path", "given", "name"),
    [
        ("/a/x-1.tar.gz?token=1", "", "x-1.tar.gz"),
        ("/archive/v1.zip", 'attachment; filename="x-1.zip"', "x-1.zip"),
        ("/x.zip", 'attachment; filename="../../../evil.zip"', "evil.zip"),
        ("/x.zip", 'attachment; filename=".hidden"', "x.zip"),
        ("/", "", "download"),
    ],
)
def test_the_file_has_the_server_s_name_or_the_address_s(
    serve: Serve, tmp_path: Path, path: str, given: str, name: str
) -> None:
    told: list[tuple[int, int]] = []
    url = serve({"Content-Disposition": given} if given else {}, b"x" * (3 << 20))
    file = download(f"{url}{path}", tmp_path, lambda done, total: told.append((done, total)))
    assert file == tmp_path / name and file.stat().st_size == 3 << 20
    assert told[-1] == (3, 3)


def test_a_server_that_stops_in_the_middle(serve: Serve, tmp_path: Path) -> None:
    url = serve({"Content-Length": "1000"}, b"x" * 10)
    with pytest.raises(NotDownloaded, match=r"10 of 1000 bytes|broke off"):
        download(f"{url}/x.zip", tmp_path, lambda done, total: None)


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotDownloaded, match="cannot be reached: "):
        download("http://127.0.0.1:9/x.zip", tmp_path, lambda done, total: None)
    with pytest.raises(NotDownloaded, match="cannot be reached: "):
        download("no address", tmp_path, lambda done, total: None)
