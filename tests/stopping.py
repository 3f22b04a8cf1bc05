"""Programs that are stopped in the middle, at an event that has a name."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_ARMED = r"""
import os, re, runpy, sys
event, sign, at, kind, program = *sys.argv[1:4], *sys.argv[4:6]
sys.argv[:] = ["-c", *sys.argv[6:]]
left = int(at)

def line(name, words):
    if name in ("os.rename", "os.link", "os.symlink"):  # os.replace is os.rename here
        return f"{name[3:]} {os.fspath(words[1])}"
    if name in ("os.remove", "os.mkdir"):
        return f"{name[3:]} {os.fspath(words[0])}"
    if name == "open" and isinstance(words[0], (str, os.PathLike)) and words[2] & (os.O_WRONLY | os.O_RDWR):
        return f"write {os.fspath(words[0])}"
    if name == "subprocess.Popen":
        return "start " + " ".join(map(os.fspath, words[1]))
    if name == "http.client.send" and isinstance(words[1], bytes):
        found = re.match(rb"([A-Z]+ \S+) HTTP/", words[1])
        return found and "send " + found[1].decode()
    return None

def look(name, words):
    global left
    if left and (said := line(name, words)) is not None and re.search(event, said):
        left -= 1
        if not left:
            os.kill(os.getpid(), int(sign))

sys.addaudithook(look)
if kind == "-m":
    runpy.run_module(program, run_name="__main__", alter_sys=True)
else:
    try:
        exec(program, {"__name__": "__main__"})
    except KeyboardInterrupt:  # an interpreter that is taken down around rattler's threads aborts now and then
        os._exit(130)
"""


def stopped(
    command: Sequence[str | Path], event: str, sent: signal.Signals, *, at: int = 1,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """Run a Python program that sends itself a signal just before it does something.

    Args:
        command: the interpreter with ``-m MODULE`` or ``-c CODE``, and the program's arguments.
        event: searched for (a regular expression) in what the program is about to do: ``rename TO``, ``link TO``,
            ``symlink AT``, ``remove FILE``, ``mkdir FOLDER``, ``write FILE``, ``start PROGRAM ARGUMENT...``,
            ``send METHOD PATH`` (HTTP). Its children's deeds don't count.
        sent: the signal.
        at: which of these events.
        env: environment variables.

    The test fails where the event never came: then the program ends as if nothing had been asked for.
    """
    interpreter, kind, program, *arguments = map(str, command)
    words = [interpreter, "-c", _ARMED, event, str(int(sent)), str(at), kind, program, *arguments]
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False, timeout=300,
                          preexec_fn=hears_ctrl_c)  # fmt: skip
    assert done.returncode in (-sent, 128 + sent, 130), f"{event!r} did not stop it: {done.stdout}{done.stderr}"
    return done


def hears_ctrl_c() -> None:
    """For a child: SIGINT as it is in a terminal. What a shell starts with ``&`` ignores it, and so do its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_until(true: Callable[[], object], child: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """Wait for what a child does, as a file that it writes, and fail where it ends without."""
    deadline = time.monotonic() + 300  # a loaded machine
    while not true():
        assert child.poll() is None, f"it ended with {child.returncode} before that"
        assert time.monotonic() < deadline, "it did not happen within five minutes"
        time.sleep(0.001)


def listens(child: subprocess.Popen[str]) -> None:
    """Wait until the child has come to its own code: before that, ^C is answered by Python itself."""

    def caught() -> bool:
        found = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{child.pid}/status").read_text())
        return found is not None and bool(int(found[1], 16) >> signal.SIGTERM - 1 & 1)

    wait_until(lambda: child.poll() is not None or caught(), child)


def waits_for_a_lock(child: subprocess.Popen[str]) -> bool:
    """Whether it waits for a file that another process has locked."""
    return re.search(rf"-> FLOCK +\S+ +\S+ {child.pid} ", Path("/proc/locks").read_text()) is not None
