"""Solving, installing, and running in an environment."""

from __future__ import annotations

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

from stopping import hears_ctrl_c, stopped, wait_until
from tt_conda.base.errors import TtCondaError
from tt_conda.channel import index
from tt_conda.channel.serve import serving
from tt_conda.environment import prefix as prefixes
from tt_conda.environment import shell, solver
from tt_conda.environment.install import install

Make = Callable[..., Path]


def files(prefix: Path) -> set[str]:
    return {
        str(path.relative_to(prefix))
        for path in prefix.rglob("*")
        if not path.is_dir() and path.parent.name != "conda-meta" and path.name != "CACHEDIR.TAG"
    }


def test_solve_takes_the_newest_and_knows_the_machine(tmp_path: Path, channel: Path, make: Make) -> None:
    index.publish([make("picky", depends=["__glibc >=2.17", "__unix", "__linux", "__archspec"])], channel)
    found = solver.solve(["tool", "picky"], [channel])
    assert {(record.name.normalized, str(record.version)) for record in found} == {
        ("lib", "2.0"), ("tool", "1.0"), ("picky", "1.0"),
    }  # fmt: skip
    assert [record.name.normalized for record in found].index("lib") < len(found) - 1


def test_an_unsatisfiable_pin_is_explained(channel: Path) -> None:
    with pytest.raises(TtCondaError) as error:
        solver.solve(["tool", "lib >=3"], [channel])
    assert "lib >=3" in error.value.what
    assert channel.as_uri() in error.value.way_out


def test_a_channel_that_is_given_twice_is_one(channel: Path) -> None:
    with pytest.raises(TtCondaError) as error:
        solver.solve(["lib >=3"], [channel, channel.as_uri()])
    assert error.value.way_out.count(channel.as_uri()) == 1


def test_two_packages_that_do_not_fit_are_both_named(tmp_path: Path, channel: Path, make: Make) -> None:
    index.publish([make("old", depends=["lib <2"]), make("new", depends=["lib >=2"])], channel)
    with pytest.raises(TtCondaError, match=r"(?s)old.*lib") as error:
        solver.solve(["old", "new"], [channel])
    assert "new" in error.value.what


@pytest.mark.parametrize(
    ("specs", "channels", "message"),
    [
        (["tool >"], None, "is not a package spec"),
        (["tool"], ["/does/not/exist"], "no channel in /does/not/exist"),
        (["tool"], ["https://name.invalid/c"], "cannot be read"),
        ([], None, "nothing to install"),
    ],
)
def test_bad_input(tmp_path: Path, channel: Path, specs: list[str], channels: list[str] | None, message: str) -> None:
    with pytest.raises(TtCondaError, match=message):
        install(specs, tmp_path / "env", channels or [channel])
    assert not files(tmp_path / "env")


def test_install_twice_is_a_no_op(tmp_path: Path, channel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(["tool"], tmp_path / "env", [channel])
    assert {"bin/tool", "share/lib"} <= files(tmp_path / "env")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "env").rglob("*.json")}

    def work(*_: object, **__: object) -> None:
        raise AssertionError("there is nothing to do")

    monkeypatch.setattr(prefixes, "verify", work)  # hashes packages
    monkeypatch.setattr(prefixes, "check_clobber", work)  # reads their lists of files
    monkeypatch.setattr(prefixes.rattler, "install", work)
    install(["tool"], tmp_path / "env", [channel])
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "env").rglob("*.json")} == before


def test_a_second_install_keeps_what_was_asked_for(tmp_path: Path, channel: Path, make: Make) -> None:
    install(["lib 1.*"], tmp_path / "env", [channel])
    found = install(["tool"], tmp_path / "env", [channel])
    assert {(record.name.normalized, str(record.version)) for record in found} == {("lib", "1.0"), ("tool", "1.0")}
    found = install(["lib 2.*"], tmp_path / "env", [channel])
    assert (tmp_path / "env/share/lib").read_text() == "lib 2.0 0"
    assert len(found) == 2


