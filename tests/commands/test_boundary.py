"""Failures that no command expects: each is a message and an exit code, never a traceback, a signal or a verdict."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from published import PROJECT
from stopping import listens
from tt_conda.base.errors import ExitCode

Run = Callable[..., "subprocess.CompletedProcess[str]"]
CLI = f"{sys.executable} -m tt_conda.cli"
SECRET = "s3cr3t-of-a-server"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a line of bash in an empty folder with an empty cache."""

    def call(line: str, **more: str) -> subprocess.CompletedProcess[str]:
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("TT_CONDA", "CONDA"))}
        environ |= {"TT_CONDA_CACHE": str(tmp_path / "cache"), "COLUMNS": "100", "TT": CLI, **more}
        return subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    return call


def ends(done: subprocess.CompletedProcess[str], code: int, said: str = "") -> None:
    assert done.returncode == code, done
    assert said in done.stderr and "Traceback" not in done.stderr and "Traceback" not in done.stdout, done


# --- standard streams ---


@pytest.mark.parametrize(
    "command", ["--version", "--help", "explain TC101", "audit empty", "audit empty --format json"]
)
@pytest.mark.parametrize(("stream", "reason"), [(">&-", "Bad file descriptor"), (">/dev/full", "No space left")])
def test_results_that_cannot_be_written_are_a_failure(
    run: Run, tmp_path: Path, command: str, stream: str, reason: str
) -> None:
    (tmp_path / "empty").mkdir()
    ends(run(f"$TT {command} {stream}"), 2, f"Standard output cannot be written: {reason}")


@pytest.mark.parametrize("stream", ["2>&-", "2>/dev/full", "<&- 2>&-"])
def test_messages_that_cannot_be_shown_change_no_exit_code(run: Run, tmp_path: Path, stream: str) -> None:
    (tmp_path / "empty").mkdir()
    for command, code in (("audit empty", 0), ("audit nowhere", 2), ("nonsense", 2), ("verify", 2)):
        ends(run(f"$TT {command} {stream}"), code)
    assert run(f"$TT explain TC101 {stream}").stdout == run("$TT explain TC101").stdout


def test_a_closed_stream_is_given_to_no_file(run: Run, tmp_path: Path) -> None:
    """Whichever file is opened first would get its number, and then what is written there."""
    (tmp_path / "empty").mkdir()
    ends(run("$TT audit empty -o report.json <&- >&- 2>&-"), 0)
    assert (tmp_path / "report.json").read_text().startswith("{")


@pytest.mark.parametrize("command", ["--help", "explain TC101", "audit --help", "explain --all"])
def test_a_reader_that_is_gone(run: Run, command: str) -> None:
    """It must not look like findings, whoever catches a broken pipe on the way: click and rich exit with 1."""
    ends(run(f"$TT {command} | true; exit ${{PIPESTATUS[0]}}"), 141)
    ends(run(f"$TT {command} 2>&1 | true; exit ${{PIPESTATUS[0]}}"), 141)


def test_characters_that_the_terminal_lacks(run: Run) -> None:
    done = run("$TT audit $'no\\u2014where\\xff'", PYTHONIOENCODING="ascii", LC_ALL="C")
    ends(done, 2, "no such file")


# --- the folder ---


def test_a_lost_working_folder(run: Run) -> None:
    for command in ("audit x", "verify", "install x -p env", "run -p env true", "carve x.whl", "lock x"):
        ends(run(f"mkdir gone && cd gone && rmdir ../gone && $TT {command}"), 2, "The working folder no longer exists.")
    ends(run("mkdir gone && cd gone && rmdir ../gone && $TT --help"), 0)


# --- bugs ---

BREAKS = """
import os, sys
from tt_conda import cli
from tt_conda.commands import explain

def broken(*_, **__):
    {raising}

cli.app.registered_commands = [c for c in cli.app.registered_commands if c.callback is not explain.explain]
cli.app.command("explain")(lambda: broken())
sys.argv = ["tt-conda", "explain"]
cli.entry()
"""


