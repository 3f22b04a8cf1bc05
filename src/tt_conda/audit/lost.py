"""The NEEDED names that are not found, with the reason.

A library is checked where it is used: in the closures of programs, Python modules, and objects that nothing else loads.
It does not matter if it could not be opened alone, as long as nobody does.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from tt_conda.audit.loader import Loaded, expanded, search_folders

if TYPE_CHECKING:
    from tt_conda.audit.scene import Object, Scene

Reason = Literal["nowhere", "elsewhere", "loaded first", "runpath", "file name"]
"""``elsewhere``: a program needs it, so nothing can have loaded it first."""


@dataclass(eq=False)
class Lost:
    """A needed name that is not found."""

    name: str
    needer: Object
    reason: Reason
    provider: Object | None = None
    """The object with that name, in another folder or under another file name."""
    via: Object | None = None
    """The object whose RUNPATH would find it."""
    roots: list[Object] = field(default_factory=list)
    """The objects that cannot be loaded."""

    @property
    def search_path(self) -> str:
        """The search path entry of the consumer that would find it; empty without a provider."""
        if self.provider is None:
            return ""
        folder, here = posixpath.dirname(self.provider.path), posixpath.dirname(self.needer.path)
        way = posixpath.relpath(folder, here)
        return "$ORIGIN" if way == "." else f"$ORIGIN/{way}"


def roots(scene: Scene) -> list[Object]:
    """What is opened by itself: programs, Python modules, and whatever these do not bring in.

    Copies for which another one stands (:attr:`Scene.once`) are not there.
    """
    there = [item for item in scene if scene.substitute(item.soname) in (None, item)]
    found = [item for item in there if item.is_program or item.is_python_module]
    reached = set(found)

    def extend(new: Iterable[Object]) -> None:
        for item in new:
            reached.update(loaded.object for loaded in scene.closure(item).loaded)

    extend(found)
    rest = [item for item in there if item not in reached]
    wanted = {name for item in there for name in item.elf.needed}
    first = [item for item in rest if item.name not in wanted and item.soname not in wanted]
    extend(first)
    second = [item for item in rest if item not in reached]
    return [*found, *first, *second]


def lost_names(scene: Scene) -> list[Lost]:
    """Every name that is not found in the closure of a root, once for each object that needs it."""
    found: dict[tuple[Object, str, bool], Lost] = {}
    for root in scene.roots:
        for name, item in scene.closure(root).missing:
            key = item.object, name, root.is_program
            if key not in found:
                found[key] = _explain(scene, name, item)
                if root.is_program and found[key].reason == "loaded first":
                    found[key].reason = "elsewhere"
            found[key].roots.append(root)
    return list(found.values())


def search_paths(found: Iterable[Lost]) -> list[str]:
    """The entries that would find all of these names, each once."""
    return list(dict.fromkeys(path for lost in found if (path := lost.search_path)))


def _explain(scene: Scene, name: str, item: Loaded) -> Lost:
    link = item.loader
    while link is not None:
        for folder in expanded(link.object.elf.runpath, link.path, scene.system):
            provider = scene.find(f"{folder}/{name}")
            if provider is not None and provider.elf.machine == item.object.elf.machine:
                return Lost(name, item.object, "runpath", provider, link.object)
        link = link.loader
    providers = [each for each in scene.named(name) if each.elf.machine == item.object.elf.machine]
    if not providers:
        return Lost(name, item.object, "nowhere")
    program = scene.host[0] if scene.host else item
    searched = {posixpath.normpath(folder) for _, folder in search_folders(item, program, scene.system)}
    for provider in providers:
        if provider.name != name and posixpath.dirname(provider.path) in searched:
            return Lost(name, item.object, "file name", provider)
    return Lost(name, item.object, "loaded first", providers[0])
