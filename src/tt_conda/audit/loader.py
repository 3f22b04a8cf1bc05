"""Where the dynamic linker would find the libraries that an object needs, without loading anything.

The rules are glibc's (ld.so(8); elf/dl-load.c): a name that is already loaded is used again; else it is looked for in
the DT_RPATH of the object that needs it and of those that loaded that one, unless it has a DT_RUNPATH; then in
LD_LIBRARY_PATH; in its own DT_RUNPATH, which serves no one else; in ld.so.cache; in the default folders.
``$ORIGIN`` is the folder of the name under which an object was found, links not followed.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

from tt_conda.elf import Elf, ElfError, read

How = Literal["start", "path", "loaded", "RPATH", "LD_LIBRARY_PATH", "RUNPATH", "ld.so.cache", "default"]

_CACHE_TAGS = {"x86_64": "x86-64", "aarch64": "AArch64"}
_TOKEN = re.compile(r"\$(?:\{(ORIGIN|LIB|PLATFORM)\}|(ORIGIN|LIB|PLATFORM)\b)")


@dataclass
class Loaded:
    """An object in the (simulated) process."""

    path: Path
    elf: Elf
    how: How
    loader: Loaded | None
    """The object whose NEEDED brought it in."""

    @property
    def names(self) -> set[str]:
        """What a NEEDED must say to be satisfied by it."""
        return {self.path.name, *([self.elf.soname] if self.elf.soname else [])}


@dataclass
class Closure:
    """Everything that loading an object brings in, in the order of loading (breadth first), and what is missing."""

    loaded: list[Loaded] = field(default_factory=list)
    missing: list[tuple[str, Loaded]] = field(default_factory=list)
    """NEEDED name, and the object that has it."""


@dataclass(frozen=True)
class System:
    """What a machine's dynamic linker knows besides the objects."""

    cache: Mapping[str, Path] = field(default_factory=dict)
    """ld.so.cache: soname → file."""
    default: tuple[Path, ...] = ()
    library_path: tuple[Path, ...] = ()
    """LD_LIBRARY_PATH."""


@lru_cache
def this_system() -> System:
    """This machine's cache and default folders; LD_LIBRARY_PATH is not read from it."""
    multiarch = f"{platform.machine()}-linux-gnu"
    folders = [f"/lib/{multiarch}", f"/usr/lib/{multiarch}", "/lib64", "/usr/lib64", "/lib", "/usr/lib"]
    program = next((p for p in ("/sbin/ldconfig", "/usr/sbin/ldconfig") if Path(p).exists()), "ldconfig")
    cache: dict[str, Path] = {}
    try:
        listed = subprocess.run([program, "-p"], capture_output=True, text=True, check=False).stdout
    except OSError:
        listed = ""
    for line in listed.splitlines()[1:]:
        name, _, path = line.strip().partition(" => ")
        if path and _CACHE_TAGS.get(platform.machine(), "?") in name:
            cache.setdefault(name.split(" ")[0], Path(path))
    return System(cache, tuple(Path(folder) for folder in folders if Path(folder).is_dir()))


def closure(start: Path, system: System, *, host: Sequence[Loaded] = ()) -> Closure:
    """Follow NEEDED from an object as the dynamic linker does.

    Args:
        start: a program, or a library that ``host`` loads with dlopen.
        system: the machine's cache and folders.
        host: what the process has loaded already, its program first; the last one calls dlopen.

    Raises:
        ElfError: ``start`` cannot be read. An unreadable dependency counts as missing, as for the linker.
    """
    found = Closure()
    first = Loaded(start, read(start), "start", host[-1] if host else None)
    by_name: dict[str, Loaded] = {name: item for item in reversed(host) for name in item.names}
    program = host[0] if host else first
    found.loaded.append(first)
    by_name |= dict.fromkeys(first.names, first)
    queue = [first]
    while queue:
        item = queue.pop(0)
        for name in item.elf.needed:
            if name in by_name:
                continue
            hit = _find(name, item, program, system)
            if hit is None:
                found.missing.append((name, item))
                continue
            by_name |= {each: hit for each in (name, *hit.names) if each not in by_name}
            found.loaded.append(hit)
            queue.append(hit)
    return found


def _find(name: str, needer: Loaded, program: Loaded, system: System) -> Loaded | None:
    if "/" in name:
        return _open(Path(_expand(name, needer)), name, needer, "path")
    places: list[tuple[How, Iterable[Path]]] = []
    if needer.elf.runpath is None:
        chain = _chain(needer)
        if program not in chain:
            chain.append(program)
        places += [("RPATH", _folders(o.elf.rpath, o)) for o in chain if o.elf.runpath is None]
    places.append(("LD_LIBRARY_PATH", system.library_path))
    places.append(("RUNPATH", _folders(needer.elf.runpath, needer)))
    for how, folders in places:
        for folder in folders:
            if hit := _open(folder / name, name, needer, how):
                return hit
    if (cached := system.cache.get(name)) and (hit := _open(cached, name, needer, "ld.so.cache")):
        return hit
    for folder in system.default:
        if hit := _open(folder / name, name, needer, "default"):
            return hit
    return None


def _chain(item: Loaded) -> list[Loaded]:
    chain: list[Loaded] = []
    link: Loaded | None = item
    while link is not None:
        chain.append(link)
        link = link.loader
    return chain


def _folders(search: str | None, owner: Loaded) -> list[Path]:
    if not search:
        return []
    return [Path(_expand(part, owner) or ".") for part in search.split(":")]


def _expand(text: str, owner: Loaded) -> str:
    values = {"ORIGIN": str(owner.path.parent), "LIB": "lib64", "PLATFORM": platform.machine()}
    if Path("/lib", f"{platform.machine()}-linux-gnu").is_dir():  # Debian's linker has another idea of $LIB
        values["LIB"] = f"lib/{platform.machine()}-linux-gnu"
    return _TOKEN.sub(lambda match: values[match[1] or match[2]], text)


def _open(path: Path, name: str, needer: Loaded, how: How) -> Loaded | None:
    """The object at ``path``, unless it is of another machine: those are passed over."""
    if not os.path.exists(path):  # noqa: PTH110  (called for every folder of every search: the cheapest there is)
        return None
    elf = _facts(path)
    if elf is None or elf.machine != needer.elf.machine:
        return None
    return Loaded(Path(os.path.normpath(path)), elf, how, needer)


@lru_cache(4096)
def _facts(path: Path) -> Elf | None:
    try:
        return read(path)
    except (ElfError, OSError):
        return None
