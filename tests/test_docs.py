"""The documents: their commands, their links, and the tests that they name."""

from __future__ import annotations

import ast
import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import typer

from script import loaded
from tt_conda import cli
from tt_conda.workspace import manifest as manifests

PROJECT = Path(__file__).parents[1]
DOCUMENTS = [PROJECT / "README.md", *sorted(PROJECT.glob("docs/**/*.md")), PROJECT / "recipes/README.md"]
TASKS = loaded(PROJECT / "ci/tasks.py").read(PROJECT / "pixi.toml")
UNVERIFIED = (PROJECT / "docs/unverified.md").read_text()


class Command(NamedTuple):
    """A command of a document's code block."""

    document: Path
    line: int
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.document.relative_to(PROJECT)}:{self.line}"


def blocks(document: Path) -> Iterator[tuple[int, list[str]]]:
    """The shell blocks: the number of the first line, and the lines."""
    lines = document.read_text().splitlines()
    inside, start = False, 0
    for number, line in enumerate(lines, 1):
        if not inside and re.fullmatch(r"\s*```(sh|bash|shell|console)", line):
            inside, start = True, number
        elif inside and line.strip() == "```":
            inside, found = False, lines[start : number - 1]
            if any(line.startswith("$ ") for line in found):  # a session: what has no prompt is an answer
                found = [line[2:] if line.startswith("$ ") else "" for line in found]
            yield start + 1, found


def commands(document: Path) -> Iterator[Command]:
    for start, lines in blocks(document):
        text = "\n".join(lines).replace("\\\n", "  ")
        for offset, line in enumerate(text.splitlines()):
            lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|")
            lexer.whitespace_split, lexer.commenters = True, "#"
            for is_end, words in itertools.groupby(lexer, lambda word: bool(word) and set(word) <= set(";&|")):
                if not is_end:
                    yield Command(document, start + offset, tuple(words))


COMMANDS = [command for document in DOCUMENTS for command in commands(document)]


def parse_tt_conda(words: list[str]) -> None:
    """Let the command line read its arguments; nothing is run. Raises the usage error of what it would refuse."""
    if words in ([], ["--help"], ["--version"]):
        return
    group = typer.main.get_command(cli.app)
    command = group.commands.get(words[0])  # type: ignore[attr-defined]
    assert command is not None, f"there is no command {words[0]!r}"
    command.make_context(words[0], words[1:])


def check(words: list[str]) -> str:
    """Check a command as far as it can be without running it; the program that is at its bottom."""
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words = words[1:]
    match words:
        case ["tt-conda", *rest]:
            parse_tt_conda(rest)
        case ["ci/run", "exec", *rest]:
            return check(rest)
        case ["ci/run", task, *_]:
            assert task in TASKS, f"there is no task {task!r}"
        case ["pixi", "run", "python" | "tt-conda", *_] | ["conda", "run", "--name", *_]:
            return check(words[2:] if words[0] == "pixi" else words[4:])
        case ["pixi", "run", *rest]:
            manifest, rest = _workspace(rest)
            assert rest[0] in loaded(PROJECT / "ci/tasks.py").read(manifest), f"there is no task {rest[0]!r}"
        case ["pixi", "shell" | "lock", *rest]:
            assert set(_workspace(rest)[1]) <= {"--locked", "--frozen", "--check"}
        case ["pixi", "init", _] | ["pixi", "init", _, "--channel", _, "--channel", _]:
            pass
        case ["pixi", "workspace", "platform", "edit", "linux-64", "--glibc", _]:
            pass
        case ["pixi", "add", name, "--git", _, "--subdirectory", folder]:
            recipe = PROJECT / folder / "recipe.yaml"
            assert (recipe.parent / "pixi.toml").is_file() and f"name: {name}\n" in recipe.read_text()
        case ["pixi", "add", name]:
            assert any(f"name: {name}\n" in file.read_text() for file in PROJECT.glob("recipes/*/recipe.yaml")), name
        case ["rattler-build", "build", *options]:
            for option, value in zip(options[::2], options[1::2], strict=True):
                assert option not in ("-r", "-m") or (PROJECT / value).exists(), value
        case ["conda", "build", folder, *_]:
            assert (PROJECT / folder / "recipe.yaml").is_file()
        case ["conda", "env", "create", "--file", file, *_] | ["docker", "build", "--file", file, *_]:
            assert (PROJECT / file).is_file()
        case ["python", "-c", code]:
            compile(code, "-c", "exec")
        case ["python" | "python3", script, *_] if script.startswith(("benchmarks/", "ci/")):
            text = (PROJECT / script).read_text()
            assert not [word for word in words[2:] if word.startswith("--") and f'"{word}"' not in text]
        case ["python", "-m", "pip" | "pytest", *_]:
            pass
        case [program, *_]:
            assert program in KNOWN, f"{program}: tests/test_docs.py does not know it"
    return words[0]


