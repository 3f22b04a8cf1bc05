"""Stores copied: export, import, and what may come in a listing."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stopping import stopped
from tt_conda.base import settings
from tt_conda.base.errors import TtCondaError
from tt_conda.inputs.lock import Lock, Wheel, dump
from tt_conda.inputs.mirrors import LISTING
from tt_conda.inputs.store import Store
from tt_conda.inputs.transfer import export, import_

Serve = Callable[..., str]
MakeWheel = Callable[..., tuple[Path, Wheel]]


def fill(store: Store, *names: str) -> dict[str, Path]:
    """Files in a store, by name; what is in each is its name."""
    found = {}
    for name in names:
        data = name.encode() * 1000
        with store.scratch() as scratch:
            (scratch / name).write_bytes(data)
            found[name] = store.put(scratch / name, hashlib.sha256(data).hexdigest())
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.glob("??/*/*") if not path.name.startswith(".")}  # fmt: skip


@pytest.fixture
def store(cache: Path) -> Store:
    return Store.default()


@pytest.fixture
def other(tmp_path: Path) -> Store:
    return Store(tmp_path / "other")


NAMES = ("a.whl", "clang_1%3a2~x_amd64.deb", "b+c.orig.tar.gz")


@pytest.mark.parametrize("way", ["folder", "http", "inputs"])
def test_there_and_back(store: Store, other: Store, tmp_path: Path, serve: Serve, way: str) -> None:
    """Through an exported folder, the same served, or somebody's own cache."""
    fill(store, *NAMES)
    assert export(tmp_path / "copy") == 3
    source = {"folder": str(tmp_path / "copy"), "http": serve(tmp_path / "copy"), "inputs": str(store.folder)}[way]
    assert import_(source, store=other) == (3, 0)
    assert files(other.folder) == files(store.folder) == files(tmp_path / "copy")
    assert import_(source, store=other) == (0, 3)


def test_the_listing_names_what_is_there(store: Store, tmp_path: Path) -> None:
    fill(store, *NAMES)
    export(tmp_path / "copy")
    listed = json.loads((tmp_path / "copy" / LISTING).read_text())["files"]
    paths = {f"{file['sha256'][:2]}/{file['sha256']}/{file['filename']}": file["size"] for file in listed}
    assert paths == {path: len(data) for path, data in files(tmp_path / "copy").items()}


def test_only_what_a_lock_file_pins(store: Store, other: Store, tmp_path: Path, make_wheel: MakeWheel) -> None:
    """Fetched, where it is not in the store."""
    pins = [make_wheel(name)[1] for name in ("one", "two")]
    for name, pin in zip("ab", pins, strict=True):
        dump(Lock(wheel=(pin,)), tmp_path / f"{name}.lock")
    fill(store, *NAMES)
    assert export(tmp_path / "copy", [tmp_path / "a.lock"]) == 1
    assert export(tmp_path / "copy", [tmp_path / "b.lock"]) == 2, "what was there is still listed"
    assert import_(str(tmp_path / "copy"), [tmp_path / "b.lock"], store=other) == (1, 0)
    assert other.get(pins[1].sha256, pins[1].filename) and not other.get(pins[0].sha256, pins[0].filename)


def test_what_is_damaged_in_a_copy_is_made_again(store: Store, tmp_path: Path) -> None:
    fill(store, *NAMES)
    export(tmp_path / "copy")
    victim = next((tmp_path / "copy").glob("??/*/a.whl"))
    victim.write_bytes(b"damaged")
    export(tmp_path / "copy")
    assert files(tmp_path / "copy") == files(store.folder)


def test_what_is_damaged_in_the_store_is_not_exported(store: Store, tmp_path: Path) -> None:
    fill(store, *NAMES)["a.whl"].write_bytes(b"damaged")
    assert export(tmp_path / "copy") == 2


