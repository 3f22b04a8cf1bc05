"""The NEEDED names that are not found, with the reason.

A library is checked where it is used: in the closures of programs, Python modules, and objects that nothing else loads.
It does not matter if it could not be opened alone, as long as nobody does.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tt_conda.audit.loader import Closure, Loaded, System, expanded, search_folders
from tt_conda.audit.lookup import Lookup
from tt_conda.audit.objects import Object

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


def roots(there: Sequence[Object], closure_of: Callable[[Object], Closure]) -> list[Object]:
    """What is opened by itself: programs, Python modules, and whatever these do not bring in."""
    found = [item for item in there if item.is_program or item.is_python_module]
    reached = set(found)

    def extend(new: Iterable[Object]) -> None:
        for item in new:
            reached.update(loaded.object for loaded in closure_of(item).loaded)

    extend(found)
    rest = [item for item in there if item not in reached]
    wanted = {name for item in there for name in item.elf.needed}
    first = [item for item in rest if item.name not in wanted and item.soname not in wanted]
    extend(first)
    second = [item for item in rest if item not in reached]
    return [*found, *first, *second]


def lost_names(
    roots: Iterable[Object], closure_of: Callable[[Object], Closure], files: Lookup, system: System,
    program: Loaded | None, nearest: Callable[[Object, Sequence[Object]], Sequence[Object]],
) -> list[Lost]:  # fmt: skip
    """Every name that is not found in the closure of a root, once for each object that needs it.

    Args:
        roots: what is opened by itself.
        closure_of: everything that loading one brings in.
        files: where objects are looked for.
        system: the machine's linker.
        program: what calls dlopen, where it is known.
        nearest: sorts providers for a consumer, those of the packages that it depends on first.
    """
    found: dict[tuple[Object, str, bool], Lost] = {}
    for root in roots:
        for name, item in closure_of(root).missing:
            key = item.object, name, root.is_program
            if key not in found:
                found[key] = _explain(name, item, files, system, program or item, nearest)
                if root.is_program and found[key].reason == "loaded first":
                    found[key].reason = "elsewhere"
            found[key].roots.append(root)
    return list(found.values())


def search_paths(found: Iterable[Lost]) -> list[str]:
    """The entries that would find all of these names, each once."""
    return list(dict.fromkeys(path for lost in found if (path := lost.search_path)))


def providers(name: str, needer: Object, files: Lookup) -> list[Object]:
    """The objects of the targets that have a name, for the consumer's machine."""
    return [each for each in files.named(name) if each.elf.machine == needer.elf.machine]


def _explain(
    name: str, item: Loaded, files: Lookup, system: System, program: Loaded,
    nearest: Callable[[Object, Sequence[Object]], Sequence[Object]],
) -> Lost:  # fmt: skip
    link = item.loader
    while link is not None:
        for folder in expanded(link.object.elf.runpath, link.path, system):
            provider = files.find(f"{folder}/{name}")
            if provider is not None and provider.elf.machine == item.object.elf.machine:
                return Lost(name, item.object, "runpath", provider, link.object)
        link = link.loader
    there = nearest(item.object, providers(name, item.object, files))
    if not there:
        return Lost(name, item.object, "nowhere")
    searched = {posixpath.normpath(folder) for _, folder in search_folders(item, program, system)}
    for provider in there:
        if provider.name != name and posixpath.dirname(provider.path) in searched:
            return Lost(name, item.object, "file name", provider)
    return Lost(name, item.object, "loaded first", there[0])
