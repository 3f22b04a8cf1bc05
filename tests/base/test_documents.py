"""Documents of any shape are read, or refused with a ValueError: none exhausts the stack or the memory."""

from __future__ import annotations

import ast
import time
from pathlib import Path

import pytest
import yaml

import tt_conda
from tt_conda.base.documents import DocumentError, read_json, read_toml, read_yaml

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)
)


@pytest.mark.parametrize(
    "text",
    ["- " * 500 + "x", "[" * 500 + "]" * 500, "[" * 50_000, "&a [*a]", "&a {x: *a}", "a: &a [1, {b: *a}]", LAUGHS,
     "*nowhere", "!!python/object:os.system {}", "{[]: 1}", "2020-13-45", "\x00"],
    ids=len,
)  # fmt: skip
def test_yaml(text: str) -> None:
    start = time.monotonic()
    with pytest.raises(ValueError):
        read_yaml(text, yaml.CSafeLoader)
    assert time.monotonic() - start < 5


def test_plain_aliases_are_read() -> None:
    assert read_yaml("a: &a [1]\nb: *a", yaml.CSafeLoader) == {"a": [1], "b": [1]}


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 50_000, "a = " + "[" * 150 + "]" * 150, ".".join("a" * 5000) + "=1", "a ="]
)
def test_toml(text: str) -> None:
    with pytest.raises(DocumentError):
        read_toml(text)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[", "", b"\xff\xfe\xff", "1" * 5000], ids=len)
def test_json(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        read_json(text)


def test_documents_are_read_nowhere_else() -> None:
    """Except for what the module itself has written just before, and for programs that run in another Python."""
    ours = {"base/documents.py", "building/workers.py", "report/audit/html.py", "offline/ask.py"}
    home = Path(tt_conda.__file__).parent
    found = set()
    for file in home.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "json.loads", "json.load", "tomllib.loads", "tomllib.load", "yaml.load", "yaml.safe_load",
            ):  # fmt: skip
                found.add(file.relative_to(home).as_posix())
    assert found == ours
