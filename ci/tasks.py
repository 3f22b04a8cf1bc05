"""Run a task of pixi.toml as pixi would: what it depends on first, then its command in a shell."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def order(tasks: dict[str, Any], name: str) -> list[str]:
    """``name`` and everything it depends on, dependencies first."""
    found: list[str] = []
    for needed in tasks[name].get("depends-on", []):
        found += [task for task in order(tasks, needed) if task not in found]
    return [*found, name]


def main(manifest: str, arguments: list[str]) -> int:
    """Run the task that the first argument names; the rest is appended to its command."""
    if len(arguments) > 1 and arguments[0] == "exec":  # any command in the same environment
        return _code(["bash", "-c", 'exec "$@"', "ci/run", *arguments[1:]])
    tasks = tomllib.loads(Path(manifest).read_text())["tasks"]
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
    for name in names:
        extra = shlex.join(arguments[1:]) if name == names[-1] else ""
        if code := _code(["bash", "-c", f"{tasks[name]['cmd']} {extra}"]):
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
