"""A lock file is installed exactly, or refused."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from rattler import LockFile

from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import digests
from tt_conda.channel import index
from tt_conda.environment import lockfile, solver
from tt_conda.environment.install import install

Make = Callable[..., Path]


@pytest.fixture
def lock(tmp_path: Path, channel: Path) -> Path:
    path = tmp_path / "tt-conda.lock"
    specs = ["tool", "lib 1.*"]
    lockfile.write_lock(path, solver.solve(specs, [channel]), specs, [channel])
    return path


def names(records: list[object]) -> set[str]:
    return {record.file_name for record in records}  # type: ignore[attr-defined]


def test_it_is_pixis_format_with_every_hash(lock: Path, channel: Path) -> None:
    text = lock.read_text()
    assert "- conda: ./channel/linux-64/lib-1.0-0.conda" in text
    [(name, env)] = LockFile.from_path(lock).environments()
    assert name == "default"
    [packages] = env.packages_by_platform().values()
    for package in packages:
        path = channel / "linux-64" / Path(package.location).name
        sha256, md5 = digests(path)
        record = package.package_record  # type: ignore[attr-defined]
        assert (record.sha256.hex(), record.md5.hex(), record.size) == (sha256, md5, path.stat().st_size)


def test_frozen_installs_exactly_it(tmp_path: Path, lock: Path, channel: Path, make: Make) -> None:
    install(["lib 2.*"], tmp_path / "env", [channel])
    index.publish([make("lib", "1.5")], channel)
    found = install([], tmp_path / "env", [channel], frozen=lock)
    assert names([*found]) == {"lib-1.0-0.conda", "tool-1.0-0.conda"}
    assert (tmp_path / "env/share/lib").read_text() == "lib 1.0 0"
    found = install(["tool"], tmp_path / "env", [channel])
    assert "lib-1.0-0.conda" in names([*found]), "what the lock was written for is remembered"


def test_it_survives_a_move_of_the_checkout(tmp_path: Path, lock: Path, channel: Path) -> None:
    there = tmp_path / "elsewhere" / "deep"
    there.mkdir(parents=True)
    shutil.move(lock, there)
    shutil.move(channel, there)
    lockfile.install_frozen(there / lock.name, tmp_path / "env")
    assert (tmp_path / "env/bin/tool").is_file()


def test_a_channel_elsewhere_is_searched_by_file_name(tmp_path: Path, lock: Path, channel: Path) -> None:
    shutil.move(channel, tmp_path / "moved")
    with pytest.raises(TtCondaError, match=r"lib-1\.0-0\.conda is missing"):
        install([], tmp_path / "env", [], frozen=lock)
    install([], tmp_path / "env", [tmp_path / "moved"], frozen=lock)
    assert (tmp_path / "env/bin/tool").is_file()


def test_another_sha256_is_refused(tmp_path: Path, lock: Path, channel: Path, make: Make) -> None:
    install(["tool", "lib 1.*"], tmp_path / "fills the cache", [channel])
    package = channel / "linux-64/lib-1.0-0.conda"
    before = digests(package)[0]
    index.publish([make("lib", "1.0", files={"share/lib": "rebuilt"})], channel)
    with pytest.raises(TtCondaError) as error:
        install([], tmp_path / "env", [channel], frozen=lock)
    for part in ("lib-1.0-0.conda", before, digests(package)[0]):
        assert part in error.value.what
    assert "tt-conda lock" in error.value.way_out
    assert not (tmp_path / "env/bin").exists()


def test_other_platforms_machines_and_specs_are_refused(tmp_path: Path, lock: Path, channel: Path, make: Make) -> None:
    with pytest.raises(TtCondaError, match=r"does not hold 'lib 2\.\*'"):
        install(["lib 2.*"], tmp_path / "env", [channel], frozen=lock)
    other = tmp_path / "other.lock"
    text = lock.read_text()
    other.write_text(re.sub("(- name: |^      )linux-64", r"\1osx-arm64", text, flags=re.M))
    with pytest.raises(TtCondaError, match="is for osx-arm64, and this machine is linux-64"):
        install([], tmp_path / "env", [channel], frozen=other)
    other.write_text(re.sub(r"( +)(depends:\n)", r"\1\2\1- __glibc >=99\n", text))
    with pytest.raises(TtCondaError, match="needs __glibc >=99, and this machine has __glibc 2"):
        install([], tmp_path / "env", [channel], frozen=other)


def test_where_it_cannot_be_written(lock: Path, channel: Path) -> None:
    """Nothing can be made in /proc, not even by root."""
    records = lockfile.read_lock(lock)
    for path in (Path("/proc/tt-conda.lock"), Path("/proc/new/tt-conda.lock")):
        with pytest.raises(TtCondaError, match=f"{path} cannot be written") as error:
            lockfile.write_lock(path, records, ["tool"], [channel])
        assert error.value.way_out


def test_what_is_no_file_stays(lock: Path, channel: Path, tmp_path: Path) -> None:
    records = lockfile.read_lock(lock)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    for name in ("fifo", "link", "channel"):
        with pytest.raises(TtCondaError, match=f"{name} cannot be written: it is no file") as error:
            lockfile.write_lock(tmp_path / name, records, ["tool"], [channel])
        assert error.value.way_out
    assert (tmp_path / "fifo").is_fifo() and (tmp_path / "link").is_symlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: len(text) // 2], "not a lock file|has no sha256"),
        (lambda text: "hello", "not a lock file"),
        (lambda text: "", "not a lock file"),
        (lambda text: re.sub(r"\n +sha256: .*", "", text), "has no sha256"),
        (None, "There is no lock file"),
    ],
)
def test_a_broken_lock_file(
    tmp_path: Path, lock: Path, channel: Path, change: Callable[[str], str] | None, message: str
) -> None:
    lock.write_text(change(lock.read_text())) if change else lock.unlink()
    with pytest.raises(TtCondaError, match=message) as error:
        install([], tmp_path / "env", [channel], frozen=lock)
    assert "tt-conda lock" in error.value.way_out