def test_a_rebuilt_package_of_the_same_name_is_installed(tmp_path: Path, channel: Path, make: Make) -> None:
    install(["tool"], tmp_path / "env", [channel])
    index.publish([make("lib", "2.0", files={"share/lib": "rebuilt"})], channel)
    install(["tool"], tmp_path / "env", [channel])
    assert (tmp_path / "env/share/lib").read_text() == "rebuilt"


def test_relocation(tmp_path: Path, channel: Path, make_placed: Make) -> None:
    index.publish([make_placed("placed")], channel)
    for name in ("one", "two"):
        install(["placed"], tmp_path / name, [channel])
        text = (tmp_path / name / "bin/placed").read_text()
        assert f"echo {tmp_path / name}/share" in text and "placehold" not in text


def test_two_packages_with_one_path_are_refused_before_anything_is_installed(
    tmp_path: Path, channel: Path, make: Make
) -> None:
    index.publish([make("left", files={"lib/same": "1"}), make("right", files={"lib/same": "2"})], channel)
    with pytest.raises(TtCondaError, match=r"lib/same: left-1\.0-0\.conda and right-1\.0-0\.conda"):
        install(["left", "right"], tmp_path / "env", [channel])
    assert not files(tmp_path / "env")
    install(["left"], tmp_path / "env", [channel])
    with pytest.raises(TtCondaError, match="lib/same"):
        install(["right"], tmp_path / "env", [channel])
    assert (tmp_path / "env/lib/same").read_text() == "1"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A channel's folder, and its address on a server."""
    folder = tmp_path / "served"
    index.publish([], folder)
    with serving([folder]) as url:
        yield folder, url


