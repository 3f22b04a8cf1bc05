"""Further places for pinned files: asked first, never believed, given up when they do not answer."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from tt_conda.base import process, settings
from tt_conda.base.errors import TtCondaError
from tt_conda.inputs import mirrors
from tt_conda.inputs.debian import fetch_debs
from tt_conda.inputs.lock import Deb, Source, Wheel
from tt_conda.inputs.mirrors import LISTING, Mirror
from tt_conda.inputs.store import Store
from tt_conda.inputs.transfer import StoredFile
from tt_conda.inputs.wheels import fetch_all, fetch_wheel

Serve = Callable[..., str]
MakeWheel = Callable[..., tuple[Path, Wheel]]
DATA = b"data" * 1000
FILE = StoredFile(sha256=hashlib.sha256(DATA).hexdigest(), filename="a+b%3a1~x_amd64.deb", size=len(DATA))


def put(folder: Path, file: StoredFile = FILE, data: bytes = DATA) -> Path:
    """A file in a mirror's folder."""
    path = folder / file.sha256[:2] / file.sha256 / file.filename
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "mirror"


@pytest.fixture
def store(cache: Path) -> Store:
    return Store.default()


@pytest.fixture(params=["folder", "file://", "http"])
def location(request: pytest.FixtureRequest, folder: Path, serve: Serve) -> str:
    folder.mkdir()
    return {"folder": str(folder), "file://": folder.as_uri(), "http": serve(folder)}[request.param]


def test_a_file_is_taken_from_it(folder: Path, location: str, store: Store) -> None:
    put(folder)
    path = Mirror(location + "/").fetch(FILE, store)
    assert path and path == store.get(FILE.sha256, FILE.filename, FILE.size) and path.read_bytes() == DATA


