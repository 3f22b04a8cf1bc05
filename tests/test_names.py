"""No product's name stands in executable code of tt-conda: what is particular to a product is a recipe or data."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "tt_conda"
PRODUCT = re.compile(
    r"tt[-_]?metal|metalium|ttnn|torch|tenstorrent|sfpi|firmware|tt[-_]umd|wormhole|blackhole|python-?3\.\d",
    re.IGNORECASE,
)
HELP = frozenset({"help", "metavar", "epilog"})
"""Arguments that hold the text of a ``--help``, examples included."""


def strings_of_help(tree: ast.AST) -> Iterator[ast.AST]:
    """Docstrings, and the arguments that a help is made of."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value
        elif isinstance(node, ast.keyword) and node.arg in HELP:
            yield from ast.walk(node.value)


def product_names(code: str) -> list[tuple[int, str]]:
    """Line and text of every identifier and string in which a product is named."""
    tree = ast.parse(code)
    exempt = {id(node) for node in strings_of_help(tree)}
    found = []
    for node in ast.walk(tree):
        if id(node) in exempt:
            continue
        for _, value in ast.iter_fields(node):
            words = value if isinstance(value, list) else [value]
            found += [
                (getattr(node, "lineno", 0), word) for word in words if isinstance(word, str) and PRODUCT.search(word)
            ]
    return found


def test_no_product_is_named_in_code() -> None:
    named = {
        f"{path.relative_to(SOURCE)}:{line}": text
        for path in sorted(SOURCE.rglob("*.py")) for line, text in product_names(path.read_text())
    }  # fmt: skip
    assert named == {}


@pytest.mark.parametrize(
    "code",
    [
        "def build(tt_metal_version): ...", "build(firmware=1)", "TtMetalVersion = 1", "class Torch: ...",
        "import torch", "from ttnn import device", "x = {'libtorch': 1}", "x = f'{lib}/python3.10'", "a.tt_metal_build",
        "def f():\n    '''Of any product.'''\n    return 'ttnn'", "Option(default='sfpi', help='')",
        "try: ...\nexcept E as torch: ...", "global ttnn", "match x:\n    case {'a': _, **torch}: ...",
    ],
)  # fmt: skip
def test_each_place_for_a_name_is_looked_at(code: str) -> None:
    assert len(product_names(code)) == 1


@pytest.mark.parametrize(
    "code",
    [
        "def f():\n    '''Fetch ttnn.'''", "'''About torch.'''", "x = 1\n'''The ttnn.'''",
        "Option(help='e.g. ttnn', metavar='TTNN')", "x = 1  # for torch", "lib = 'python3'", "python = '3.10'",
    ],
)  # fmt: skip
def test_help_and_comments_may_name_products(code: str) -> None:
    assert product_names(code) == []
