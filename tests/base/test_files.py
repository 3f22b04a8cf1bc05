"""Files that appear whole."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import disk_error_in, disk_errors, locked, scratch_folder, write_atomically


def test_threads_may_write_one_file_at_the_same_time(tmp_path: Path) -> None:
    """As packages that are audited side by side write what they found in a dependency of both."""
    path, contents = tmp_path / "file", [str(number) * 10_000 for number in range(10)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: write_atomically(path, contents[number % 10]), range(2_000)))
    assert path.read_text() in contents
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "x"), "The disk is full: {} has "),
        (OSError(errno.EFBIG, "x"), "{}: the file size limit"),
        (RuntimeError("rattler: copy failed (os error 28)"), "The disk is full: {} has "),
        (RuntimeError(f"tar: a: {os.strerror(errno.EDQUOT)}"), "The disk quota is used up"),
        (PermissionError(errno.EACCES, "denied", "/a/b"), "{}: no permission"),
        (OSError(errno.EROFS, "x"), "{}: the file system is read-only"),
    ],
)
def test_an_error_of_the_disk_names_the_folder_and_a_way_out(tmp_path: Path, error: Exception, message: str) -> None:
    with pytest.raises(TtCondaError) as raised, disk_errors(tmp_path / "not/there"):
        raise error
    folder = tmp_path / "not/there" if message.startswith("{}") else tmp_path
    assert raised.value.what.startswith(message.format(folder)) and raised.value.way_out


@pytest.mark.parametrize("error", [ValueError("a"), FileNotFoundError(errno.ENOENT, "x"), TtCondaError("os error 28")])
def test_other_errors_stay_what_they_are(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as raised, disk_errors(tmp_path):
        raise error
    assert raised.value is error


def test_a_program_s_own_words_for_a_full_disk() -> None:
    found = disk_error_in("tar: Wrote only 4096 of 10240 bytes", "Wrote only")
    assert found and found.errno == errno.ENOSPC and disk_error_in("tar: not an archive", "Wrote only") is None


def test_a_second_process_waits_and_says_so(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tt_conda.base.files import locked\n"
        "with locked(Path(sys.argv[1]), lambda: print('waiting', flush=True)): print('in')"
    )
    with locked(tmp_path / "lock"):
        command = [sys.executable, "-c", code, tmp_path / "lock"]
        second = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert second.stdout and second.stdout.readline() == "waiting\n"
    assert second.communicate()[0] == "in\n"


def test_a_scratch_folder_is_swept_once_nobody_holds_it(tmp_path: Path) -> None:
    left = tmp_path / ".tmp-left"
    left.mkdir()
    with scratch_folder(tmp_path, ".tmp-") as one, scratch_folder(tmp_path, ".tmp-") as two:
        assert one.is_dir() and two.is_dir() and not left.exists()
    assert not list(tmp_path.iterdir())