def test_what_does_not_fit_its_hash_is_named_and_the_rest_is_taken(
    store: Store, other: Store, tmp_path: Path, serve: Serve
) -> None:
    fill(store, *NAMES)
    export(tmp_path / "copy")
    next((tmp_path / "copy").glob("??/*/a.whl")).write_bytes(b"other")
    shutil.rmtree(next((tmp_path / "copy").glob("??/*/b+c*")).parent)
    with pytest.raises(TtCondaError) as error:
        import_(serve(tmp_path / "copy"), store=other)
    assert "2 of 3 files" in error.value.what and "a.whl: has a different file" in error.value.what
    assert "b+c.orig.tar.gz: does not have it" in error.value.what and "1 imported now, 0 before" in error.value.way_out
    assert set(files(other.folder)) < set(files(store.folder))


GOOD = {"sha256": "ab" * 32, "filename": "a.whl", "size": 1}


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "<html>log in</html>", '{"format": 2, "files": []}', '{"files": 1}',
        *(json.dumps({"files": [{**GOOD, **wrong}]}) for wrong in (
            {"filename": "../../evil"}, {"filename": "/etc/passwd"}, {"filename": ".."}, {"filename": ""},
            {"filename": ".verified"}, {"filename": "a\nb"}, {"filename": "\x1b[2J"}, {"filename": "a" * 256},
            {"sha256": "../" + "ab" * 31}, {"sha256": "AB" * 32}, {"sha256": ""}, {"size": -1}, {"size": "x"},
        )),
    ],
)  # fmt: skip
def test_a_hostile_listing_is_refused_whole(other: Store, tmp_path: Path, serve: Serve, text: str) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / LISTING).write_text(text)
    url = serve(tmp_path / "copy")
    with pytest.raises(TtCondaError, match=LISTING) as error:
        import_(url, store=other)
    assert url in error.value.what and "\x1b" not in str(error.value) and not files(other.folder)


def test_names_in_a_folder_that_are_not_a_stores_are_left_alone(other: Store, tmp_path: Path) -> None:
    sha256 = "ab" * 32
    for name in (f"ab/{sha256}/.hidden", f"cd/{sha256}/a.whl", f"ab/{'AB' * 32}/a.whl", "ab/short/a.whl", "ab/file"):
        (tmp_path / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "copy" / name).write_text("x")
    assert import_(str(tmp_path / "copy"), store=other) == (0, 0)


def test_places_that_are_none(other: Store, store: Store, tmp_path: Path, serve: Serve) -> None:
    with pytest.raises(TtCondaError, match="there is no such folder"):
        import_(str(tmp_path / "nowhere"), store=other)
    with pytest.raises(TtCondaError, match=f"there is no {LISTING}") as error:
        import_(serve(tmp_path), store=other)
    assert "--lock" in error.value.way_out
    (tmp_path / "file").touch()
    with pytest.raises(TtCondaError, match="is not a folder"):
        export(tmp_path / "file")


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("direction", ["export", "import"])
def test_what_was_interrupted_goes_on(
    store: Store, tmp_path: Path, serve: Serve, direction: str, sign: signal.Signals
) -> None:
    """Each file is there whole or not at all, and the second run ends with everything."""
    source, copy = (Store(tmp_path / "source"), store.folder) if direction == "import" else (store, tmp_path / "copy")
    for number in range(12):
        data = bytes([number]) * 4_000_000
        with source.scratch() as scratch:
            (scratch / f"{number}.whl").write_bytes(data)
            source.put(scratch / f"{number}.whl", hashlib.sha256(data).hexdigest())
    if direction == "import":
        export(tmp_path / "source", store=source)
    place = serve(tmp_path / "source") if direction == "import" else str(copy)
    command = [sys.executable, "-m", "tt_conda.cli", "store", direction, place]
    stopped(command, r"rename .*/\d+\.whl$", sign, at=4, env=settings.own_environ())
    assert 0 < len(files(copy)) < 12
    for path, data in files(copy).items():
        assert hashlib.sha256(data).hexdigest() == path.split("/")[1]
    done = subprocess.run(command, env=settings.own_environ(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert files(copy) == files(source.folder)
    assert not list(copy.glob(".tmp-*")), "what the killed one left is swept"