def _workspace(words: list[str]) -> tuple[Path, list[str]]:
    """The manifest that pixi's options name, and the words after them."""
    manifest = PROJECT
    if words[:1] == ["--manifest-path"]:
        manifest, words = PROJECT / words[1], words[2:]
    workspace = manifests.read(manifest / "pixi.toml")
    if words[:1] == ["-e"]:
        assert words[1] in workspace.names, f"there is no environment {words[1]!r}"
        words = words[2:]
    return workspace.file, words


KNOWN = {"apt-get", "cd", "cmake", "conda", "conda-lock", "conda-pack", "docker", "echo", "export", "git", "jq",
         "mamba", "mkdir", "pip", "pyenv", "pytest", "tar", "uv", "moved/bin/conda-unpack"}  # fmt: skip
"""Programs of others that are named as they are, without anything of this project in their arguments."""
NOT_HERE = {"pixi": "pixi run", "rattler-build": "`rattler-build` program"}
"""Programs that cannot be had where this is developed → how docs/unverified.md names them."""


def test_there_are_commands_in_each_document_that_people_follow() -> None:
    found = {command.document.name for command in COMMANDS}
    assert {"README.md", "installing.md", "building.md", "developing.md", "maintaining.md"} <= found
    assert len(COMMANDS) > 60


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_command_is_one_that_there_is(command: Command) -> None:
    program = check([word.replace("…", "x") for word in command.words])
    if program in NOT_HERE:
        assert NOT_HERE[program] in UNVERIFIED, f"docs/unverified.md says nothing of {program}"


@pytest.mark.parametrize(
    "line",
    ["tt-conda biuld", "tt-conda build --colour red", "ci/run biuld", "pixi run -e nowhere test", "unknown x",
     "conda env create --file no.yml", "pixi run tt-conda biuld", "rattler-build build -r recipes/nothing",
     "ci/run exec tt-conda shell --nonsense", "A=b tt-conda lock --prefix x"],
)  # fmt: skip
def test_a_wrong_one_is_found(line: str) -> None:
    with pytest.raises(Exception) as error:
        check(shlex.split(line))
    assert isinstance(error.value, AssertionError) or hasattr(error.value, "exit_code")


def test_the_environments_that_are_told_are_those_that_there_are() -> None:
    text = (PROJECT / "docs/developing.md").read_text().partition("## Environments")[2]
    table = "".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    assert re.findall(r"`([\w-]+)`", table) == manifests.known()


def test_the_table_of_the_recipes_has_every_package() -> None:
    text = (PROJECT / "recipes/README.md").read_text()
    told = re.findall(r"^\| `([\w-]+)` \| \[[\w-]+\]\(([\w-]+)\) \|", text, re.M)
    name = re.compile(r"^ *(?:- )?package:\n(?: *#.*\n)* *name: (\S+)$", re.M)
    recipes = {file.parent.name: file.read_text() for file in PROJECT.glob("recipes/*/recipe.yaml")}
    assert sorted(told) == sorted((found, folder) for folder, text in recipes.items() for found in name.findall(text))


# --- links and tests ---


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text()):
        if not re.match(r"[a-z]+:", target):
            assert (document.parent / target).exists(), target


def rows() -> list[tuple[str, str, str]]:
    """The tables of docs/was-and-is.md: was, is now, test."""
    text = (PROJECT / "docs/was-and-is.md").read_text()
    cells = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in text.splitlines() if line[:1] == "|"
    ]
    return [(was, now, test) for was, now, test in cells if set(was) != {"-"} and test != "test"]


@pytest.mark.parametrize(("was", "now", "test"), rows(), ids=lambda cell: cell[:30])
def test_every_row_has_a_test_or_says_why_it_has_none(was: str, now: str, test: str) -> None:
    assert was and now
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", test)
    if not named:
        assert re.match(r"— \w.{10}", test), "either a test, or — and why there is none"
    for file, function in named:
        tree = ast.parse((PROJECT / file).read_text())
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert (function in names) if function else any(name.startswith("test_") for name in names), (file, function)


SUBJECTS = [
    "TT_METAL_HOME", "TT_METAL_VERSION", "PYTHON_CMD", "PYTHON_ENV_DIR", "BUILD_SHARED_LIBS", "CMAKE_BUILD_TYPE",
    "LD_LIBRARY_PATH", "MPIX_Comm_revoke", "libtt_metal.so", "two `ttnn`", "wrong interpreter", "pip show", "`ldd`",
    "git describe", "create_venv.sh", "build_metal.sh", "install_dependencies.sh", "pip install -e", "DEBUG_CPP_EXT",
    "PYTHONPATH", "torch.ttnn", "add_subdirectory", "retry", "token", "torch.randint", "factory functions",
    "dependencies are for installing", "libtracy", "std::__1", "libomp",
]  # fmt: skip
"""What the documents of the old set-up have: each knob, step, problem and check, and what their reviewers asked."""


@pytest.mark.parametrize("subject", SUBJECTS)
def test_nothing_of_the_old_set_up_is_left_out(subject: str) -> None:
    assert any(subject in was for was, _, _ in rows())
