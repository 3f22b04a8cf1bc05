"""Run a task of pixi.toml as pixi would: what it depends on first, then its command in a shell.

A task with ``inputs`` is left out while they, its ``outputs``, its command and this environment are as they were
when it last ended well; with arguments it always runs. The tasks of all features are one list here: all
environments are the one of `ci/run`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_STATE = Path(".tt-conda/tasks")
"""Where it is kept what a task was last run with, one file per task."""

Tasks = dict[str, dict[str, Any]]


def read(manifest: Path) -> Tasks:
    """The tasks of all features."""
    content = tomllib.loads(manifest.read_text())
    tasks: Tasks = dict(content.get("tasks", {}))
    for feature in content.get("feature", {}).values():
        tasks.update(feature.get("tasks", {}))
    return tasks


def needed(task: dict[str, Any]) -> list[str]:
    """The names of the tasks that one depends on."""
    return [need["task"] if isinstance(need, dict) else need for need in task.get("depends-on", [])]


def order(tasks: Tasks, name: str) -> list[str]:
    """``name`` and everything it depends on, dependencies first."""
    found: list[str] = []
    for need in needed(tasks[name]):
        found += [task for task in order(tasks, need) if task not in found]
    return [*found, name]


def command_of(task: dict[str, Any], arguments: Sequence[str]) -> str:
    """The shell's command line: arguments fill the task's ``{{ names }}``, and what is left over is appended."""
    command, rest = str(task["cmd"]), list(arguments)
    for declared in task.get("args", []):
        value = rest.pop(0) if rest else declared["default"]
        command = re.sub(rf"{{{{\s*{re.escape(declared['arg'])}\s*}}}}", lambda _, v=value: shlex.quote(v), command)
    return f"{command} {shlex.join(rest)}".strip()


def made_from(task: dict[str, Any], command: str) -> str:
    """A hash of what a task works with: its inputs, its command and this environment."""
    variables = {name: value for name, value in os.environ.items() if name.startswith("TT_CONDA_")}
    digest = hashlib.sha256(json.dumps([command, sys.prefix, sorted(variables.items())]).encode())
    for path in _files(task["inputs"]):
        digest.update(f"{path}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def made(task: dict[str, Any]) -> list[str] | None:
    """What a task has made, by size and time: outputs are many and large. None where some are not there."""
    files = [_files([pattern]) for pattern in task.get("outputs", [])]
    if not all(files):
        return None
    return [f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for some in files for path in some]


def _files(patterns: Sequence[str]) -> list[Path]:
    found = {path for pattern in patterns for path in Path().glob(f"{pattern}/*" if pattern[-2:] == "**" else pattern)}
    return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


def run(name: str, task: dict[str, Any], arguments: Sequence[str]) -> int:
    """Run one task, or say that there is nothing to do; its exit code."""
    command, file = command_of(task, arguments), _STATE / name
    if "inputs" not in task or arguments:  # which may name more that it works with
        return _code(["bash", "-c", command])
    state = made_from(task, command)
    if file.is_file() and (outputs := made(task)) is not None and file.read_text() == json.dumps([state, outputs]):
        print(f"{name}: nothing has changed since it last ended well", file=sys.stderr)
        return 0
    file.unlink(missing_ok=True)
    if code := _code(["bash", "-c", command]):
        return code
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([state, made(task)]))
    return 0


def main(manifest: str, arguments: list[str]) -> int:
    """Run the task that the first argument names; the rest is appended to its command."""
    if len(arguments) > 1 and arguments[0] == "exec":  # any command in the same environment
        return _code(["bash", "-c", 'exec "$@"', "ci/run", *arguments[1:]])
    tasks = read(Path(manifest))
    if not arguments or arguments[0] not in tasks:
        asked_for_help = bool(arguments) and arguments[0] in ("-h", "--help")
        lines = [f"  {name:8} {task['description']}" for name, task in tasks.items()]
        examples = ["  ci/run build", "  ci/run exec tt-conda --help"]
        said = "\n".join(["usage: ci/run TASK [ARGUMENT]...", "", "tasks:", *lines, "", "examples:", *examples])
        if arguments and not asked_for_help:
            print(f"error: there is no task {arguments[0]!r}", file=sys.stderr)
        print(said, file=sys.stdout if asked_for_help else sys.stderr)
        return 0 if asked_for_help else 2
    names = order(tasks, arguments[0])
    if arguments[1:] and not _is_one_program(command := tasks[names[-1]]["cmd"]):
        print(f"error: {names[-1]!r} takes no arguments: it runs {command}", file=sys.stderr)
        print(f"For one of its commands with arguments: ci/run exec {command.split()[0]} ...", file=sys.stderr)
        return 2
    os.chdir(Path(manifest).parent)
    if any(tasks[name]["cmd"].startswith("tt-conda ") for name in names):
        from tt_conda.commands import defaults  # only now: it takes a moment

        defaults.names()  # once, for all tasks: a hash of TT_CONDA_CHANNELS tells what each was made with
    for name in names:
        if code := run(name, tasks[name], arguments[1:] if name == names[-1] else []):
            return code
    return 0


def _is_one_program(command: str) -> bool:
    """Whether what is appended to a shell's command line reaches all of it."""
    words = shlex.shlex(command, posix=True, punctuation_chars=";&|")
    words.whitespace_split = True
    return "\n" not in command.strip() and not any(set(word) <= set(";&|") for word in words if word)


def _code(command: list[str]) -> int:
    """Run a command; its exit code as a shell tells it."""
    code = subprocess.run(command, check=False).returncode
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1], sys.argv[2:]))
    except KeyboardInterrupt:
        sys.exit(130)
