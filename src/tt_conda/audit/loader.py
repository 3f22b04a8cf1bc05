"""Where the dynamic linker would find the libraries that an object needs, without loading anything.

The rules are glibc's (ld.so(8); elf/dl-load.c): a name that is already loaded is used again; else it is looked for in
the DT_RPATH of the object that needs it and of those that loaded that one, unless it has a DT_RUNPATH; then in
LD_LIBRARY_PATH; in its own DT_RUNPATH, which serves no one else; in ld.so.cache; in the default folders. In each folder
the subfolders for this processor come first (``glibc-hwcaps/x86-64-v3``). ``$ORIGIN`` is the folder of the name under
which an object was found, links not followed; a file that is loaded already, by whatever name, is not loaded again. A
library for another machine is passed over; at a file that is no library the search ends.
"""

from __future__ import annotations

import platform
import posixpath
import re
import subprocess
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Literal, Protocol

from tt_conda.audit.objects import Object

How = Literal["start", "path", "loaded", "once", "RPATH", "LD_LIBRARY_PATH", "RUNPATH", "ld.so.cache", "default"]

_CACHE_TAGS = {"x86_64": "x86-64", "aarch64": "AArch64"}
_LINKERS = {"x86_64": "ld-linux-x86-64.so.2", "aarch64": "ld-linux-aarch64.so.1"}
_LEVEL = re.compile(r'hwcap: "([^"]+)"')
_TOKEN = re.compile(r"\$(?:\{(ORIGIN|LIB|PLATFORM)\}|(ORIGIN|LIB|PLATFORM)\b)")


class Files(Protocol):
    """Where objects are looked for: a scene."""

    def find(self, path: str) -> Object | None:
        """The object that opening ``path`` gives."""

    def substitute(self, name: str) -> Object | None:
        """The object that stands for a NEEDED name before any search; usually none."""

    def ends_search(self, path: str) -> bool:
        """Whether a file at ``path``, where no object is, is one that the linker does not pass over."""

    def is_folder(self, path: str) -> bool:
        """Whether there is such a folder."""


@dataclass(eq=False)
class Loaded:
    """An object in the (simulated) process."""

    path: str
    """The name under which it was found, as the linker puts it together."""
    object: Object
    how: How
    loader: Loaded | None
    """What brought it in by NEEDED; None for what was started or opened: dlopen's caller does not count as a loader."""

    @property
    def names(self) -> set[str]:
        """What a NEEDED must say to be satisfied by it, besides the names by which it was asked for before."""
        soname = self.object.elf.soname
        return {self.path, *([soname] if soname else [])}


@dataclass
class Closure:
    """Everything that loading an object brings in, in the order of loading (breadth first), and what is missing."""

    loaded: list[Loaded] = field(default_factory=list)
    missing: list[tuple[str, Loaded]] = field(default_factory=list)
    """NEEDED name, and the object that has it."""
    resolved: dict[tuple[Loaded, str], Loaded] = field(default_factory=dict)
    """(needer, NEEDED name) → what satisfies it: the edges."""
    by_name: dict[str, Loaded] = field(default_factory=dict)
    """Every name in the process, what was loaded before included; version tables refer to libraries by these."""


@dataclass(frozen=True)
class System:
    """What a machine's dynamic linker knows besides the objects."""

    cache: Mapping[str, str] = field(default_factory=dict)
    """ld.so.cache: soname → file."""
    default: tuple[str, ...] = ()
    library_path: tuple[str, ...] = ()
    """LD_LIBRARY_PATH."""
    subfolders: tuple[str, ...] = ()
    """What is looked into first in each folder, for this processor: ``glibc-hwcaps/x86-64-v3``."""
    lib: str = "lib64"
    """What ``$LIB`` stands for; Debian's linker has another idea of it."""
    platform: str = platform.machine()
    """What ``$PLATFORM`` stands for."""
    working_folder: str = ""
    """Where relative and empty entries of a search path lead; not known before the program runs."""


