"""Missing symbols of objects in actual use, with their likely libraries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from tt_conda.audit.loader import Closure
from tt_conda.audit.objects import Object
from tt_conda.audit.scene import Scene
from tt_conda.elf.demangle import namespace_of

_QUALIFIERS = ("", "K", "V", "VK", "R", "O", "KR", "KO", "r", "rK")
_SHARED = frozenset({"", "std", "__gnu_cxx", "__cxxabiv1", "__cxxabiv", "pybind11"})
"""Namespaces that any library's templates export into, so they do not identify a library."""


@dataclass(eq=False)
class Undefined:
    """The missing symbols of an object."""

    item: Object
    names: set[str] = field(default_factory=set)
    roots: list[Object] = field(default_factory=list)
    """The objects that cannot be loaded because of it."""
    around: set[Object] = field(default_factory=set)
    """The objects of the searched closures."""


Unresolved = Sequence[tuple[Object, Mapping[Object, frozenset[str]]]]
"""(root, object of its closure → its symbols that nothing there provides)."""


def undefined_symbols(
    scene: Scene, unresolved: Unresolved, closure_of: Callable[[Object], Closure]
) -> list[Undefined]:  # fmt: skip
    """What objects lack in the closures of roots, without what belongs to libraries that are not there.

    Symbols that are wanted in a version of a library outside of the targets count as provided where nothing is
    installed: that machine is not this one.
    """
    found: dict[Object, Undefined] = {}
    exports = cache(exports_in)
    for root, lacking in unresolved:
        closure = closure_of(root)
        if closure.missing and not (root.is_program or root.is_python_module):
            continue  # a plugin known not to load, without which its host copes
        for item, names in lacking.items():
            if mine := without_absent(item, names, closure, scene, exports):
                each = found.setdefault(item, Undefined(item))
                each.names |= mine
                each.roots.append(root)
                each.around.update(loaded.object for loaded in closure.loaded)
    return list(found.values())


def without_absent(
    item: Object, names: frozenset[str], closure: Closure, scene: Scene, exports: Callable[[Object, str], bool]
) -> set[str]:
    """The missing symbols of an object, without those of libraries that are not among the targets."""
    mine = _of_present(item, names, closure, scene, exports) if closure.missing else set(names)
    if scene.kind == "process" and mine:
        mine -= frozenset[str]().union(*(other.elf.symbols.defined for other in scene))  # it runs: RTLD_GLOBAL
    if scene.is_for_any_machine:
        mine -= _of_machine(item, closure, scene)
    return mine


def _of_present(
    item: Object, names: frozenset[str], closure: Closure, scene: Scene, exports: Callable[[Object, str], bool]
) -> set[str]:
    """The names in a namespace that a library of the closure exports."""
    present = [o.object for o in closure.loaded if o.object is not item and scene.is_inside(o.object.path)]
    spaces = {name: namespace_of(name) for name in names}
    exported = {
        space for space in set(spaces.values()) - _SHARED - {""}
        if any(exports(each, space) for each in present)
    }  # fmt: skip
    return {name for name, space in spaces.items() if space in exported}


def _of_machine(item: Object, closure: Closure, scene: Scene) -> set[str]:
    elsewhere = {
        version
        for library, versions in item.elf.version_needs.items()
        if (provider := closure.by_name.get(library)) is None or not scene.is_inside(provider.object.path)
        for version in versions
    }
    return {name for name, version in item.elf.symbols.wanted_versions.items() if version in elsewhere}


def exports_in(item: Object, namespace: str) -> bool:
    """Whether an object exports a name in an outermost C++ namespace (Itanium C++ ABI, 5.1.2)."""
    part = f"{len(namespace)}{namespace}"
    if part not in "\n".join(item.elf.symbols.defined):  # quick: most objects have none
        return False
    begins = tuple(f"_ZN{qualifiers}{part}" for qualifiers in _QUALIFIERS)
    return any(name.startswith(begins) for name in item.elf.symbols.defined)
