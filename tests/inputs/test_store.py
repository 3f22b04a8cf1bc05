from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tt_conda.base.errors import TtCondaError
from tt_conda.inputs.store import Store

DATA = b"data" * 1000
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_put_and_get(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "a.whl"
    source.write_bytes(DATA)
    assert store.get(SHA, "a.whl") is None
    path = store.put(source, SHA)
    assert store.get(SHA, "a.whl", len(DATA)) == path and path.read_bytes() == DATA


def test_put_refuses_another_file(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"other")
    with pytest.raises(TtCondaError, match="expected sha256"):
        store.put(tmp_path / "a", SHA)
    assert store.get(SHA, "a") is None


def test_a_damaged_file_is_not_returned(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(DATA)
    path = store.put(tmp_path / "a", SHA)
    path.write_bytes(DATA[:-1] + b"X")
    assert store.get(SHA, "a", len(DATA)) is None
    assert not path.exists()


def test_the_second_look_does_not_hash(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_bytes(DATA)
    store.put(tmp_path / "a", SHA)

    def fail(path: Path) -> str:
        raise AssertionError(path)

    monkeypatch.setattr("tt_conda.inputs.store.sha256_of", fail)
    assert store.get(SHA, "a", len(DATA))


@pytest.mark.parametrize("name", ["../a", "a/b", "", ".."])
def test_only_plain_names(store: Store, name: str) -> None:
    with pytest.raises(TtCondaError):
        store.get(SHA, name)


def test_leftovers_of_killed_processes_are_removed(store: Store) -> None:
    old = store.folder / ".tmp-999999999-x"
    old.mkdir(parents=True)
    with store.scratch() as folder:
        assert folder.exists() and not old.exists()
    assert not folder.exists()


FILL = """
import hashlib, sys
from pathlib import Path
from tt_conda.base.errors import TtCondaError
from tt_conda.inputs.store import Store
folder = Path(sys.argv[1])
data = b"x" * 3_000_000
sha = hashlib.sha256(data).hexdigest()
source = Path(sys.argv[2]) / "big.whl"
source.write_bytes(data)
if sys.argv[3] == "limit":
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    Store(folder).put(source, sha)
except TtCondaError as error:
    print(error)
    assert Store(folder).get(sha, "big.whl") is None
    assert not list(folder.rglob(".part-*"))
    sys.exit(2)
"""


def test_a_full_disk_is_explained(tmp_path: Path) -> None:
    full, other = tmp_path / "full", tmp_path / "other"
    full.mkdir()
    other.mkdir()
    script = tmp_path / "fill.py"
    script.write_text(FILL)
    command = [sys.executable, str(script), str(full / "store"), str(other)]
    mount = f'mount -t tmpfs -o size=1m tmpfs "{full}" && exec "$@" tmpfs'
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    possible = shutil.which("unshare") and not subprocess.run([*unshare, "true"], check=False).returncode
    if possible:
        done = subprocess.run([*unshare, "sh", "-c", mount, "sh", *command], text=True, capture_output=True)
    else:  # a file size limit takes the same way through the code (the store copies between file systems)
        if Path("/dev/shm").stat().st_dev != tmp_path.stat().st_dev:
            command[3] = "/dev/shm"
        done = subprocess.run([*command, "limit"], text=True, capture_output=True)
    assert done.returncode == 2, done.stderr
    assert "TT_CONDA_CACHE" in done.stdout
    assert ("full" in done.stdout) or ("too small" in done.stdout)