@pytest.mark.parametrize(
    "raising",
    [
        "raise KeyError('x')", "raise ValueError('https://me:s3cr3t-of-a-server@host/t/s3cr3t-of-a-server/c')",
        "raise RecursionError", "assert False", "raise BaseException('Rust panicked')", "raise OSError('odd')",
        "raise FileNotFoundError", "def f(): f()\n    f()",
    ],
)  # fmt: skip
def test_a_bug_is_one_line_a_log_and_a_code_of_its_own(run: Run, tmp_path: Path, raising: str) -> None:
    (tmp_path / "program.py").write_text(BREAKS.format(raising=raising))
    done = run(f"{sys.executable} program.py", SOME_TOKEN=SECRET)
    ends(done, 3, "tt-conda has a bug")
    assert done.stdout == "" and len(done.stderr.splitlines()) == 1
    (log,) = (tmp_path / "cache/logs").iterdir()
    assert done.stderr.rstrip().endswith(str(log))
    text = log.read_text()
    assert "Traceback" in text and "program.py" in text and SECRET not in text
    assert log.stat().st_mode & 0o077 == 0


def test_a_log_that_fits_nowhere_is_said_so(run: Run, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(BREAKS.format(raising="raise KeyError"))
    done = run(f"{sys.executable} program.py", TT_CONDA_CACHE="/proc/nowhere", TMPDIR=str(tmp_path))
    ends(done, 3, str(tmp_path / "crash-"))


@pytest.mark.parametrize(
    ("raising", "said"),
    [
        ("open('/proc/self/mem/x')", "/proc/self/mem/x: Not a directory"),
        ("os.mkdir('/proc/x')", "/proc/x: "),
        ("raise MemoryError", "The memory is used up."),
        ("raise OSError(28, os.strerror(28))", "No space left on device"),
        ("raise OSError(24, os.strerror(24), 'x')", "x: Too many open files"),
        ("os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone'); os.getcwd()", "The working folder no longer exists"),
    ],
)
def test_what_the_machine_refuses_is_no_bug(run: Run, tmp_path: Path, raising: str, said: str) -> None:
    (tmp_path / "program.py").write_text(BREAKS.format(raising=raising))
    ends(run(f"{sys.executable} program.py"), 2, said)


# --- being stopped ---


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(
    "waiting",
    [
        "time.sleep(60)",
        "import asyncio; asyncio.run(asyncio.sleep(60))",
        "import asyncio; loop = asyncio.new_event_loop(); loop.call_soon(time.sleep, 60); loop.run_forever()",
        "x = type('X', (), {'__del__': lambda self: time.sleep(60)})(); del x; print('went on')",
        "weakref.finalize(broken, time.sleep, 60)(); print('went on')",
    ],
    ids=["sleep", "asyncio", "callback of asyncio", "__del__", "finalizer"],
)
def test_being_stopped_wherever_it_is(tmp_path: Path, sent: signal.Signals, code: int, waiting: str) -> None:
    """asyncio and Python's finalizers report an exception and go on."""
    raising = f"import time, weakref; print('here', flush=True); {waiting}"
    with subprocess.Popen(
        [sys.executable, "-c", BREAKS.format(raising=raising)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, cwd=tmp_path,
    ) as child:  # fmt: skip
        assert child.stdout and child.stdout.readline() == "here\n"
        time.sleep(0.05)
        child.send_signal(sent)
        out, said = child.communicate(timeout=60)
    assert (child.returncode, out) == (code, ""), said
    assert "stopped" in said and "Traceback" not in said


STOPPED_WHILE_IT_WRITES = """
import os, signal
from tt_conda.base import streams
def stop(*_):
    raise KeyboardInterrupt
signal.signal(signal.SIGINT, stop)
real = streams._Messages.write
def write(self, data):
    try:
        return real(self, data)
    finally:
        streams._Messages.write = real
        os.kill(os.getpid(), signal.SIGINT)
streams._Messages.write = write
streams.secure()
import sys
try:
    sys.stderr.write("once\\n")
except KeyboardInterrupt:
    sys.stderr.flush()
"""


def test_a_message_is_shown_once_though_a_signal_arrives_while_it_is_written() -> None:
    done = subprocess.run([sys.executable, "-c", STOPPED_WHILE_IT_WRITES], capture_output=True, text=True)
    assert done.stderr == "once\n"


def test_being_stopped_at_any_moment_of_the_start(tmp_path: Path) -> None:
    """From the first line of ours on; before it, Python itself answers."""
    program = "import sys; sys.argv = ['tt-conda', 'verify']; from tt_conda.__main__ import entry; entry()"
    for number in range(15):
        with subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, text=True
        ) as child:
            listens(child)
            time.sleep(number * 0.02)
            child.send_signal(signal.SIGINT)
            said = child.communicate(timeout=60)[1]
        assert "Traceback" not in said and child.returncode in (130, 2), (number, child.returncode, said)


# --- outputs ---


def test_a_report_is_written_whole_or_not_at_all(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for file in ("report.json", "report.html", "report.sarif", "report.txt"):
        (tmp_path / file).write_text("before")
        line = f"ulimit -f 0; $TT audit empty -o {file}"
        assert run(line).returncode == 2
        assert (tmp_path / file).read_text() == "before"
        (tmp_path / file).chmod(0o640)
        ends(run(f"$TT audit empty -o {file}"), 0)
        assert (tmp_path / file).stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_a_report_goes_where_its_name_leads(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link.json").symlink_to("real.json")
    ends(run("$TT audit empty -o link.json"), 0)
    assert (tmp_path / "link.json").is_symlink() and (tmp_path / "real.json").read_text().startswith("{")
    assert run("$TT audit empty --format json -o /dev/stdout").stdout.startswith("{")
    assert run("$TT audit empty --format json -o >(cat)").stdout.startswith("{")
    os.mkfifo(tmp_path / "fifo")
    ends(run("$TT audit empty --format json -o fifo"), 2, "fifo: No such device or address")
    (tmp_path / "loop").symlink_to("loop")
    ends(run("$TT audit empty --format json -o loop"), 2, "loop: ")


# --- what is looked at ---


def test_what_is_no_file_is_not_waited_for(run: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "libfifo.so")
    for target in ("libfifo.so", "/dev/zero", "/dev/null"):
        ends(run(f"$TT audit {target}"), 2, f"{target}: neither a file nor a folder")
    site = tmp_path / "env/lib/python3.12/site-packages/x-1.dist-info"
    site.mkdir(parents=True)
    (tmp_path / "env/conda-meta").mkdir()
    for name in ("conda-meta/x.json", "lib/libfifo.so", "lib/python3.12/site-packages/x-1.dist-info/RECORD"):
        os.mkfifo(tmp_path / "env" / name)
    ends(run("$TT audit env"), 0)
    ends(run("mkfifo x.whl; $TT carve x.whl --prefix out"), 2, "x.whl")
    ends(run("$TT audit x.whl"), 2, "x.whl: neither a file nor a folder")


DEEP = "[" * 100_000


@pytest.mark.parametrize("text", ["x = " + DEEP, ".".join("a" * 5000) + " = 1"], ids=["lists", "keys"])
@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("audit.toml", "audit empty"), ("pyproject.toml", "audit empty"), ("x.toml", "audit empty --config x.toml"),
        ("x.lock", "lock-inputs x.lock"), ("pixi.toml", "shell dev"), ("x.toml", "prove x.toml"),
        ("x.json", "audit empty --baseline x.json"), ("x.lock", "install --frozen x.lock -p env"),
        ("x.toml", "carve x.whl --rules x.toml --prefix out"),
    ],
)  # fmt: skip
def test_documents_that_are_nested_too_deeply(run: Run, tmp_path: Path, file: str, command: str, text: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / file).write_text(text)
    ends(run(f"$TT {command}", TT_CONDA_CHANNELS="./nowhere"), 2, file)


def test_records_that_are_nested_too_deeply(run: Run, tmp_path: Path) -> None:
    (tmp_path / "env/conda-meta").mkdir(parents=True)
    (tmp_path / "env/conda-meta/x.json").write_text(DEEP)
    ends(run("$TT audit env"), 0)
    (tmp_path / "env/conda-meta/state").write_text(DEEP)
    ends(run("$TT run -p env true"), 2, "conda-meta/state")
    (tmp_path / "channel/noarch").mkdir(parents=True)
    (tmp_path / "channel/noarch/repodata.json").write_text(DEEP)
    for command in ("publish elsewhere", "audit channel", "install x -p other -c ./channel", "verify x -c ./channel"):
        done = run(f"mkdir -p project; TT_CONDA_PROJECT=. $TT {command}", TT_CONDA_CHANNELS="./channel")
        ends(done, 2)


# --- the table ---


def test_the_documented_codes_are_those_in_the_code() -> None:
    text = (PROJECT / "docs/exit-codes.md").read_text()
    rows = dict(re.findall(r"^\| (\d+) \| `(\w+)` \|", text, flags=re.M))
    assert {int(code): name for code, name in rows.items()} == {code.value: code.name for code in ExitCode}
