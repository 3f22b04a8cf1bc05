"""Where the dynamic linker would find the libraries that an object needs, without loading anything.

The rules are glibc's (ld.so(8); elf/dl-load.c): a name that is already loaded is used again; else it is looked for in
the DT_RPATH of the object that needs it and of those that loaded that one, unless it has a DT_RUNPATH; then in
LD_LIBRARY_PATH; in its own DT_RUNPATH, which serves no one else; in ld.so.cache; in the default folders.
``$ORIGIN`` is the folder of the name under which an object was found, links not followed; a file that is loaded
already, by whatever name, is not loaded again.
"""

from __future__ import annotations

import platform
import posixpath
import re
import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from tt_conda.audit.scene import Object

How = Literal["start", "path", "loaded", "once", "RPATH", "LD_LIBRARY_PATH", "RUNPATH", "ld.so.cache", "default"]

_CACHE_TAGS = {"x86_64": "x86-64", "aarch64": "AArch64"}
_TOKEN = re.compile(r"\$(?:\{(ORIGIN|LIB|PLATFORM)\}|(ORIGIN|LIB|PLATFORM)\b)")


class Files(Protocol):
    """Where objects are looked for: a scene."""

    def find(self, path: str) -> Object | None:
        """The object that opening ``path`` gives."""

    def substitute(self, name: str) -> Object | None:
        """The object that stands for a NEEDED name before any search; usually none."""


@dataclass(eq=False)
class Loaded:
    """An object in the (simulated) process."""

    path: str
    """The name under which it was found, as the linker puts it together."""
    object: Object
    how: How
    loader: Loaded | None
    """What brought it in, by NEEDED or by dlopen."""

    @property
    def names(self) -> set[str]:
        """What a NEEDED must say to be satisfied by it."""
        soname = self.object.elf.soname
        return {posixpath.basename(self.path), *([soname] if soname else [])}


@dataclass
class Closure:
    """Everything that loading an object brings in, in the order of loading (breadth first), and what is missing."""

    loaded: list[Loaded] = field(default_factory=list)
    missing: list[tuple[str, Loaded]] = field(default_factory=list)
    """NEEDED name, and the object that has it."""
    resolved: dict[tuple[Loaded, str], Loaded] = field(default_factory=dict)
    """(needer, NEEDED name) → what satisfies it: the edges."""


@dataclass(frozen=True)
class System:
    """What a machine's dynamic linker knows besides the objects."""

    cache: Mapping[str, str] = field(default_factory=dict)
    """ld.so.cache: soname → file."""
    default: tuple[str, ...] = ()
    library_path: tuple[str, ...] = ()
    """LD_LIBRARY_PATH."""


@lru_cache
def this_system() -> System:
    """This machine's cache and default folders; LD_LIBRARY_PATH is not read from it."""
    multiarch = f"{platform.machine()}-linux-gnu"
    folders = [f"/lib/{multiarch}", f"/usr/lib/{multiarch}", "/lib64", "/usr/lib64", "/lib", "/usr/lib"]
    program = next((p for p in ("/sbin/ldconfig", "/usr/sbin/ldconfig") if Path(p).exists()), "ldconfig")
    cache: dict[str, str] = {}
    try:
        listed = subprocess.run([program, "-p"], capture_output=True, text=True, check=False).stdout
    except OSError:
        listed = ""
    for line in listed.splitlines()[1:]:
        name, _, path = line.strip().partition(" => ")
        if path and _CACHE_TAGS.get(platform.machine(), "?") in name:
            cache.setdefault(name.split(" ")[0], path)
    return System(cache, tuple(folder for folder in folders if Path(folder).is_dir()))


def closure(start: Object, system: System, files: Files, *, host: Sequence[Loaded] = ()) -> Closure:
    """Follow NEEDED from an object as the dynamic linker does.

    Args:
        start: a program, or a library that ``host`` loads with dlopen.
        system: the machine's cache and folders.
        files: where objects are found.
        host: what the process has loaded already, its program first, which calls dlopen.
            An unreadable dependency counts as missing, as for the linker.
    """
    found = Closure()
    first = Loaded(start.path, start, "start", host[0] if host else None)
    by_name: dict[str, Loaded] = {name: item for item in reversed(host) for name in item.names}
    by_object: dict[Object, Loaded] = {item.object: item for item in reversed(host)}
    program = host[0] if host else first
    found.loaded.append(first)
    by_name |= dict.fromkeys(first.names, first)
    by_object[start] = first
    queue = deque([first])
    while queue:
        item = queue.popleft()
        for name in item.object.elf.needed:
            known = by_name.get(name)
            if known is None:
                hit = _find(name, item, program, system, files)
                if hit is None:
                    found.missing.append((name, item))
                    continue
                known = by_object.get(hit.object)
                if known is None:
                    known = by_object[hit.object] = hit
                    found.loaded.append(hit)
                    queue.append(hit)
                for each in (name, *known.names):
                    by_name.setdefault(each, known)
            found.resolved[item, name] = known
    return found


def search_folders(needer: Loaded, program: Loaded, system: System) -> list[tuple[How, str]]:
    """The folders in which the names that ``needer`` needs are looked for, in order, before the machine's own."""
    places: list[tuple[How, str]] = []
    if needer.object.elf.runpath is None:
        chain = _chain(needer)
        if program not in chain:
            chain.append(program)
        for owner in chain:
            if owner.object.elf.runpath is None:
                places += [("RPATH", folder) for folder in expanded(owner.object.elf.rpath, owner.path)]
    places += [("LD_LIBRARY_PATH", folder) for folder in system.library_path]
    places += [("RUNPATH", folder) for folder in expanded(needer.object.elf.runpath, needer.path)]
    return places


def _find(name: str, needer: Loaded, program: Loaded, system: System, files: Files) -> Loaded | None:
    if (only := files.substitute(name)) is not None:
        return Loaded(only.path, only, "once", needer)
    if "/" in name:
        return _open(_expand(name, needer.path), needer, "path", files)
    for how, folder in search_folders(needer, program, system):
        if hit := _open(f"{folder}/{name}", needer, how, files):
            return hit
    if (cached := system.cache.get(name)) and (hit := _open(cached, needer, "ld.so.cache", files)):
        return hit
    for folder in system.default:
        if hit := _open(f"{folder}/{name}", needer, "default", files):
            return hit
    return None


def _chain(item: Loaded) -> list[Loaded]:
    chain: list[Loaded] = []
    link: Loaded | None = item
    while link is not None:
        chain.append(link)
        link = link.loader
    return chain


def expanded(search: str | None, path: str) -> list[str]:
    """The folders of an RPATH or RUNPATH, for an object that was found under ``path``."""
    if not search:
        return []
    return [_expand(part, path) or "." for part in search.split(":")]


def _expand(text: str, path: str) -> str:
    if "$" not in text:
        return text
    values = {"ORIGIN": posixpath.dirname(path), "LIB": _lib(), "PLATFORM": platform.machine()}
    return _TOKEN.sub(lambda match: values[match[1] or match[2]], text)


@lru_cache
def _lib() -> str:
    """What $LIB stands for: Debian's linker has another idea of it."""
    multiarch = f"lib/{platform.machine()}-linux-gnu"
    return multiarch if Path("/", multiarch).is_dir() else "lib64"


def _open(path: str, needer: Loaded, how: How, files: Files) -> Loaded | None:
    """The object at ``path``, unless it is of another machine: those are passed over."""
    found = files.find(path)
    if found is None or found.elf.machine != needer.object.elf.machine:
        return None
    return Loaded(path, found, how, needer)
