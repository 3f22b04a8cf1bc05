"""Resolve an object's libraries like the dynamic linker, without loading anything.

The rules are glibc's (ld.so(8); elf/dl-load.c). A name already loaded is reused. Otherwise these are searched in order:
the DT_RPATH of the object and of its loaders, unless the object has a DT_RUNPATH; LD_LIBRARY_PATH; the object's own
DT_RUNPATH, which applies to nothing else; ld.so.cache; the default folders. In each folder, subfolders for this
processor come first (``glibc-hwcaps/x86-64-v3``). ``$ORIGIN`` is the folder of the name under which an object was
found, without following links. A file already loaded under any name is not loaded again. A library for another machine
is skipped; a file that is not a library ends the search.
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
_LIBC = "libc.so.6"
_MERGED = frozenset(("libanl.so.1", "libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1"))
"""Parts of the C library since glibc 2.34 (its NEWS); only empty files of these names remain."""
_LEVEL = re.compile(r'hwcap: "([^"]+)"')
_TOKEN = re.compile(r"\$(?:\{(ORIGIN|LIB|PLATFORM)\}|(ORIGIN|LIB|PLATFORM)\b)")


class Files(Protocol):
    """A place to search for objects: a scene."""

    def find(self, path: str) -> Object | None:
        """The object opened by ``path``."""

    def substitute(self, name: str) -> Object | None:
        """The object that replaces a NEEDED name before any search; usually none."""

    def ends_search(self, path: str) -> bool:
        """Whether a file at ``path`` that is not an object stops the linker instead of being skipped."""

    def is_folder(self, path: str) -> bool:
        """Whether the folder exists."""


@dataclass(eq=False)
class Loaded:
    """An object in the (simulated) process."""

    path: str
    """The path under which it was found, as composed by the linker."""
    object: Object
    how: How
    loader: Loaded | None
    """The object whose NEEDED brought it in; None for a started or opened one: dlopen's caller is not a loader."""

    @property
    def names(self) -> set[str]:
        """NEEDED names that it satisfies, besides the names under which it was requested before."""
        soname = self.object.elf.soname
        return {self.path, *([soname] if soname else [])}


@dataclass
class Closure:
    """All objects loaded with an object, in load order (breadth first), and the missing ones."""

    loaded: list[Loaded] = field(default_factory=list)
    missing: list[tuple[str, Loaded]] = field(default_factory=list)
    """NEEDED name, and its consumer."""
    resolved: dict[tuple[Loaded, str], Loaded] = field(default_factory=dict)
    """(consumer, NEEDED name) → provider: the edges."""
    by_name: dict[str, Loaded] = field(default_factory=dict)
    """Every name in the process, including objects loaded before; version tables refer to libraries by these names."""
    relocated: frozenset[Object] = frozenset()
    """The objects that were opened earlier: their symbols are bound already."""


@dataclass(frozen=True)
class System:
    """A machine's dynamic linker configuration."""

    cache: Mapping[str, str] = field(default_factory=dict)
    """ld.so.cache: soname → file."""
    default: tuple[str, ...] = ()
    library_path: tuple[str, ...] = ()
    """LD_LIBRARY_PATH."""
    subfolders: tuple[str, ...] = ()
    """Subfolders searched first, for this processor: ``glibc-hwcaps/x86-64-v3``."""
    lib: str = "lib64"
    """Value of ``$LIB``; Debian's linker has a different one."""
    platform: str = platform.machine()
    """Value of ``$PLATFORM``."""
    working_folder: str = ""
    """Base of relative and empty search path entries; unknown before the program runs."""


@lru_cache
def this_system() -> System:
    """This machine's linker: its diagnostics (glibc 2.33 and newer), else usual values; and its cache.

    This process's LD_LIBRARY_PATH is ignored.
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
    """ld.so.cache as listed by ``ldconfig -p``; for several versions of a library, the one for this processor."""
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


def closure(
    start: Object, system: System, files: Files, *, host: Sequence[Loaded] = (), opened: Sequence[Closure] = ()
) -> Closure:  # fmt: skip
    """Follow NEEDED from an object like the dynamic linker. An unreadable dependency counts as missing.

    Args:
        start: a program, or a library that ``host`` loads with dlopen.
        system: the machine's cache and folders.
        files: the objects.
        host: the objects loaded so far, beginning with the program, which calls dlopen.
            Objects opened since then (``loaded``) satisfy names, but are only in their own scope.
        opened: what was opened before, in this order (RTLD_LOCAL): it satisfies names, and is only in its own scope.
    """
    found = Closure(relocated=frozenset(item.object for each in opened for item in each.loaded))
    first = Loaded(start.path, start, "start", None)
    host = [item for item in host if item.object.elf.machine == start.elf.machine]
    program = host[0] if host else first
    by_file = {item.object.file: item for item in reversed(host)} | {start.file: first}
    by_name = found.by_name
    for item in [*host, *([] if host else _interpreter(first, files)), first]:
        by_name |= {name: item for name in item.names if name not in by_name}
        by_file.setdefault(item.object.file, item)
        if item.how not in ("start", "path"):
            by_name.setdefault(posixpath.basename(item.path), item)  # the name in NEEDED
    for each in opened:
        for name, item in each.by_name.items():
            by_name.setdefault(name, item)
        for item in each.loaded:
            by_file.setdefault(item.object.file, item)
    found.loaded.append(first)
    queue = deque([first])
    listed = {first, *(item for item in host if item.how != "loaded")}
    while queue:
        item = queue.popleft()
        for name in item.object.elf.needed:
            known = by_name.get(name)
            if known is None:
                hit = _find(name, item, program, system, files) or _merged(name, item, program, system, files)
                if hit is None:
                    found.missing.append((name, item))
                    continue
                known = by_file.setdefault(hit.object.file, hit)
                for alias in (name, *known.names):
                    by_name.setdefault(alias, known)
            if known not in listed:
                listed.add(known)
                found.loaded.append(known)
                queue.append(known)
            found.resolved[item, name] = known
    return found


def _merged(name: str, needer: Loaded, program: Loaded, system: System, files: Files) -> Loaded | None:
    """The C library in place of a part that it contains since 2.34, whose empty file a machine may lack."""
    libc = _find(_LIBC, needer, program, system, files) if name in _MERGED else None
    return libc if libc and "GLIBC_2.34" in libc.object.elf.version_gives else None


def _interpreter(program: Loaded, files: Files) -> list[Loaded]:
    """The linker itself, which is always loaded first."""
    path = program.object.elf.interpreter
    linker = files.find(path) if path else None
    return [Loaded(path, linker, "start", program)] if path and linker else []


def search_folders(needer: Loaded, program: Loaded, system: System) -> list[tuple[How, str]]:
    """The folders searched for the dependencies of ``needer``, in order, before the machine's own."""
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
    if (only := files.substitute(name)) is not None and only.elf.machine == needer.object.elf.machine:
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
    """The paths tried for a name, in order (elf/dl-load.c, open_path)."""
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
    """The folders of an RPATH or RUNPATH, for an object found under ``path``.

    Empty entries mean the working folder, relative ones are below it; if it is unknown, they are ignored.
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
    """The object at ``path``, unless it is for another machine: those are skipped."""
    found = files.find(path)
    if found is None or found.elf.machine != needer.object.elf.machine:
        return None
    return Loaded(path, found, how, needer)