def test_two_packages_with_one_path_of_somebody_else_s_channel_are_a_warning(
    tmp_path: Path, channel: Path, make: Make, served: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """What conda-forge's packages do to each other is not in our hands; what ours do to them is."""
    folder, url = served
    remote = [
        make("left", files={"lib/same": "1", "lib/other": "1"}),
        make("right", files={"lib/same": "2", "lib/other": "2"}),
    ]
    index.publish(remote, folder)
    index.publish([make("mine", files={"lib/same": "3"})], channel)
    install(["left", "right", "tool"], tmp_path / "env", [channel, url])
    assert {"lib/same", "lib/other", "bin/tool"} <= files(tmp_path / "env")
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert "left-1.0-0.conda and right-1.0-0.conda both hold lib/" in warning and "and 1 more" in warning
    with pytest.raises(TtCondaError, match=r"lib/same: left-1\.0-0\.conda and mine-1\.0-0\.conda"):
        install(["left", "mine"], tmp_path / "env2", [channel, url])
    assert not files(tmp_path / "env2")


def test_clobber_sees_through_noarch_python(tmp_path: Path, channel: Path, make: Make) -> None:
    index.publish([
        make("python", "3.12.1", files={"bin/python": "#!/bin/sh\n"}),
        make("pure", files={"site-packages/m.py": "1"}, noarch="python"),
        make("compiled", files={"lib/python3.12/site-packages/m.py": "2"}),
    ], channel)  # fmt: skip
    with pytest.raises(TtCondaError, match=r"lib/python3\.12/site-packages/m\.py"):
        install(["python", "pure", "compiled"], tmp_path / "env", [channel])


def test_a_package_that_leaves_its_folder_is_refused(tmp_path: Path, channel: Path, make_placed: Make) -> None:
    index.publish([make_placed("placed", path="../outside")], channel)
    with pytest.raises(TtCondaError, match=r"\.\./outside would leave"):
        install(["placed"], tmp_path / "env", [channel])
    assert not (tmp_path / "outside").exists()


def test_a_folder_that_is_no_environment_is_left_alone(tmp_path: Path, channel: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/letter").write_text("dear")
    with pytest.raises(TtCondaError, match="not empty"):
        install(["tool"], tmp_path / "home", [channel])
    with pytest.raises(TtCondaError, match="is a file"):
        install(["tool"], tmp_path / "home/letter", [channel])
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["letter"]


@pytest.mark.parametrize("damage", ["flipped", "missing"])
def test_a_package_that_is_not_the_indexed_one_is_refused(tmp_path: Path, channel: Path, damage: str) -> None:
    package = channel / "linux-64/tool-1.0-0.conda"
    data = bytearray(package.read_bytes())
    data[len(data) // 2] ^= 1
    package.write_bytes(data) if damage == "flipped" else package.unlink()
    with pytest.raises(TtCondaError, match=r"tool-1\.0-0\.conda is (another|missing)"):
        install(["tool"], tmp_path / "env", [channel])
    assert not files(tmp_path / "env")


INSTALL = """
import sys
from pathlib import Path
from tt_conda.environment.install import install
prefix, channel = map(Path, sys.argv[1:])
install(["big 2.*", "tool"], prefix, [channel])
sys.stdin.read()
"""


@pytest.fixture
def big(tmp_path: Path, channel: Path, make: Make) -> Path:
    """An environment with ``big`` 1.0, of 200 files, as 2.0 has that the channel also holds."""
    for version in ("1.0", "2.0"):
        many = {f"share/big/{version}/{number}": f"{version} {number}" for number in range(200)}
        index.publish([make("big", version, files=many)], channel)
    install(["big ==1.0", "tool"], tmp_path / "env", [channel])
    return tmp_path / "env"


def completes(prefix: Path, channel: Path, version: str) -> None:
    """Whatever an interrupted run left, the next one makes of it what a new environment would be."""
    install([f"big =={version}", "tool"], prefix, [channel])
    install([f"big =={version}", "tool"], prefix.with_name("clean"), [channel])
    assert files(prefix) == files(prefix.with_name("clean"))
    assert all((prefix / f"share/big/{version}/{n}").read_text() == f"{version} {n}" for n in range(200))


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("event", ["rename .*/tt-conda.unfinished$", "remove .*/tt-conda.unfinished$"])
def test_stopped_at_the_journal(big: Path, channel: Path, event: str, sent: signal.Signals) -> None:
    """Another run takes the environment further, or back."""
    stopped([sys.executable, "-c", INSTALL, big, channel], event, sent)
    completes(big, channel, "1.0" if sent is signal.SIGKILL else "2.0")


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize(
    ("comes", "goes"),
    [
        ("cache/pkgs/big-2.0-0/share/big/2.0/0", ""), ("", "env/share/big/1.0/100"),
        ("", "env/conda-meta/big-1.0-0.json"), ("env/share/big/2.0/100", ""), ("env/conda-meta/big-2.0-0.json", ""),
    ],
)  # fmt: skip
def test_stopped_while_rattler_works(
    tmp_path: Path, big: Path, channel: Path, own_cache: Path, comes: str, goes: str, sent: signal.Signals
) -> None:
    """As soon as a file is unpacked, is linked, or is gone; rattler's threads go on until the signal has come."""
    shutil.rmtree(own_cache)
    command = [sys.executable, "-c", INSTALL, big, channel]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, preexec_fn=hears_ctrl_c) as child:
        wait_until(lambda: (tmp_path / comes).is_file() if comes else not (tmp_path / goes).exists(), child)
        child.send_signal(sent)
    assert child.returncode == -sent
    completes(big, channel, "2.0" if comes else "1.0")


AGAIN_AND_AGAIN = """
import sys
from pathlib import Path
from tt_conda.environment.install import install
prefix, channel = map(Path, sys.argv[1:])
print("ready", flush=True)
for round in range(1000):
    install([f"big {1 + round % 2}.*", "tool"], prefix, [channel])
"""


@pytest.mark.nightly
def test_stopped_at_random_moments(tmp_path: Path, big: Path, channel: Path, own_cache: Path) -> None:
    chance = random.Random(3)
    for turn in range(60):
        if turn % 2:  # unpacking is interrupted as well
            shutil.rmtree(own_cache, ignore_errors=True)
        with subprocess.Popen(
            [sys.executable, "-c", AGAIN_AND_AGAIN, big, channel],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, preexec_fn=hears_ctrl_c,
        ) as child:  # fmt: skip
            assert child.stdout and child.stdout.readline()
            time.sleep(chance.uniform(0, 0.25))
            child.send_signal(signal.SIGKILL if turn % 3 else signal.SIGINT)
        completes(big, channel, f"{1 + turn % 2}.0")


def test_a_run_that_ends_between_a_package_s_record_and_its_files(
    tmp_path: Path, channel: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.publish([make("big", v, files={f"share/{v}": v}) for v in ("1.0", "2.0")], channel)
    install(["big ==1.0"], tmp_path / "env", [channel])

    async def killed(*_: object, **__: object) -> None:
        next((tmp_path / "env/conda-meta").glob("big-1.0*.json")).unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("rattler.install", killed)
        install(["big ==2.0"], tmp_path / "env", [channel])
    assert "share/1.0" in files(tmp_path / "env")
    install(["big ==2.0"], tmp_path / "env", [channel])
    assert files(tmp_path / "env") == {"share/2.0"}


def test_a_run_that_ends_while_it_writes_down_another_wish(
    tmp_path: Path, channel: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is linked then, but a package's record is written anew."""
    index.publish([make("big", v, files={f"share/{v}": v}) for v in ("1.0", "2.0")], channel)
    install(["big ==1.0"], tmp_path / "env", [channel])

    async def killed(*_: object, **__: object) -> None:
        next((tmp_path / "env/conda-meta").glob("big-1.0*.json")).write_text("{")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("rattler.install", killed)
        install(["big 1.*"], tmp_path / "env", [channel])
    install(["big ==2.0"], tmp_path / "env", [channel])
    assert files(tmp_path / "env") == {"share/2.0"}


@pytest.mark.parametrize("full", ["prefix", "cache"])
def test_a_full_disk_is_named(
    tmp_path: Path, channel: Path, make: Make, monkeypatch: pytest.MonkeyPatch, full: str,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", small]
    if subprocess.run(mount, capture_output=True).returncode:  # who may not, may in a user namespace of their own
        if subprocess.run(["unshare", "-Urm", *mount], capture_output=True).returncode:
            pytest.skip("this machine lets only root mount a small disk")
        again = ["-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "--basetemp", tmp_path / "inside"]
        command = ["unshare", "-Urm", sys.executable, *again, f"{__file__}::{request.node.name}"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert "1 passed" in done.stdout, done.stdout + done.stderr
        return
    try:
        index.publish([make("big", files={"share/big": os.urandom(300_000).hex()})], channel)
        prefix = (small if full == "prefix" else tmp_path) / "env"
        if full == "cache":
            monkeypatch.setenv("TT_CONDA_CACHE", str(small / "cache"))
        with pytest.raises(TtCondaError, match=f"disk is full: {small}"):
            install(["big"], prefix, [channel])
        with pytest.raises(TtCondaError, match="disk is full"):
            index.publish([channel / "linux-64/big-1.0-0.conda"], small / "channel", keep=True)
        subprocess.run(["mount", "-o", "remount,size=9m", small], check=True)
        install(["big"], prefix, [channel])
        assert (prefix / "share/big").stat().st_size == 600_000
        index.publish([channel / "linux-64/big-1.0-0.conda"], small / "channel", keep=True)
        index.validate(small / "channel")
    finally:
        subprocess.run(["umount", small], check=True)


# --- running ---


@pytest.fixture
def prefix(tmp_path: Path, channel: Path) -> Path:
    folder = tmp_path / "an env's $(false)"
    install(["tool"], folder, [channel])
    return folder


def test_run_activates_and_returns_the_exit_code(prefix: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert shell.run(prefix, ["tool", "a b", "c"]) == 7
    assert capfd.readouterr().out == f"tool hello {prefix} a $b c 2\n"
    script = 'echo "$CONDA_PREFIX|${PATH%%:*}|$X"; kill -9 $$'
    assert shell.run(prefix, ["sh", "-c", script], env={"X": "x"}) == 137
    assert capfd.readouterr().out == f"{prefix}|{prefix}/bin|x\n"
    assert shell.run(prefix, ["sh", "-c", "env | grep -c _TT_; exit 127"]) == 127


def test_run_leaves_the_environment_that_was_active(
    tmp_path: Path, prefix: Path, channel: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    install(["lib"], tmp_path / "plain", [channel])
    monkeypatch.setenv("CONDA_PREFIX", str(prefix))
    monkeypatch.setenv("GREETING", "old")
    monkeypatch.setenv("PATH", f"{prefix}/bin:{os.environ['PATH']}")
    shell.run(tmp_path / "plain", ["sh", "-c", 'echo "$GREETING|$LEFT|$CONDA_PREFIX"; command -v tool'])
    assert capfd.readouterr().out == f"|{prefix}|{tmp_path}/plain\n"


def test_a_missing_command_and_a_missing_environment(tmp_path: Path, prefix: Path) -> None:
    with pytest.raises(TtCondaError, match="no command 'no-such-thing'"):
        shell.run(prefix, ["no-such-thing"])
    with pytest.raises(TtCondaError, match="no environment in"):
        shell.run(tmp_path / "nowhere", ["true"])
    with pytest.raises(TtCondaError, match="no command to run"):
        shell.run(prefix, [])


def test_signals_reach_the_command(prefix: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tt_conda.environment.shell import run;"
        "sys.exit(run(Path(sys.argv[1]), ['sh', '-c', 'trap \"exit 42\" TERM; echo up; while :; do sleep 0.05; done']))"
    )
    with subprocess.Popen([sys.executable, "-c", code, prefix], stdout=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline() == b"up\n"
        child.send_signal(signal.SIGTERM)
        assert child.wait(10) == 42


def test_run_imports_no_solver(prefix: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tt_conda.environment.shell import run;"
        "code = run(Path(sys.argv[1]), ['true']); sys.exit(code or 'rattler' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, prefix], check=False).returncode == 0


SHELL = """
import sys
from pathlib import Path
from tt_conda.environment.shell import shell
sys.exit(shell(Path(sys.argv[1])))
"""


def test_shell_runs_what_comes_in(prefix: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHELL, prefix], input="echo $GREETING\ntool\n", capture_output=True, text=True
    )
    assert done.stdout.splitlines() == [f"hello {prefix}", f"tool hello {prefix} a $b c 0"]
    assert done.returncode == 7


def test_interactive_bash_shows_the_environment(tmp_path: Path, prefix: Path) -> None:
    (tmp_path / ".bashrc").write_text('PS1="mine> "; export PATH="/usr/local/sbin:$PATH"\n')
    master, slave = os.openpty()
    env = {**os.environ, "HOME": str(tmp_path), "SHELL": "/bin/bash", "TERM": "dumb"}
    with subprocess.Popen(
        [sys.executable, "-c", SHELL, prefix], stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True
    ) as child:
        os.close(slave)
        os.write(master, b'echo "<${PATH%%:*}|$GREETING>"\nexit 5\n')
        seen = b""
        try:
            while block := os.read(master, 4096):
                seen += block
        except OSError:
            pass
        assert child.wait(10) == 5
    os.close(master)
    text = seen.decode()
    assert f"<{prefix}/bin|hello {prefix}>" in text
    assert f"({prefix.name}) mine> " in text
