"""Where keys go, which redirects are followed, and what is hidden."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from urllib.error import HTTPError, URLError

import pytest

from tt_conda.base.errors import TtCondaError
from tt_conda.base.http import may_follow, open_url
from tt_conda.base.secrets import hide, in_url

KEY = "a-key-that-nobody-may-read"


class Server:
    """Redirects ``/to/URL``, hangs at ``/hangs``, else says ``here``."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str | None]] = []
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.seen.append((self.path, self.headers.get("X-Api-Key")))
                if self.path == "/hangs":
                    time.sleep(5)
                    return
                self.send_response(302 if self.path.startswith("/to/") else 200)
                if self.path.startswith("/to/"):
                    self.send_header("Location", self.path.removeprefix("/to/"))
                self.send_header("Content-Length", "4")
                self.end_headers()
                self.wfile.write(b"here")

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def servers() -> Iterator[tuple[Server, Server]]:
    """Two origins."""
    both = Server(), Server()
    yield both
    for server in both:
        server.close()


def test_one_redirect_is_followed_without_the_key(servers: tuple[Server, Server]) -> None:
    first, second = servers
    with open_url(f"{first.url}/to/{second.url}/file", keys={"X-Api-Key": KEY}) as answer:
        assert answer.read() == b"here"
    assert first.seen[0][1] == KEY and second.seen == [("/file", None)]


def test_a_second_redirect_is_not_followed(servers: tuple[Server, Server]) -> None:
    first, second = servers
    with pytest.raises(HTTPError, match="more than one redirect"):
        open_url(f"{first.url}/to/{second.url}/to/{first.url}/file")
    assert len(first.seen) == 1


@pytest.mark.parametrize(
    "target", ["http://example.org/x", "https://example.org/x", "ftp://127.0.0.1/x", "file:///etc/passwd"]
)
def test_other_redirects_are_not_followed(servers: tuple[Server, Server], target: str) -> None:
    with pytest.raises(HTTPError, match="302"):
        open_url(f"{servers[0].url}/to/{target}")


@pytest.mark.parametrize(
    ("old", "new", "followed"),
    [
        ("https://a.org/x", "https://b.org/x", True), ("https://a.org/x", "http://a.org/x", False),
        ("http://a.org/x", "https://a.org/x", False), ("http://a.org/x", "http://a.org/y", False),
        ("https://a.org/x", "http://127.0.0.1/x", False), ("http://127.0.0.1:1/x", "http://localhost:2/x", True),
        ("http://127.0.0.1/x", "http://127.0.0.1.a.org/x", False), ("http://[::1]/x", "http://127.1.2.3/x", True),
        ("http://localhost/x", "http://localhost@a.org/x", False),
    ],
)  # fmt: skip
def test_which_redirects_are_followed(old: str, new: str, followed: bool) -> None:
    assert may_follow(old, new) is followed


@pytest.mark.parametrize(
    "url", ["http://a.org/x", "http://127.0.0.1.a.org/x", "http://localhost@a.org/x", "http://10.0.0.1/"]
)
def test_a_key_is_not_sent_unencrypted(url: str) -> None:
    with pytest.raises(TtCondaError, match="would be sent unencrypted"):
        open_url(url, keys={"X-Api-Key": KEY})


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a.org/x", "data:,x", "/etc/passwd"])
def test_other_schemes_are_none(url: str) -> None:
    with pytest.raises(ValueError, match="no address of http or https"):
        open_url(url)


def test_a_server_that_hangs(servers: tuple[Server, Server]) -> None:
    start = time.monotonic()
    with pytest.raises((TimeoutError, URLError)):
        open_url(f"{servers[0].url}/hangs", timeout=0.3)
    assert time.monotonic() - start < 4


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:word@host/x", "https://***@host/x"), ("https://word@host", "https://***@host"),
        ("ftp://me:w@rd@host/x", "ftp://***@host/x"), ("see https://host/t/abc-123/channel/x", "see https://host/t/***/channel/x"),
        ("https://host/x?token=abc&y=1", "https://host/x?token=***&y=1"), ("X-Api-Key: abcdefgh12", "X-Api-Key: ***"),
        ("Authorization: Bearer abcdefgh12", "Authorization: Bearer ***"), ("git@github.com:x/y", "git@github.com:x/y"),
        (f"it is {KEY}.", "it is ***."), ("https://host/x@y", "https://host/x@y"),
    ],
)  # fmt: skip
def test_hidden(text: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUETZ_API_KEY", KEY)
    assert hide(text) == shown


def test_which_urls_hold_secrets() -> None:
    assert in_url("https://me:word@host/x") and in_url("https://host/t/abc/x") and in_url("https://h/x?sig=1")
    assert not in_url("https://host/x") and not in_url("https://host/x?page=1")
