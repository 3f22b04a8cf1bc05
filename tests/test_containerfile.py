"""The container file, as far as it can be checked without building it; tests/stack/test_image.py builds it."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from test_docs import check

PROJECT = Path(__file__).parents[1]
FILE = PROJECT / "Containerfile"
BASE = "debian:bookworm-slim"


def instructions() -> list[tuple[str, str]]:
    """Name and argument of each, in order; continued lines are one."""
    lines = [line for line in FILE.read_text().splitlines() if not line.startswith("#")]
    text = "\n".join(lines).replace("\\\n", "")
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in text.splitlines() if line]


def of(name: str) -> list[str]:
    return [argument for instruction, argument in instructions() if instruction == name]


def scripts() -> list[str]:
    """What is run, without the options of RUN itself."""
    return [re.sub(r"^(--\S+\s+)+", "", argument) for argument in of("RUN")]


def test_the_last_stage_has_the_environment_and_nothing_of_what_made_it() -> None:
    assert of("FROM") == ["${BASE} AS build", "${BASE}"] and of("ARG")[0] == f"BASE={BASE}"
    assert [copy for copy in of("COPY") if "--from" in copy] == ["--from=build /opt/torch-ttnn /opt/torch-ttnn"]
    (number,) = [number for number, copy in enumerate(instructions()) if "--from=build" in copy[1]]
    last = instructions()[number:]
    assert ("USER", "user") in last and any("useradd" in argument for name, argument in last if name == "RUN")


def test_what_is_copied_is_there_and_reaches_the_builder() -> None:
    sources = {word for copy in of("COPY") if "--from" not in copy for word in copy.split()[:-1]}
    assert sources and all((PROJECT / source).exists() for source in sources)
    rules = (PROJECT / ".dockerignore").read_text().split()
    assert rules[0] == "*" and {rule[1:] for rule in rules if rule.startswith("!")} == sources


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_each_script_is_one(shell: str) -> None:
    for script in scripts():
        done = subprocess.run([shell, "-n"], input=script, text=True, capture_output=True, check=False)
        assert done.returncode == 0, (script, done.stderr)


def test_each_command_of_ours_is_one() -> None:
    found = [words for script in scripts() for words in _commands(script) if "ci/run" in words]
    assert len(found) == 2
    for words in found:
        assert check(words[words.index("ci/run") :]) == "tt-conda"


def _commands(script: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(script, posix=True, punctuation_chars=";&|")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if set(word) <= set(";&|"):
            yield words
            words = []
        else:
            words.append(word)


def test_commands_and_shells_are_activated(tmp_path: Path) -> None:
    """What the entry point starts, and a shell that joins a running container."""
    env, etc = tmp_path / "env", tmp_path / "etc"
    (env / "etc/conda/activate.d").mkdir(parents=True)
    (env / "etc/conda/activate.d/tt.sh").write_text('export WHERE="$CONDA_PREFIX/share"\n')
    etc.mkdir()
    (write,) = [script for script in scripts() if "/etc/activate.sh" in script]
    assert [words[0] for words in _commands(write)] == ["printf", "echo"], "it may run on this machine"
    here = re.sub(r"/etc/(activate\.sh|bash\.bashrc)", rf"{etc}/\1", write)
    subprocess.run(["sh", "-c", here], check=True)
    ask = 'echo "$WHERE" "$1"'
    entry = [word.replace("/etc/", f"{etc}/") for word in json.loads(of("ENTRYPOINT")[0])]
    joined = ["bash", "--rcfile", str(etc / "bash.bashrc"), "-i", "-c", ask]
    environ = {"CONDA_PREFIX": str(env), "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    for command in ([*entry, "sh", "-c", ask], joined):
        done = subprocess.run([*command, "sh", "two  words"], env=environ, text=True, capture_output=True, check=True)
        assert done.stdout == f"{env}/share two  words\n", done.stderr