@pytest.mark.parametrize("data", [DATA[:-1], DATA[:-1] + b"X", DATA + b"X", b""], ids=["cut", "wrong", "long", "empty"])
def test_another_file_never_gets_in(
    folder: Path, location: str, store: Store, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    put(folder, data=data)
    mirror = Mirror(location)
    assert mirror.fetch(FILE, store) is None and not mirror.down
    assert not list(store.folder.rglob("*.deb")) and not list(store.folder.glob(".tmp-*"))
    assert mirror.location in capsys.readouterr().err and "which was not used" in mirror.said[FILE.sha256]


def test_more_than_the_pinned_size_is_not_read(folder: Path, location: str) -> None:
    put(folder, data=DATA * 3000)
    read = sum(map(len, Mirror(location)._read(f"{FILE.sha256[:2]}/{FILE.sha256}/{FILE.filename}", FILE.size)))
    assert read == FILE.size + 1


def test_what_it_does_not_have(folder: Path, location: str, store: Store) -> None:
    mirror = Mirror(location)
    assert mirror.fetch(FILE, store) is None
    assert mirror.said == {FILE.sha256: "does not have it"} and not mirror.down


def test_a_folder_in_the_place_of_a_file(folder: Path, location: str, store: Store) -> None:
    (folder / FILE.sha256[:2] / FILE.sha256 / FILE.filename).mkdir(parents=True)
    assert Mirror(location).fetch(FILE, store) is None


@pytest.mark.parametrize("name", ["../a", "a/b", "", "..", ".verified", "a\nb", "a" * 300])
def test_a_hostile_name_is_never_a_path(folder: Path, location: str, store: Store, name: str) -> None:
    hostile = StoredFile.model_construct(sha256=FILE.sha256, filename=name, size=1)
    with pytest.raises(TtCondaError, match="not a plain file name"):
        Mirror(location).fetch(hostile, store)


@pytest.mark.parametrize("location", ["ftp://example.org/x", "s3://bucket"])
def test_a_place_of_another_kind(location: str) -> None:
    with pytest.raises(TtCondaError, match=location):
        Mirror(location)


# --- places that do not work ---


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


class Drip(SimpleHTTPRequestHandler):
    """Sends a byte now and then."""

    asked = threading.Event()

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.asked.set()
        for _ in range(100):
            self.wfile.write(b"d")
            self.wfile.flush()
            time.sleep(0.1)


class Broken(SimpleHTTPRequestHandler):
    """Has trouble of its own."""

    def do_GET(self) -> None:
        self.send_error(503)


def test_a_place_that_hangs_is_given_up_and_not_asked_again(
    silent: str, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mirrors, "_ANSWER", 0.5)
    mirror = Mirror(silent)
    start = time.monotonic()
    for _ in range(20):
        assert mirror.fetch(FILE, store) is None
    assert time.monotonic() - start < 5
    assert capsys.readouterr().err.count("does not answer within") == 1


def test_a_place_that_is_too_slow_is_given_up(
    folder: Path, serve: Serve, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "_ANSWER", 1.0)
    mirror = Mirror(serve(folder, Drip))
    start = time.monotonic()
    assert mirror.fetch(FILE, store) is None and "too slow" in mirror.down
    assert time.monotonic() - start < 8


def test_what_is_down(folder: Path, serve: Serve, store: Store, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    places = {
        f"http://127.0.0.1:{port}": "Connection refused",
        serve(folder, Broken): "HTTP 503",
        str(tmp_path / "nowhere"): "no such folder",
        "http://nowhere.invalid": "cannot be reached",
    }
    for place, said in places.items():
        mirror = Mirror(place)
        assert mirror.fetch(FILE, store) is None and said in mirror.down, place


def test_ctrl_c_ends_a_download(folder: Path, serve: Serve, store: Store) -> None:
    """Its thread sees it between two pieces, though the server would go on for ten seconds."""
    mirror = Mirror(serve(folder, Drip))
    Drip.asked.clear()
    with pytest.raises(KeyboardInterrupt), process.Pool(1) as pool:
        pool.submit(mirror.fetch, FILE, store)
        assert Drip.asked.wait(60)
        start = time.monotonic()
        raise KeyboardInterrupt
    assert time.monotonic() - start < 5
    assert not process.stopped.is_set()


# --- where they are asked ---


def test_a_wheel_that_the_index_has_no_longer(
    cache: Path, folder: Path, make_wheel: MakeWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source, gone), (_, there) = make_wheel("gone"), make_wheel("there")
    put(folder, StoredFile(sha256=gone.sha256, filename=gone.filename, size=gone.size), source.read_bytes())
    source.unlink()
    monkeypatch.setenv("TT_CONDA_STORES", f"/nonexistent, {folder}")
    found = fetch_all([gone, there])
    assert {path.name for path in found.values()} == {gone.filename, there.filename}


def test_debian_files_and_sources(cache: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """apt is not even asked."""
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setenv("TT_CONDA_STORES", str(folder))
    pins: list[Deb | Source] = []
    for number, (kind, name) in enumerate({Deb: "a_1_amd64.deb", Source: "b_1.orig.tar.gz"}.items()):
        data = bytes([number])
        sha256 = hashlib.sha256(data).hexdigest()
        put(folder, StoredFile(sha256=sha256, filename=name, size=1), data)
        pins.append(kind(name=name[0], version="1", filename=name, size=1, sha256=sha256))
    assert set(fetch_debs(pins)) == {pin.sha256 for pin in pins}


def test_an_error_says_which_places_were_tried_and_the_way_out(
    cache: Path, folder: Path, make_wheel: MakeWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, gone = make_wheel("gone")
    source.unlink()
    folder.mkdir()
    monkeypatch.setenv("TT_CONDA_STORES", f"{folder},/nonexistent")
    with pytest.raises(TtCondaError) as error:
        fetch_wheel(gone, lock="my wheels.lock")
    assert f"{folder}: does not have it" in error.value.what
    assert "/nonexistent: there is no such folder" in error.value.what
    assert "TT_CONDA_STORES" in error.value.way_out and "tt-conda lock-inputs 'my wheels.lock'" in error.value.way_out


FULL = """
import resource, sys
from pathlib import Path
from tt_conda.base.errors import TtCondaError
from tt_conda.inputs.transfer import StoredFile, export, import_
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    import_(sys.argv[1]) if sys.argv[2] == "import" else export(Path(sys.argv[1]))
except TtCondaError as error:
    print(error)
    sys.exit(2)
"""


@pytest.mark.parametrize("direction", ["import", "export"])
def test_a_full_disk_is_explained(folder: Path, store: Store, direction: str) -> None:
    """A limit on the size of files takes the same way through the code."""
    data = b"x" * 3_000_000
    big = StoredFile(sha256=hashlib.sha256(data).hexdigest(), filename="big.whl", size=len(data))
    put(folder if direction == "import" else store.folder, big, data)
    filled = store.folder if direction == "import" else folder
    command = [sys.executable, "-c", FULL, str(folder), direction]
    done = subprocess.run(command, text=True, capture_output=True, env=settings.own_environ())
    assert done.returncode == 2, done.stderr
    assert str(filled) in done.stdout and "too small" in done.stdout and "run the command again" in done.stdout
    assert not [path for path in filled.rglob("*") if path.is_file() and path.name != LISTING]


def test_a_store_by_url_needs_no_listing_for_a_pin(folder: Path, serve: Serve, store: Store) -> None:
    put(folder)
    assert not (folder / LISTING).exists()
    assert Mirror(serve(folder)).fetch(FILE, store)
