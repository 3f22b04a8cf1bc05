"""Count what makes this code easy or hard to read: `ci/run exec python ci/count.py`, with --list for the places."""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from statistics import median

import grimp

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "tt_conda"
LONG_FUNCTION, LONG_CLASS = 60, 200
"""Lines that a function and a class may have, docstring and comments included."""


def parse(root: Path) -> dict[Path, ast.Module]:
    """The syntax trees of ``src/`` and ``ci/``, by path below ``root``."""
    files = sorted(chain((root / "src").rglob("*.py"), (root / "ci").rglob("*.py")))
    return {file.relative_to(root): ast.parse(file.read_text()) for file in files}


def nodes(trees: Mapping[Path, ast.Module], *kinds: type[ast.AST]) -> Iterator[tuple[Path, ast.AST]]:
    """Every node of some kinds, with its file."""
    return ((file, node) for file, tree in trees.items() for node in ast.walk(tree) if isinstance(node, kinds))


def bare_string(node: ast.AST) -> str | None:
    """The text of a docstring, or of a string below an attribute; None for any other statement."""
    value = node.value if isinstance(node, ast.Expr) else None
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def lines(node: ast.AST) -> int:
    """Lines of a definition, without its decorators."""
    return (getattr(node, "end_lineno", 0) or 0) - getattr(node, "lineno", 0) + 1


def imports(root: Path) -> dict[str, set[str]]:
    """Module → modules of this package that it imports, in functions and under TYPE_CHECKING too."""
    sys.path.insert(0, str(root / "src"))
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def cycles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules each of which reaches all others of its group by imports."""
    reached = {module: _reach(graph, module) for module in graph}
    groups = {frozenset(other for other in reached[module] if module in reached[other]) for module in graph}
    return sorted(sorted(group) for group in groups if len(group) > 1)


def _reach(graph: Mapping[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    todo = [start]
    while todo:
        for module in graph[todo.pop()] - found:
            found.add(module)
            todo.append(module)
    return found


def layers(pyproject: Path) -> list[list[str]]:
    """The contract's layers, highest first; several in one are independent of each other. Empty where there is none."""
    contracts = tomllib.loads(pyproject.read_text()).get("tool", {}).get("importlinter", {}).get("contracts", [])
    return [
        [name.strip() for name in layer.split("|")]
        for contract in contracts
        if contract["type"] == "layers"
        for layer in contract["layers"]
    ]


def violations(graph: Mapping[str, set[str]], order: list[list[str]]) -> list[str]:
    """Imports from a layer above, from one beside, and modules in no layer."""
    rank = {name: (len(order) - number, name) for number, names in enumerate(order) for name in names}
    found = []
    for module, imported in sorted(graph.items()):
        for other in sorted(imported):
            own, its = (rank.get(name.split(".")[1]) if "." in name else (0, "") for name in (module, other))
            if own is None or its is None:
                found.append(f"{module if own is None else other} is in no layer")
            elif own != its and own[0] <= its[0]:
                found.append(f"{module} imports {other}")
    return sorted(set(found))


def main() -> None:
    """Print one line for each count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="print the places behind each count")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout to count in")
    given = parser.parse_args()
    root: Path = given.root.resolve()
    trees, graph = parse(root), imports(root)
    sizes = {file: len((root / file).read_text().splitlines()) for file in trees}
    source = {file: size for file, size in sizes.items() if file.parts[0] == "src"}
    functions = list(nodes(trees, ast.FunctionDef, ast.AsyncFunctionDef))
    classes = list(nodes(trees, ast.ClassDef))
    statements = [node for _, node in nodes(trees, ast.stmt)]
    docstrings = [text for node in statements if (text := bare_string(node))]
    names: dict[str, list[str]] = {}
    for file, node in classes:
        names.setdefault(getattr(node, "name", ""), []).append(str(file))
    words = re.findall(r"\w+", " ".join(docstrings).lower())
    skips = [
        f"{file}:{number}"
        for file in trees
        for number, line in enumerate((root / file).read_text().splitlines(), 1)
        if line.rstrip().endswith("# fmt: skip")
    ]
    order = layers(root / "pyproject.toml")
    against = violations(graph, order) if order else []

    def show(title: str, value: object, places: Iterable[str] = ()) -> None:
        print(f"{title:48} {value}")
        for place in places if given.list else ():
            print(f"    {place}")

    def named(found: Iterable[tuple[Path, ast.AST]], limit: int) -> list[str]:
        return [f"{file}: {getattr(node, 'name', '')}, {lines(node)} lines"
                for file, node in found if lines(node) > limit]  # fmt: skip

    show("modules in src/", len(source))
    show("lines in src/", sum(source.values()))
    show("statements in src/ and ci/, without docstrings", len(statements) - len(docstrings))
    show("median module in src/, lines", f"{median(source.values()):g}")
    show("median function, lines", f"{median(lines(node) for _, node in functions):g}")
    show(f"functions over {LONG_FUNCTION} lines", len(long := named(functions, LONG_FUNCTION)), long)
    show(f"classes over {LONG_CLASS} lines", len(large := named(classes, LONG_CLASS)), large)
    show("imports against the layers", len(against) if order else "there is no contract", against)
    show("import cycles", len(found := cycles(graph)), [", ".join(group) for group in found])
    show("# fmt: skip", len(skips), skips)
    twice = [f"{name}: {', '.join(files)}" for name, files in sorted(names.items()) if len(files) > 1]
    show("class names used twice", len(twice), twice)
    show("'what' per 1,000 words of docstrings", f"{1000 * words.count('what') / len(words):.1f}")


if __name__ == "__main__":
    main()
