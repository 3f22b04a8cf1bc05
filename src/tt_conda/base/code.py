"""The code that a cached result comes from, found by reading it: its digest is part of the key of every cache.

Counted are the modules that a module imports, in functions too; the modules of a package that loads them by name
(``__path__``), and those that are started by name (``python -m``); the data files beside a module that it names; the
versions of the libraries imported, and of the programs in a module's ``PROGRAMS``.
"""

from __future__ import annotations

import ast
import hashlib
import re
import subprocess
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import metadata
from pathlib import Path

from tt_conda.base.files import digest_of
from tt_conda.base.process import find_program

ROOT = Path(__file__).parents[1]
"""The folder of the package."""

_FILE = re.compile(r"[\w-]+(\.[\w-]+)+")


@dataclass(frozen=True)
class Code:
    """What a module's results depend on."""

    files: frozenset[Path]
    """Modules and data files."""
    libraries: frozenset[str]
    """Top-level names of the modules imported from elsewhere, the standard library's included."""
    programs: frozenset[str]


@dataclass(frozen=True)
class _Module:
    imports: frozenset[str]
    data: frozenset[Path]
    programs: frozenset[str]
    loads_package: bool


@lru_cache
def code_of(*modules: str, root: Path = ROOT) -> Code:
    """The code of modules and of all that they import.

    Args:
        modules: names with the package's, ``tt_conda.carve``; absent ones are ignored.
        root: the folder of the package, of this one or of another checkout.
    """
    todo, files, programs, outside = list(modules), set[Path](), set[str](), set[str]()
    seen = set[str]()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        if (path := _path(root, name)) is None:
            outside.add(name.partition(".")[0])
            continue
        found = _read(path, root)
        files |= {path, *found.data}
        programs |= found.programs
        todo += [*found.imports, *([name.rpartition(".")[0]] if "." in name else [])]
        if found.loads_package:
            todo += [f"{name}.{item.stem}" for item in path.parent.glob("*.py") if item.stem != "__init__"]
    return Code(frozenset(files), frozenset(outside - {root.name}), frozenset(programs))


@lru_cache
def code_digest(*modules: str, without: tuple[Path, ...] = ()) -> str:
    """Hash of :func:`code_of`: contents of the files but those in ``without``, versions of libraries and programs."""
    code = code_of(*modules)
    versions = [f"{name} {_library_version(name)}" for name in sorted(code.libraries)]
    versions += [f"{name} {_program_version(name)}" for name in sorted(code.programs)]
    return hashlib.sha256("\n".join([files_digest(code, without=without), *versions]).encode()).hexdigest()


def files_digest(code: Code, root: Path = ROOT, without: Collection[Path] = ()) -> str:
    """Hash of the names and contents of the files alone."""
    files = sorted(code.files - {*without})
    names = "\n".join(str(file.relative_to(root)) for file in files)
    return hashlib.sha256(f"{names}\n{digest_of(files)}".encode()).hexdigest()


def _path(root: Path, name: str) -> Path | None:
    top, _, rest = name.partition(".")
    if top != root.name:
        return None
    place = root.joinpath(*rest.split(".")) if rest else root
    return next((p for p in (place.with_name(f"{place.name}.py"), place / "__init__.py") if p.is_file()), None)


@cache
def _read(path: Path, root: Path) -> _Module:
    imports, data, programs, loads_package = set[str](), set[Path](), set[str](), False
    for node in _executed(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            imports |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imports.add(module := node.module or "")
            inside = (f"{module}.{alias.name}" for alias in node.names)
            imports |= {name for name in inside if _path(root, name)}
        elif isinstance(node, ast.Name):
            loads_package |= node.id == "__path__"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if _FILE.fullmatch(node.value):
                if _path(root, node.value):
                    imports.add(node.value)
                elif (path.parent / node.value).is_file():
                    data.add(path.parent / node.value)
        elif isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "PROGRAMS" for t in node.targets):
            programs |= set(ast.literal_eval(node.value))
    return _Module(frozenset(imports), frozenset(data), frozenset(programs), loads_package)


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those below ``if TYPE_CHECKING``."""
    todo = [tree]
    while todo:
        node = todo.pop()
        yield node
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            todo += node.orelse
        else:
            todo += ast.iter_child_nodes(node)


@lru_cache
def _distributions() -> dict[str, str]:
    """Top-level module → version, of the distributions that this one requires."""
    found: dict[str, str] = {}
    try:
        required = metadata.requires("tt-conda") or []
    except metadata.PackageNotFoundError:
        return found
    for line in required:
        match = re.match(r"[\w.-]+", line)
        if match and "extra ==" not in line:
            try:
                distribution = metadata.distribution(match[0])
            except metadata.PackageNotFoundError:
                continue
            for file in distribution.files or ():
                if file.suffix in (".py", ".so") and not file.parts[0].startswith("."):
                    found[file.parts[0].partition(".")[0]] = distribution.version
    return found


def _library_version(name: str) -> str:
    return _distributions().get(name, "")


@cache
def _program_version(name: str) -> str:
    if (program := find_program(name)) is None:
        return ""
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
