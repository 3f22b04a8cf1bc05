"""Publishing to a real Quetz server, and installing from it.

The one that ``TT_CONDA_QUETZ`` names or PATH has; else that of quetz.txt, installed once into the cache folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

import tools
from tt_conda.base import settings
from tt_conda.base.errors import TtCondaError
from tt_conda.channel import index, publish
from tt_conda.environment.install import install

Make = Callable[..., Path]
PINS = Path(__file__).with_name("quetz.txt")
KEY = "a-key-that-nobody-may-read"
NO_INDEX = re.compile(r"No matching distribution|NewConnectionError|ConnectTimeoutError|NameResolutionError|--no-index")
"""What pip says where it reaches no index, or one that has other packages."""
PREPARE = """
import sys
from quetz.dao import Dao
from quetz.database import get_session
from quetz.rest_models import BaseApiKey, Channel
dao = Dao(get_session("sqlite:///./quetz.sqlite"))
user = dao.create_user_with_role("tests", "owner")
for name in ("first", "second", "third"):
    dao.create_channel(Channel(name=name, private=False), user.id, "owner")
dao.create_api_key(user.id, BaseApiKey(description="tests", roles=[]), sys.argv[1])
"""


def program() -> str:
    """The path of ``quetz``; the test is left out where there is none and none can be had."""
    if os.environ.get(tools.VARIABLES["quetz"]) or shutil.which("quetz"):
        return tools.require("quetz")
    key = hashlib.sha256(PINS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = settings.cache_dir() / "venv" / f"quetz-{key}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:  # pytest-xdist's other workers
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / ".complete").exists():
            venv.create(folder, clear=True, symlinks=True, with_pip=True)
            pip = [folder / "bin/python", "-m", "pip", "--retries", "1", "--timeout", "15", "install", "-q", "-r", PINS]
            done = subprocess.run(pip, capture_output=True, text=True, check=False)
            if done.returncode and NO_INDEX.search(done.stderr):
                return tools.require("quetz")  # it says what is missing
            assert done.returncode == 0, done.stderr
            (folder / ".complete").touch()
    return str(folder / "bin/quetz")


@pytest.fixture(scope="module")
def quetz() -> str:
    return program()


@pytest.fixture(scope="module")
def server(quetz: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with empty channels ``first``, ``second`` and ``third``, to which our key may write."""
    folder = tmp_path_factory.mktemp("quetz")
    home = folder / "server"
    own = {**os.environ, "QUETZ_CONFIG_FILE": str(home / "config.toml")}
    for name in ("PYTHONPATH", "VIRTUAL_ENV"):
        own.pop(name, None)

    def call(*command: str | Path, cwd: Path = folder) -> None:
        done = subprocess.run(command, cwd=cwd, env=own, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    call(quetz, "create", home, "--create-conf")
    call(Path(quetz).with_name("python"), "-c", PREPARE, KEY, cwd=home)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = folder / "server.log"
    with log.open("w") as out:
        command = [quetz, "start", home, "--port", str(port), "--no-supervisor"]
        process = subprocess.Popen(command, cwd=folder, env=own, stdout=out, stderr=subprocess.STDOUT)
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(lambda: answers(f"{address}/health/ready"), log, process)
            yield address
        finally:
            process.terminate()
            process.wait()


def answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=10):
            return True
    except (URLError, OSError):
        return False


def wait_for(true: Callable[[], bool], log: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 300  # a loaded machine
    while not true():
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUETZ_API_KEY", KEY)


@pytest.fixture
def output(tmp_path: Path, make: Make) -> Path:
    """What was built: ``tool`` needs ``lib``, ``data`` is noarch."""
    folder = tmp_path / "project/output"
    packages = [
        make("tool", depends=["lib >=1"], summary="s"), make("lib", summary="s"),
        make("data", noarch="generic", summary="s"),
    ]  # fmt: skip
    index.publish(packages, folder)
    return folder


def indexed(address: str, output: Path) -> bool:
    """Whether the server's index, which it writes after it has answered an upload, has all packages."""
    for subdir in index.SUBDIRS:
        try:
            with urlopen(f"{address}/get/first/{subdir}/repodata.json", timeout=30) as answer:
                there = index.in_tables(answer.read())
        except URLError:
            return False
        here = index.in_tables((output / subdir / "repodata.json").read_bytes())
        if {n: r["sha256"] for n, r in there.items()} != {n: r["sha256"] for n, r in here.items()}:
            return False
    return True


def test_published_again_refused_and_installed(
    server: str, output: Path, tmp_path: Path, make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    destination = f"quetz+{server}/first"
    first = publish.publish(destination, output)
    assert sorted(first.published) == ["data-1.0-0.conda", "lib-1.0-0.conda", "tool-1.0-0.conda"]
    deadline = time.monotonic() + 120
    while not indexed(server, output):
        assert time.monotonic() < deadline, "the server does not index"
        time.sleep(0.2)
    again = publish.publish(destination, output)
    assert (again.published, len(again.there)) == ([], 3)

    records = install(["tool", "data"], tmp_path / "env", [f"{server}/get/first"])
    here = {path.name: record["sha256"] for path, record in index.records(output).items()}
    assert {record.file_name: record.sha256.hex() for record in records} == here
    assert (tmp_path / "env/share/tool").read_text() == "tool 1.0 0"

    index.publish([make("lib", files={"share/lib": "other"}, summary="s"), make("more", summary="s")], output)
    with pytest.raises(TtCondaError, match=r"other packages of these names:\n  linux-64/lib-1\.0-0\.conda"):
        publish.publish(destination, output)
    assert not answers(f"{server}/get/first/linux-64/more-1.0-0.conda"), "nothing was sent"
    assert KEY not in "".join(capsys.readouterr())


def test_an_index_that_is_older_than_what_the_server_holds(
    server: str, output: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refuses the names itself; what it has is fetched and compared."""
    publish.publish(f"quetz+{server}/second", output)

    def knows_nothing(self: Any, packages: Sequence[Any], **_: Any) -> list[Any]:
        return list(packages)

    monkeypatch.setattr(publish._Held, "not_listed", knows_nothing)
    monkeypatch.setattr(publish, "_LISTED_WITHIN", 0)
    again = publish.publish(f"quetz+{server}/second", output)
    assert (again.published, len(again.there)) == ([], 3)
    index.publish([make("lib", files={"share/lib": "other"}, summary="s")], output)
    with pytest.raises(TtCondaError, match=r"other packages of these names:\n  linux-64/lib-1\.0-0\.conda"):
        publish.publish(f"quetz+{server}/second", output)


def test_another_key(server: str, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUETZ_API_KEY", "another-key")
    with pytest.raises(TtCondaError, match=r"HTTP 401|401 Unauthorized") as error:
        publish.publish(f"quetz+{server}/third", output)
    assert "another-key" not in str(error.value) and "QUETZ_API_KEY" in str(error.value) + error.value.way_out


def test_a_channel_that_is_not_there(server: str, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quetz 0.10 says 500 of it, which may pass, so it is tried again."""
    monkeypatch.setattr(publish, "_PAUSES", (0.01,))
    with pytest.raises(TtCondaError, match=r"elsewhere does not take data-1\.0-0\.conda:\n +HTTP 500"):
        publish.publish(f"quetz+{server}/elsewhere", output)