@lru_cache
def this_system() -> System:
    """This machine's linker: what it says of itself (glibc 2.33 and newer), else what is usual; and its cache.

    LD_LIBRARY_PATH is not taken from this process.
    """
    machine = platform.machine()
    told = _diagnostics(f"/{'lib64' if machine == 'x86_64' else 'lib'}/{_LINKERS.get(machine, '?')}")
    folders = [value.rstrip("/") for name, value in told.items() if name.startswith("path.system_dirs")]
    multiarch = f"lib/{machine}-linux-gnu"
    lib = told.get("dl_dst_lib", multiarch if Path("/", multiarch).is_dir() else "lib64")
    usual = dict.fromkeys([f"/{lib}", f"/usr/{lib}", "/lib64", "/usr/lib64", "/lib", "/usr/lib"])
    levels = told.get("dl_hwcaps_subdirs", "").split(":")
    active = int(told.get("dl_hwcaps_subdirs_active", "0"), 16)
    subfolders = [f"glibc-hwcaps/{level}" for at, level in enumerate(levels) if level and active >> at & 1]
    return System(
        _cache(machine, [folder.rpartition("/")[2] for folder in subfolders]),
        tuple(folder for folder in folders or usual if Path(folder).is_dir()),
        subfolders=tuple(subfolders), lib=lib, platform=told.get("dl_platform", machine),
    )  # fmt: skip


def _diagnostics(linker: str) -> dict[str, str]:
    """``ld.so --list-diagnostics``: names and values."""
    try:
        done = subprocess.run([linker, "--list-diagnostics"], capture_output=True, text=True, check=False)
    except OSError:
        return {}
    pairs = (line.partition("=") for line in done.stdout.splitlines())
    return {name: value.strip('"') for name, equals, value in pairs if equals}


def _cache(machine: str, levels: Sequence[str]) -> dict[str, str]:
    """ld.so.cache as ``ldconfig -p`` lists it; of a library in several versions, the one for this processor."""
    program = next((p for p in ("/sbin/ldconfig", "/usr/sbin/ldconfig") if Path(p).exists()), "ldconfig")
    try:
        listed = subprocess.run([program, "-p"], capture_output=True, text=True, check=False).stdout
    except OSError:
        return {}
    best: dict[str, tuple[int, str]] = {}
    for line in listed.splitlines()[1:]:
        text, _, path = line.strip().partition(" => ")
        name, _, tags = text.partition(" ")
        if not path or _CACHE_TAGS.get(machine, "?") not in tags:
            continue
        level = _LEVEL.search(tags)
        if level and level[1] not in levels:
            continue
        rank = levels.index(level[1]) if level else len(levels)
        if name not in best or rank < best[name][0]:
            best[name] = rank, path
    return {name: path for name, (_, path) in best.items()}


def closure(start: Object, system: System, files: Files, *, host: Sequence[Loaded] = ()) -> Closure:
    """Follow NEEDED from an object as the dynamic linker does.

    Args:
        start: a program, or a library that ``host`` loads with dlopen.
        system: the machine's cache and folders.
        files: where objects are found.
        host: what the process has loaded already, its program first, which calls dlopen.
            What else it has opened since (``loaded``) satisfies names, but is in no scope but its own.
            An unreadable dependency counts as missing, as for the linker.
    """
    found = Closure()
    first = Loaded(start.path, start, "start", None)
    program = host[0] if host else first
    by_file = {item.object.file: item for item in reversed(host)} | {start.file: first}
    by_name = found.by_name
    for item in [*host, *([] if host else _interpreter(first, files)), first]:
        by_name |= {name: item for name in item.names if name not in by_name}
        by_file.setdefault(item.object.file, item)
        if item.how not in ("start", "path"):
            by_name.setdefault(posixpath.basename(item.path), item)  # NEEDED said this name
    found.loaded.append(first)
    queue = deque([first])
    listed = {first, *(item for item in host if item.how != "loaded")}
    while queue:
        item = queue.popleft()
        for name in item.object.elf.needed:
            known = by_name.get(name)
            if known is None:
                hit = _find(name, item, program, system, files)
                if hit is None:
                    found.missing.append((name, item))
                    continue
                known = by_file.setdefault(hit.object.file, hit)
                for each in (name, *known.names):
                    by_name.setdefault(each, known)
            if known not in listed:
                listed.add(known)
                found.loaded.append(known)
                queue.append(known)
            found.resolved[item, name] = known
    return found


