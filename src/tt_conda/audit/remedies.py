"""The commands that findings advise, as they are run in the folder of the package or environment."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterable

from tt_conda.audit.objects import Object


def way(item: Object, provider: Object) -> str:
    """The search path entry of an object that leads to another one's folder."""
    relative = posixpath.relpath(posixpath.dirname(provider.path), posixpath.dirname(item.path))
    return "$ORIGIN" if relative == "." else f"$ORIGIN/{relative}"


def add_search_path(item: Object, entries: Iterable[str]) -> str:
    """Add entries to an object's search path, and keep those that are there.

    An object without a RUNPATH gets an RPATH: its own RUNPATH would hide the RPATH of what loads it (ld.so(8)), and a
    RUNPATH in place of its RPATH would not serve its dependencies.
    """
    there = (item.elf.search_path or "").split(":")
    path = ":".join(dict.fromkeys(filter(None, (*there, *entries))))
    force = "--force-rpath " if item.elf.runpath is None else ""
    return f"patchelf {force}--set-rpath {shlex.quote(path)} {shlex.quote(item.member)}"


def add_needed(item: Object, provider: Object) -> str:
    """Make an object need another one, and find it."""
    command = f"patchelf --add-needed {shlex.quote(provider.soname)} {shlex.quote(item.member)}"
    return f"{command} && {add_search_path(item, [way(item, provider)])}"
