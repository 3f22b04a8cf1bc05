"""What can go wrong while the channel is made: a message with a way out, and a channel that is valid all the same."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rattler.package_streaming import extract

from stopping import hears_ctrl_c, stopped
from tt_conda.base import settings
from tt_conda.base.errors import TtCondaError
from tt_conda.embedded import assemble, cpython

SOME = ("openmpi", "readline", "ccache", "libuuid", "libexpat", "make")
MAKE = """
import sys
from tt_conda.base.errors import TtCondaError
from tt_conda.embedded.assemble import ensure_channel
try:
    ensure_channel(sys.argv[1:])
except TtCondaError as error:
    print(error)
    sys.exit(2)
"""


@pytest.fixture
def cache(channel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder that has the inputs, and no channel."""
    inputs = settings.cache_dir() / "inputs"
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "inputs").symlink_to(inputs)
    monkeypatch.setenv("TT_CONDA_CACHE", str(folder))
    return folder


def _packages(channel: Path) -> Iterator[tuple[Path, str]]:
    for subdir in ("linux-64", "noarch"):
        file = channel / subdir / "repodata.json"
        if file.exists():
            for name, record in json.loads(file.read_text())["packages.conda"].items():
                yield channel / subdir / name, record["sha256"]


def _assert_valid(channel: Path) -> None:
    for path, sha256 in _packages(channel):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256, path


def _start(*names: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    command = [*prefix, sys.executable, "-c", MAKE, *names]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env=os.environ,
        preexec_fn=hears_ctrl_c,
    )  # fmt: skip


def test_both_interpreters_missing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpython, "_candidates", lambda version: iter(()))
    assert assemble.available_pythons() == {}
    with pytest.raises(TtCondaError) as error:
        assemble.ensure_channel()
    assert "neither CPython 3.10 nor CPython 3.12" in error.value.what
    assert "uv python install" in error.value.way_out and "pyenv install" in error.value.way_out
    assert not (cache / "channel").exists()


def test_one_interpreter_missing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = list(assemble.available_pythons())
    if len(here) < 2:
        pytest.skip("this machine has one of the two anyway")
    real = cpython._candidates
    monkeypatch.setattr(cpython, "_candidates", lambda version: real(version) if version == "3.12" else iter(()))
    channel = assemble.ensure_channel({"python_abi", "pyyaml"})
    assert [v for v in cpython.VERSIONS if v not in assemble.available_pythons()] == ["3.10"]
    names = [path.name for path, _ in _packages(channel)]
    assert (
        [name for name in names if name.startswith("python-")]
        == [name for name in names if name.startswith("python-3.12")]
        != []
    )
    assert not [name for name in names if "py310" in name or "cp310" in name]
    _assert_valid(channel)
    monkeypatch.setattr(cpython, "_candidates", real)  # it is installed later
    channel = assemble.ensure_channel({"python_abi", "pyyaml"})
    assert [path for path, _ in _packages(channel) if path.name.startswith("pyyaml-") and "py310" in path.name]


def test_shims_and_broken_programs_are_not_interpreters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim, broken = tmp_path / "shim/python3.10", tmp_path / "broken/python3.10"
    for path in (shim, broken):
        path.parent.mkdir()
    shim.write_text("#!/bin/sh\nexit 127\n")
    shutil.copyfile("/bin/false", broken)
    for path in (shim, broken):
        path.chmod(0o755)
    monkeypatch.setattr(cpython, "_candidates", lambda version: iter([shim, broken]))
    monkeypatch.setenv("TT_CONDA_CACHE", str(tmp_path / "cache"))
    assert cpython.find("3.10") is None


def test_part_of_the_channel_holds_what_it_depends_on(cache: Path) -> None:
    channel = assemble.ensure_channel({"openmpi"})
    names = {path.name.rsplit("-", 2)[0] for path, _ in _packages(channel)}
    assert {"openmpi", "mpi", "libhwloc", "libevent", "libpmix", "ucx", "libfabric1", "libzlib"} <= names
    assert "python" not in names
    with pytest.raises(TtCondaError, match="no package 'nonsense'"):
        assemble.ensure_channel({"nonsense"})


def test_a_lost_or_cut_package_is_made_again(cache: Path) -> None:
    channel = assemble.ensure_channel({"libxml2"})
    packages = [path for path, _ in _packages(channel)]
    packages[0].unlink()
    packages[1].write_bytes(packages[1].read_bytes()[:100])
    assemble.ensure_channel({"libxml2"})
    assert packages == [path for path, _ in _packages(channel)]
    _assert_valid(channel)


MOMENTS = {
    "it is locked": r"write .*/channel/\.lock$",
    "a Debian package is unpacked": r"start dpkg-deb --extract",
    "a package is there": r"rename .*/channel/linux-64/make-.*\.conda$",
    "what is known of it is there": r"rename .*/channel/\.records/make\.json$",
    "run exports are there": r"rename .*/channel/linux-64/run_exports\.json$",
    "an index is there": r"rename .*/channel/linux-64/repodata\.json$",
    "the other index is there": r"rename .*/channel/noarch/repodata\.json$",
    "it is called current": r"rename .*/channel/\.stamp\.json$",
}
"""What comes next when the making of a channel is stopped."""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
def test_stopped(cache: Path, sent: signal.Signals) -> None:
    channel = cache / "channel"
    command = [sys.executable, "-c", MAKE, "libuuid", "make"]
    for event in MOMENTS.values():
        shutil.rmtree(channel, ignore_errors=True)
        stopped(command, event, sent)
        _assert_valid(channel)
        if sent is signal.SIGINT:
            assert not list(channel.glob(".tmp-*"))
    subprocess.run(command, check=True)
    assert {path.name.split("-")[0] for path, _ in _packages(channel)} == {"libuuid", "make"}
    _assert_valid(channel)
    assert not list(channel.glob(".tmp-*"))