def _interpreter(program: Loaded, files: Files) -> list[Loaded]:
    """The linker itself, which is in the process before anything else."""
    path = program.object.elf.interpreter
    linker = files.find(path) if path else None
    return [Loaded(path, linker, "start", program)] if path and linker else []


def search_folders(needer: Loaded, program: Loaded, system: System) -> list[tuple[How, str]]:
    """The folders in which the names that ``needer`` needs are looked for, in order, before the machine's own."""
    places: list[tuple[How, str]] = []
    if needer.object.elf.runpath is None:
        owners = _chain(needer)
        if program not in owners:
            owners.append(program)
        for owner in owners:
            if owner.object.elf.runpath is None:
                places += [("RPATH", folder) for folder in expanded(owner.object.elf.rpath, owner.path, system)]
    places += [("LD_LIBRARY_PATH", folder) for folder in system.library_path]
    places += [("RUNPATH", folder) for folder in expanded(needer.object.elf.runpath, needer.path, system)]
    return places


def _find(name: str, needer: Loaded, program: Loaded, system: System, files: Files) -> Loaded | None:
    if (only := files.substitute(name)) is not None:
        return Loaded(only.path, only, "once", needer)
    if "/" in name:
        path = _absolute(_expand(name, needer.path, system), system)
        return _open(path, needer, "path", files) if path else None
    folders = search_folders(needer, program, system)
    cached = system.cache.get(name)
    default: Sequence[str] = system.default
    if needer.object.elf.avoids_default:
        if cached and posixpath.dirname(cached) in default:
            cached = None
        default = ()
    from_cache: list[tuple[How, str]] = [("ld.so.cache", cached)] if cached else []
    last: list[tuple[How, str]] = [("default", each) for each in default]
    for how, path in chain(_paths(name, folders, system, files), from_cache, _paths(name, last, system, files)):
        if hit := _open(path, needer, how, files):
            return hit
        if files.ends_search(path):
            return None
    return None


def _paths(name: str, folders: Sequence[tuple[How, str]], system: System, files: Files) -> Iterator[tuple[How, str]]:
    """Where a name is looked for, in order (elf/dl-load.c, open_path)."""
    for how, folder in folders:
        for subfolder in system.subfolders:
            if files.is_folder(f"{folder}/{subfolder}"):
                yield how, f"{folder}/{subfolder}/{name}"
        yield how, f"{folder}/{name}"


def _chain(item: Loaded) -> list[Loaded]:
    found: list[Loaded] = []
    link: Loaded | None = item
    while link is not None:
        found.append(link)
        link = link.loader
    return found


def expanded(search: str | None, path: str, system: System) -> list[str]:
    """The folders of an RPATH or RUNPATH, for an object that was found under ``path``.

    Empty entries stand for the working folder, relative ones are below it: where it is not known they lead nowhere.
    """
    if not search:
        return []
    parts = (_absolute(_expand(part, path, system) or ".", system) for part in search.split(":"))
    return [part for part in parts if part]


def _absolute(path: str, system: System) -> str:
    if path.startswith("/") or not system.working_folder:
        return path if path.startswith("/") else ""
    return f"{system.working_folder}/{path}"


def _expand(text: str, path: str, system: System) -> str:
    if "$" not in text:
        return text
    values = {"ORIGIN": posixpath.dirname(path), "LIB": system.lib, "PLATFORM": system.platform}
    return _TOKEN.sub(lambda match: values[match[1] or match[2]], text)


def _open(path: str, needer: Loaded, how: How, files: Files) -> Loaded | None:
    """The object at ``path``, unless it is of another machine: those are passed over."""
    found = files.find(path)
    if found is None or found.elf.machine != needer.object.elf.machine:
        return None
    return Loaded(path, found, how, needer)
