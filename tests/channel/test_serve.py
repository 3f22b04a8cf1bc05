"""Channels over HTTP: what is answered and what is not, while files change, to readers and from the command line."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tt_conda.base.errors import TtCondaError
from tt_conda.channel import index, serve
from tt_conda.channel.serve import URL_VARIABLE, serving
from tt_conda.environment.install import install

Make = Callable[..., Path]
PACKAGE = "linux-64/lib-1.0-0.conda"


@pytest.fixture
def url(channel: Path) -> Iterator[str]:
    with serving([channel]) as url:
        yield url


def ask(url: str, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers, body; the path is sent as it is."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def test_a_file(url: str, channel: Path) -> None:
    content = (channel / PACKAGE).read_bytes()
    status, headers, body = ask(url, f"/{PACKAGE}")
    assert (status, body) == (200, content)
    assert headers["content-length"] == str(len(content)) and headers["content-type"] == "application/octet-stream"
    assert headers["accept-ranges"] == "bytes" and "content-encoding" not in headers
    status, of_head, body = ask(url, f"/{PACKAGE}", "HEAD")
    assert (status, body) == (200, b"")
    assert {**of_head, "date": ""} == {**headers, "date": ""}


@pytest.mark.parametrize(
    ("name", "kind"),
    [("repodata.json", "application/json"), ("repodata.json.zst", "application/zstd"),
     ("page.html", "text/html; charset=utf-8"), ("lib-1.0-0.tar.bz2", "application/octet-stream")],
)  # fmt: skip
def test_content_types(url: str, channel: Path, name: str, kind: str) -> None:
    """Compressed files are what they are: a client that was told an encoding would unpack them once too often."""
    (channel / "noarch" / name).write_bytes(b"{}")
    status, headers, body = ask(url, f"/noarch/{name}", Accept_Encoding="gzip, zstd, bzip2")
    assert (status, headers["content-type"], body) == (200, kind, b"{}")
    assert "content-encoding" not in headers


@pytest.mark.parametrize(
    ("asked", "part"), [("bytes=0-9", slice(0, 10)), ("bytes=10-", slice(10, None)), ("bytes=-7", slice(-7, None))]
)
def test_ranges(url: str, channel: Path, asked: str, part: slice) -> None:
    content = (channel / PACKAGE).read_bytes()
    status, headers, body = ask(url, f"/{PACKAGE}", Range=asked)
    start = part.indices(len(content))[0]
    assert (status, body) == (206, content[part])
    assert headers["content-range"] == f"bytes {start}-{start + len(body) - 1}/{len(content)}"


def test_a_range_that_is_not_there(url: str, channel: Path) -> None:
    status, headers, _ = ask(url, f"/{PACKAGE}", Range="bytes=99999999-")
    assert status == 416 and headers["content-range"] == f"bytes */{(channel / PACKAGE).stat().st_size}"


def test_a_download_that_goes_on_after_the_file_was_replaced_starts_anew(url: str, channel: Path) -> None:
    _, headers, _ = ask(url, f"/{PACKAGE}")
    assert ask(url, f"/{PACKAGE}", Range="bytes=5-", If_Range=headers["etag"])[0] == 206
    new = channel / "linux-64/.new.partial"
    new.write_bytes((channel / PACKAGE).read_bytes()[::-1])
    new.replace(channel / PACKAGE)
    status, _, body = ask(url, f"/{PACKAGE}", Range="bytes=5-", If_Range=headers["etag"])
    assert (status, body) == (200, (channel / PACKAGE).read_bytes())


def test_a_reader_asks_each_time_and_gets_a_file_once(url: str, channel: Path, make: Make) -> None:
    status, headers, _ = ask(url, "/linux-64/repodata.json")
    assert headers["cache-control"] == "no-cache"
    again = ask(url, "/linux-64/repodata.json", If_None_Match=headers["etag"])
    assert (again[0], again[2], again[1]["etag"], again[1]["cache-control"]) == (304, b"", headers["etag"], "no-cache")
    assert ask(url, "/linux-64/repodata.json", If_Modified_Since=headers["last-modified"])[0] == 304
    index.publish([make("more")], channel)
    status, _, body = ask(url, "/linux-64/repodata.json", If_None_Match=headers["etag"])
    assert status == 200 and b"more-1.0-0.conda" in body


@pytest.mark.parametrize(
    "path",
    ["/../secret", "/linux-64/../../secret", "/%2e%2e/secret", "/..%2fsecret", "/linux-64/%2e%2e/%2e%2e/secret",
     "/..\\secret", "//secret", "/{folder}/secret", "//{folder}/secret", "/linux-64/..", "/%00", "/linux-64\0",
     "/.state/x", "/linux-64/.tt-conda-index.json", "/.tt-conda.lock", "/%2estate/x",
     "/linux-64/%2Ett-conda-index.json",
     "/nothing", "/linux-64/nothing/", f"/{PACKAGE}/", f"/{PACKAGE}/x"],
)  # fmt: skip
def test_no_file_outside_and_none_with_a_dot(url: str, channel: Path, path: str) -> None:
    (channel.parent / "secret").write_text("secret")
    (channel / ".state").mkdir()
    (channel / ".state/x").write_text("secret")
    assert (channel / "linux-64/.tt-conda-index.json").is_file() and (channel / ".tt-conda.lock").is_file()
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=30) as sent:  # as written
        asked = path.replace("{folder}", str(channel.parent).strip("/"))
        sent.sendall(f"GET {asked} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: sent.recv(65536), b""))
    assert answer.split()[1] in (b"404", b"400") and b"\r\n\r\nsecret" not in answer


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_is_written(url: str, channel: Path, method: str) -> None:
    status, headers, _ = ask(url, f"/{PACKAGE}", method)
    assert status == 405 and headers["allow"] == "GET, HEAD"
    assert (channel / PACKAGE).is_file()


def test_a_folder_is_its_page(url: str, channel: Path) -> None:
    (channel / "noarch/index.html").write_text("page")
    status, headers, _ = ask(url, "/noarch")
    assert status == 301 and headers["location"].endswith("/noarch/")
    assert ask(url, "/noarch/")[::2] == (200, b"page")


def test_several_channels(channel: Path, tmp_path: Path, make: Make) -> None:
    other = tmp_path / "the other"
    index.publish([make("alone")], other)
    with serving([channel, other]) as url:
        assert b"the%20other/" in ask(url, "/")[2] and b"channel/" in ask(url, "/")[2]
        assert ask(url, f"/channel/{PACKAGE}")[0] == 200
        assert ask(url, "/the%20other/linux-64/alone-1.0-0.conda")[0] == 200
        assert ask(url, "/channel/linux-64/alone-1.0-0.conda")[0] == 404
        assert ask(url, "/channel/../the%20other/linux-64/alone-1.0-0.conda")[0] == 404
        assert ask(url, "/the%20other")[1]["location"].endswith("/the%20other/")


def test_rattler_installs_from_it(url: str, tmp_path: Path) -> None:
    records = install(["tool"], tmp_path / "env", [url])
    assert {record.name.normalized for record in records} == {"tool", "lib"}
    assert all(str(record.url).startswith(url) for record in records)


def test_many_at_once_while_files_are_replaced(url: str, channel: Path, make: Make) -> None:
    """Each answer is one whole state of the file."""
    big = channel / "noarch/big.json"
    states = [json.dumps([number] * 200_000).encode() + b" " * number for number in range(5)]
    big.write_bytes(states[0])
    wrong: list[str] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            status, _, body = ask(url, "/noarch/big.json")
            if status != 200 or body not in states:
                wrong.append(f"{status}, {len(body)} bytes")

    readers = [threading.Thread(target=read) for _ in range(12)]
    for reader in readers:
        reader.start()
    for number in range(60):
        partial = big.with_name(".big.partial")
        partial.write_bytes(states[number % 5])
        partial.replace(big)
        time.sleep(0.01)
    done.set()
    for reader in readers:
        reader.join()
    assert not wrong


def test_nothing_is_said_of_requests_that_wait(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    go_on, send = threading.Event(), serve._send

    def wait(*words: Any) -> Any:
        go_on.wait()
        return send(*words)

    monkeypatch.setattr(serve, "_send", wait)
    with ThreadPoolExecutor(serve._THREADS + 4) as readers:
        answers = [readers.submit(ask, url, f"/{PACKAGE}") for _ in range(serve._THREADS + 4)]
        time.sleep(0.5)  # until all threads have one
        go_on.set()
    assert [answer.result()[0] for answer in answers] == [200] * len(answers)
    assert not caplog.records


def test_what_cannot_be_served(channel: Path, tmp_path: Path) -> None:
    with pytest.raises(TtCondaError, match="There is no channel in"), serving([tmp_path / "nothing"]):
        pass
    (tmp_path / "x").mkdir()
    (tmp_path / "x/channel").symlink_to(channel)
    index.publish([], tmp_path / "x/y/channel")
    with pytest.raises(TtCondaError, match="same name"), serving([channel, tmp_path / "x/y/channel"]):
        pass
    with serving([channel]) as url:
        taken = urlsplit(url).port
        assert taken
        with pytest.raises(TtCondaError, match=f"port {taken}: .*in use") as error, serving([channel], port=taken):
            pass
        assert "--port" in error.value.way_out
    with serving([channel], port=taken) as url:  # it is free again at once
        assert ask(url, f"/{PACKAGE}", "HEAD")[0] == 200
    with pytest.raises(TtCondaError, match="cannot listen on"), serving([channel], "no.such.host.invalid"):
        pass


def start(*arguments: str, project: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tt_conda.cli", "serve", *arguments], text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "TT_CONDA_PROJECT": str(project)},
    )  # fmt: skip


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_output_until_it_is_stopped(tmp_path: Path, channel: Path, end: signal.Signals) -> None:
    channel.rename(tmp_path / "output")
    with start("--port", "0", project=tmp_path) as server:
        assert server.stdout and server.stderr
        url = server.stdout.readline().strip()
        assert ask(url, f"/{PACKAGE}", "HEAD")[0] == 200
        said = "".join(iter(server.stderr.readline, "Stop with ^C.\n"))
        with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port)):  # somebody who says nothing
            server.send_signal(end)
            rest = server.communicate(timeout=20)
    assert (server.returncode, *rest) == (0, "", "")
    assert f"--channel {url}" in said and f'channels = ["{url}", "conda-forge"]' in said


def test_a_command_beside_it(channel: Path, tmp_path: Path) -> None:
    code = (
        f"import os, sys, urllib.request; url = os.environ['{URL_VARIABLE}']\n"
        f"print(urllib.request.urlopen(url + '/{PACKAGE}').status, sys.argv[1:]); sys.exit(7)"
    )
    with start(str(channel), "--", sys.executable, "-c", code, "--port", "--", "-x", project=tmp_path) as run:
        out, err = run.communicate(timeout=60)
    assert (run.returncode, out) == (7, "200 ['--port', '--', '-x']\n"), err
    with start(str(channel), "--", "no-such-program", project=tmp_path) as run:
        out, err = run.communicate(timeout=60)
    assert run.returncode == 2 and "no-such-program: no such command" in err
    with start(str(channel), "--", "sh", "-c", "kill -TERM $$", project=tmp_path) as run:
        run.communicate(timeout=60)
    assert run.returncode == 128 + signal.SIGTERM


def test_a_signal_goes_to_the_command_beside_it(channel: Path, tmp_path: Path) -> None:
    script = "trap 'echo told; exit 5' TERM; echo ready; while :; do sleep 0.1; done"
    with start(str(channel), "--", "sh", "-c", script, project=tmp_path) as run:
        assert run.stdout and run.stdout.readline() == "ready\n"
        run.send_signal(signal.SIGTERM)
        out, err = run.communicate(timeout=60)
    assert (run.returncode, out) == (5, "told\n"), err
