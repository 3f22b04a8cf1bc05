"""What a program, a library or Python code opens for everybody before it opens another object.

An object finds symbols in its own closure, and in what is in the global scope by then: the program's libraries, and
what was opened with RTLD_GLOBAL (dlopen(3)). Who opens what is told by names: the file names in the read-only data of
an object that calls dlopen, and in Python code that has RTLD_GLOBAL.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tt_conda.audit.loader import Closure
from tt_conda.audit.lookup import Lookup
from tt_conda.audit.objects import Object
from tt_conda.audit.scene import Scene

_OPENING = frozenset({"CDLL", "PyDLL", "LoadLibrary", "dlopen"})
_VERSION = re.compile(r"(?<=\.so)[\d.]+$")


@dataclass(frozen=True)
class Opening:
    """An opener, and what is in the global scope when it opens the object in question."""

    opener: str
    """File name of the object, or path of the Python file."""
    objects: tuple[Object, ...]

    def providers(self, names: frozenset[str]) -> list[Object]:
        """The objects that have the symbols; none unless they have all of them."""
        found, left = [], names
        for item in self.objects:
            if left and (here := left & item.elf.symbols.defined):
                found.append(item)
                left -= here
        return [] if left else found


class Openers:
    """Finds the openers of a scene's objects, each read once."""

    def __init__(
        self, scene: Scene, files: Lookup, closure_of: Callable[[Object], Closure],
        depends: Callable[[str, str], bool],
    ) -> None:  # fmt: skip
        """Take the scene and what is known of it.

        Args:
            scene: the objects, and the Python files.
            files: finds objects by name.
            closure_of: everything that loading an object brings in.
            depends: whether a package is another one, or depends on it.
        """
        self._scene, self._files, self._closure_of, self._runs_before = scene, files, closure_of, depends
        self._python: dict[str, tuple[Opening, ...]] = {}

    def _are_related(self, one: str, other: str) -> bool:
        return self._runs_before(one, other) or self._runs_before(other, one)

    def openings(self, item: Object) -> Iterator[Opening]:
        """Who opens an object, with what is there for it by then."""
        for opener in self._who_opens(item):
            yield Opening(opener.name, tuple(dict.fromkeys(self._global_by(opener, {item}))))
        for folder in self._folders(item):
            yield from self._python_in(folder)

    def _folders(self, item: Object) -> dict[str, None]:
        """The folders of an object's package and of those that it depends on: their code runs before it is opened."""
        found: dict[str, None] = {}
        for each in (item, *(other for other in self._scene if self._runs_before(item.owner, other.owner))):
            folder = each.path.rpartition("/")[0]
            while folder not in found and self._scene.is_inside(f"{folder}/") and not folder.endswith("/site-packages"):
                found[folder] = None
                folder = folder.rpartition("/")[0]
        return found

    def _who_opens(self, item: Object) -> list[Object]:
        names = {item.name, item.soname, _VERSION.sub("", item.name)}
        return [
            other for other in self._scene
            if other is not item and self._are_related(item.owner, other.owner) and not names.isdisjoint(other.may_open)
        ]  # fmt: skip

    def _global_by(self, opener: Object, above: set[Object]) -> Iterator[Object]:
        if opener.is_program:
            yield from (loaded.object for loaded in self._closure_of(opener).loaded)
        for name in sorted(opener.may_open):
            for opened in self._files.named(name):
                if opened not in above and self._are_related(opener.owner, opened.owner):
                    yield from (loaded.object for loaded in self._closure_of(opened).loaded)
        for other in self._who_opens(opener):
            if other not in above:
                yield from self._global_by(other, above | {opener})

    def _python_in(self, folder: str) -> tuple[Opening, ...]:
        if folder not in self._python:
            self._python[folder] = tuple(
                Opening(member, tuple(objects))
                for read in self._scene.python for member, text in read(folder)
                if (objects := list(self._opened_by(text, folder)))
            )  # fmt: skip
        return self._python[folder]

    def _opened_by(self, text: str, folder: str) -> Iterator[Object]:
        names, modules = opened_globally(text)
        for item in self._scene if names or modules else ():
            if item.path.startswith(folder.rpartition("/")[0] + "/"):
                stem = item.name.partition(".")[0]
                aliases = (item.name, stem, stem.removeprefix("lib"))
                is_imported = item.is_python_module and stem in modules
                if is_imported or any(fnmatchcase(alias, name) for name in names for alias in aliases):
                    yield from (loaded.object for loaded in self._closure_of(item).loaded)


def opened_globally(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """The names of libraries that Python code opens with RTLD_GLOBAL, and of modules that it so imports.

    The former are the strings, or patterns, from which the first argument of a call with this flag is made: variables,
    loops and parameters of the file's own functions are followed. The latter count if the file changes the flags of
    imports (``sys.setdlopenflags``).
    """
    if "RTLD_GLOBAL" not in text:
        return frozenset(), frozenset()
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return frozenset(), frozenset()
    bound = _bindings(tree)
    names: set[str] = set()
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node.func) in _OPENING and node.args:
            flags = [*node.args[1:], *(each.value for each in node.keywords)]
            if any("RTLD_GLOBAL" in (_name(each), _text(each)) for flag in flags for each in _reached(flag, bound)):
                strings = (_text(each) for each in _reached(node.args[0], bound))
                names.update(text.rpartition("/")[2] for text in strings)
        elif isinstance(node, (ast.Import, ast.ImportFrom)) and "setdlopenflags" in text:
            modules.update(alias.name.rpartition(".")[2] for alias in node.names)
            if isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module.rpartition(".")[2])
    return frozenset(names - {""}), frozenset(modules)


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _text(node: ast.AST) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _bindings(tree: ast.AST) -> dict[str, list[ast.AST]]:
    """Name → the expressions that it may stand for, whatever its scope."""
    found: dict[str, list[ast.AST]] = {}
    parameters: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            parameters[node.name] = [each.arg for each in (*node.args.posonlyargs, *node.args.args)]
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value: ast.AST | None = getattr(node, "value", None) or getattr(node, "iter", None)
        for target in targets:
            for each in ast.walk(target) if target is not None else ():
                if value is not None and (name := _name(each)):
                    found.setdefault(name, []).append(value)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (names := parameters.get(_name(node.func))):
            given = list(zip(names[names[0] == "self" :], node.args, strict=False))
            for name, value in [*given, *((each.arg, each.value) for each in node.keywords if each.arg)]:
                found.setdefault(name, []).append(value)
    return found


def _reached(start: ast.AST, bound: dict[str, list[ast.AST]]) -> Iterator[ast.AST]:
    """The nodes of an expression and of all that its names stand for."""
    seen: set[str] = set()
    queue = [start]
    while queue:
        for node in ast.walk(queue.pop()):
            yield node
            if (name := _name(node)) and name not in seen:
                seen.add(name)
                queue += bound.get(name, [])
