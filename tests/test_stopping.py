"""The helper that stops programs at an event stops them there and nowhere else."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from stopping import stopped

PROGRAM = """
import os, subprocess, sys
from pathlib import Path
folder = Path(sys.argv[1])
try:
    for name in "abc":
        (folder / f"{name}.part").write_text(name)
        (folder / f"{name}.part").replace(folder / name)
    (folder / "a").unlink()
    os.link(folder / "b", folder / "linked")
    subprocess.run(["true", "argument"])
except KeyboardInterrupt:
    sys.exit(130)
"""
DONE = {
    (r"write .*/a\.part$", 1): set(),
    (r"rename .*/b$", 1): {"a", "b.part"},
    (r"rename .*/[abc]$", 3): {"a", "b", "c.part"},
    (r"remove .*/a$", 1): {"a", "b", "c"},
    (r"link .*/linked$", 1): {"b", "c"},
    (r"start true argument$", 1): {"b", "c", "linked"},
}


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize(("event", "at"), DONE)
def test_it_is_stopped_just_before(tmp_path: Path, event: str, at: int, sent: signal.Signals) -> None:
    done = stopped([sys.executable, "-c", PROGRAM, tmp_path], event, sent, at=at)
    assert done.returncode == (-9 if sent is signal.SIGKILL else 130)
    assert {path.name for path in tmp_path.iterdir()} == DONE[event, at]


def test_an_event_that_does_not_come_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="did not stop it"):
        stopped([sys.executable, "-c", PROGRAM, tmp_path], r"rename .*/d$", signal.SIGKILL)


def test_a_module_gets_its_arguments_as_ever(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "zipfile", "-c", tmp_path / "new.zip", __file__]
    stopped(command, r"write .*/new\.zip$", signal.SIGKILL)
    assert not (tmp_path / "new.zip").exists()