@pytest.mark.nightly
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_stopped_at_random_moments(cache: Path, sign: signal.Signals) -> None:
    channel = cache / "channel"
    chance = random.Random(sign.value)
    start = time.monotonic()
    done = _start(*SOME)
    assert done.communicate()[0] == "" and done.returncode == 0
    whole = time.monotonic() - start
    expected = {path.name for path, _ in _packages(channel)}
    removed: set[Path] = set()  # by the test, in any round, and not there again: named until a run notices
    for _ in range(40):
        if chance.random() < 0.3:
            shutil.rmtree(channel, ignore_errors=True)
        chosen = [path for path, _ in _packages(channel) if chance.random() < 0.6]
        for path in chosen:
            path.unlink(missing_ok=True)
        removed.update(chosen)
        process = _start(*SOME)
        time.sleep(chance.uniform(0.05, whole))
        if sign is signal.SIGKILL:
            os.killpg(process.pid, sign)
        else:
            process.send_signal(sign)
        process.communicate()
        if sign is signal.SIGINT:
            assert not list(channel.glob(".tmp-*"))
        removed -= {path for path in removed if path.exists()}
        for path, sha256 in _packages(channel):
            if path not in removed:
                assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    process = _start(*SOME)
    out, err = process.communicate()
    assert process.returncode == 0, out + err
    assert {path.name for path, _ in _packages(channel)} == expected
    _assert_valid(channel)
    assert not list(channel.glob(".tmp-*"))


def test_valid_before_and_after_every_single_step(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever moment a kill hits: it lies between two of these steps."""
    channel = assemble.ensure_channel({"libuuid", "make"})
    real = {"replace": Path.replace, "unlink": Path.unlink}
    steps: list[str] = []

    def watched(name: str) -> Callable[..., object]:
        def step(path: Path, *args: object, **options: object) -> object:
            if watching:
                _assert_valid(channel)
            result = real[name](path, *args, **options)  # type: ignore[operator]
            if watching:
                _assert_valid(channel)
                steps.append(f"{name} {path.name}")
            return result

        return step

    watching = False
    for name in real:
        monkeypatch.setattr(Path, name, watched(name))
    before = {path for path, _ in _packages(channel)}
    monkeypatch.setattr(assemble, "_SERIES", "another")  # everything is made anew, under other names
    watching = True
    assemble.ensure_channel({"libuuid", "make"})
    watching = False
    after = {path for path, _ in _packages(channel)}
    assert not before & after and not [path for path in before if path.exists()]
    assert len([step for step in steps if step.startswith("unlink") and ".conda" in step]) == len(before)


def test_what_somebody_removed_is_not_named_while_it_is_made_again(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    channel = assemble.ensure_channel({"libuuid", "make"})
    lost = next(path for path, _ in _packages(channel) if path.name.startswith("make-"))
    lost.unlink()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(assemble, "_build", killed)
        assemble.ensure_channel({"libuuid", "make"})
    assert lost not in dict(_packages(channel))
    _assert_valid(channel)
    assemble.ensure_channel({"libuuid", "make"})
    assert lost in dict(_packages(channel))


def test_packages_are_for_everybody_whatever_the_umask(cache: Path, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        channel = assemble.ensure_channel({"six", "libuuid", "openmpi"})
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    for package, _ in _packages(channel):
        assert package.stat().st_mode & 0o044 == 0o044
        extract(package, tmp_path / package.stem)
        for path in (tmp_path / package.stem).rglob("*"):
            wanted = 0o555 if path.is_dir() else 0o444
            assert path.is_symlink() or path.stat().st_mode & wanted == wanted, (package.name, path)


def test_two_processes_at_once(cache: Path) -> None:
    processes = [_start(*SOME) for _ in range(2)]
    for process in processes:
        out, err = process.communicate()
        assert process.returncode == 0, out + err
    _assert_valid(cache / "channel")


def test_a_full_disk(cache: Path, tmp_path: Path) -> None:
    unshare = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    if shutil.which("unshare") and not subprocess.run([*unshare, "true"], check=False).returncode:
        channel = cache / "channel"
        channel.mkdir()
        mount = f'mount -t tmpfs -o size=8m tmpfs "{channel}" && shift 0 && exec "$@"'
        process = _start("libopenblas", "libgcc", prefix=(*unshare, "sh", "-c", mount, "sh"))
    else:
        process = _start("libopenblas", "libgcc", prefix=("sh", "-c", 'ulimit -f 4000; exec "$@"', "sh"))
    out, err = process.communicate()
    assert process.returncode == 2, out + err
    assert str(cache / "channel") in out and ("TT_CONDA_CACHE" in out or "ulimit -f" in out)
    _assert_valid(cache / "channel")
    again = assemble.ensure_channel({"libopenblas", "libgcc"})
    assert {"libopenblas", "libgcc"} <= {path.name.rsplit("-", 2)[0] for path, _ in _packages(again)}
