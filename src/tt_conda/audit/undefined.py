"""The symbols that objects lack where they are really used, and whose they would be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tt_conda.audit.demangle import namespace_of

if TYPE_CHECKING:
    from tt_conda.audit.loader import Closure
    from tt_conda.audit.scene import Object, Scene

_SHARED = frozenset({"", "std", "__gnu_cxx", "__cxxabiv1", "__cxxabiv", "pybind11"})
"""Namespaces that everybody's templates export into: they do not tell whose a symbol is."""


@dataclass(eq=False)
class Undefined:
    """What an object lacks."""

    item: Object
    names: set[str] = field(default_factory=set)
    roots: list[Object] = field(default_factory=list)
    """What cannot be loaded because of it."""
    around: set[Object] = field(default_factory=set)
    """The objects of the closures in which it was looked for."""


def undefined_symbols(scene: Scene) -> list[Undefined]:
    """What objects lack in the closures of roots, without what belongs to libraries that are not there.

    Symbols that are wanted in a version of a library outside of the targets count as provided where nothing is
    installed: that machine is not this one.
    """
    found: dict[Object, Undefined] = {}
    for root, lacking in scene.unresolved:
        closure = scene.closure(root)
        absent = bool(closure.missing)
        if absent and not (root.is_program or root.is_python_module):
            continue  # a plugin that is known not to load, and that its opener does without
        for item, names in lacking.items():
            mine = _of_present(item, names, closure, scene) if absent else set(names)
            if scene.is_for_any_machine:
                mine -= _of_machine(item, closure, scene)
            if mine:
                each = found.setdefault(item, Undefined(item))
                each.names |= mine
                each.roots.append(root)
                each.around.update(loaded.object for loaded in closure.loaded)
    return list(found.values())


def _of_present(item: Object, names: frozenset[str], closure: Closure, scene: Scene) -> set[str]:
    """The names in a namespace that a library of the closure exports."""
    exported: set[str] = set()
    for loaded in closure.loaded:
        if loaded.object is not item and scene.is_inside(loaded.object.path):
            exported |= scene.namespaces(loaded.object)
    return {name for name in names if namespace_of(name) in exported - _SHARED}


def _of_machine(item: Object, closure: Closure, scene: Scene) -> set[str]:
    elsewhere = {
        version
        for library, versions in item.elf.version_needs.items()
        if (provider := closure.by_name.get(library)) is None or not scene.is_inside(provider.object.path)
        for version in versions
    }
    return {name for name, version in item.elf.symbols.wanted_versions.items() if version in elsewhere}


def namespaces(item: Object) -> frozenset[str]:
    """The outermost C++ namespaces that an object exports names in."""
    return frozenset({namespace_of(name) for name in item.elf.symbols.defined if name.startswith("_ZN")})
