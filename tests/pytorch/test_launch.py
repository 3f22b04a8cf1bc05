"""What starts PyTorch's compilers, recipes/pytorch-libcxx/launch.sh, with programs that say what they are given."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

LAUNCH = Path(__file__).parents[2] / "recipes/pytorch-libcxx/launch.sh"
COMPILER = """#!/bin/bash
printf '%s\\n' "$@" > "$SAID"
while [ $# -gt 0 ]; do
    case $1 in
        -MF) [ -n "${NO_LIST:-}" ] || printf 'x.o: ../pytorch/x.h \\\\\\n ../pytorch/y.h\\n' > "$2" ;;
        -o) touch "$2" ;;
    esac
    shift
done
exit "${CODE:-0}"
"""
LAUNCHER = """#!/bin/bash
touch "$SAID.launched"
exec "$@"
"""


class Build:
    """A build's folder, with a launcher and a compiler."""

    def __init__(self, folder: Path) -> None:
        self.source, self.said = folder / "work", folder / "said"
        (self.source / "build").mkdir(parents=True)
        (self.source / "pytorch").mkdir()
        for name in ("x.h", "y.h"):
            (self.source / "pytorch" / name).write_text(name)
        self.launcher, self.compiler = folder / "launcher", folder / "clang++"
        for program, text in ((self.launcher, LAUNCHER), (self.compiler, COMPILER)):
            program.write_text(text)
            program.chmod(0o755)

    def launch(self, *words: str, cwd: str = "build", **more: str) -> tuple[int, list[str], bool]:
        """Its exit code, what the compiler was given, and whether the launcher started it."""
        mark = self.said.with_name("said.launched")
        mark.unlink(missing_ok=True)
        environ = {"PATH": "/usr/bin:/bin", "SRC_DIR": str(self.source), "SAID": str(self.said), **more}
        command = ["/bin/bash", LAUNCH, self.launcher, self.compiler, *words]
        done = subprocess.run(command, cwd=self.source / cwd, env=environ, capture_output=True, text=True, check=False)
        return done.returncode, self.said.read_text().splitlines(), mark.exists()


@pytest.fixture(params=["plain", "odd [a-z] * name"])
def build(request: pytest.FixtureRequest, tmp_path: Path) -> Build:
    return Build(tmp_path / request.param)


def test_what_is_in_the_builds_folder_is_named_from_there(build: Build) -> None:
    source = build.source
    words = [
        "-isystem",
        f"{source}/host/include",
        f"-I{source}/build/aten",
        "-o",
        f"{source}/build/x.o",
        "-c",
        f"{source}/x.c",
    ]
    relative = ["-isystem", "../host/include", "-Iaten", "-o", "x.o", "-c", "../x.c"]
    assert build.launch(*words) == (0, relative, True)
    assert build.launch(*words, cwd="pytorch") == (0, words, True), "CMake's checks are elsewhere"


def test_a_precompiled_header_has_the_checksum_of_what_it_is_made_from(build: Build) -> None:
    header = build.source / "build/pch.pch"
    words = ["-x", "c++-header", "-MD", "-MF", "pch.d", "-o", str(header)]
    sums = []
    for change in ("", "x.h", "y.h"):
        if change:
            (build.source / "pytorch" / change).write_text("other")
        code, said, launched = build.launch(*words)
        assert (code, said[-1], launched) == (0, "pch.pch", False), "no cache keeps it"
        sums.append(header.with_name("pch.pch.sum").read_text())
    assert len(set(sums)) == 3
    build.launch("-O0", *words)
    assert header.with_name("pch.pch.sum").read_text() not in sums


@pytest.mark.parametrize("wrong", ["compiler", "list", "header"])
def test_without_what_it_is_made_from_there_is_no_checksum(build: Build, wrong: str) -> None:
    """One that knew nothing of the headers would let objects of other headers be taken."""
    if wrong == "header":
        (build.source / "pytorch/x.h").unlink()
    more = {"compiler": {"CODE": "3"}, "list": {"NO_LIST": "1"}, "header": {}}[wrong]
    code, _, _ = build.launch("-x", "c++-header", "-MF", "pch.d", "-o", "pch.pch", **more)
    assert code == 3 if wrong == "compiler" else code != 0
    assert not (build.source / "build/pch.pch.sum").exists()
