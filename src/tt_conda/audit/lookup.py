"""What a path or a name leads to in a scene: its objects and links, else the machine's own files."""

from __future__ import annotations

import os
import posixpath
from functools import cached_property
from pathlib import Path

from tt_conda.audit.objects import Object, on_disk
from tt_conda.audit.scene import SYSTEM, Scene
from tt_conda.elf import plain_soname
from tt_conda.elf.read import MACHINES

_NOWHERE = "\0"
"""In place of a folder that is not there."""


class Lookup:
    """Finds objects for the dynamic linker's rules (:class:`tt_conda.audit.loader.Files`), each read once."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._found: dict[str, Object | None] = {}
        self._folders: dict[str, str] = {}
        self._listed: dict[str, frozenset[str]] = {}
        self._system_objects: dict[str, Object | None] = {}

    def find(self, path: str) -> Object | None:
        """The object that opening ``path`` gives, links followed: the scene's, else the machine's own."""
        hit = self._scene.objects.get(path)
        if hit is not None or path in self._found:
            return hit or self._found[path]
        self._found[path] = hit = self._look(path)
        return hit

    def _look(self, path: str) -> Object | None:
        folder, name = self._located(path)
        real = f"{folder}/{name}"
        if (hit := self._scene.objects.get(real)) is not None:
            return hit
        if self._scene.links and (linked := self._resolve(real)) != real:
            return self.find(linked)
        if name not in self._names(folder) or (self._scene.is_for_any_machine and name not in self._scene.from_machine):
            return None
        real = os.path.realpath(real)
        if (hit := self._scene.objects.get(real)) is not None or real in self._system_objects:
            return hit or self._system_objects[real]
        self._system_objects[real] = outside = on_disk(Path(real), SYSTEM, real)
        return outside

    def ends_search(self, path: str) -> bool:
        """Whether the linker stops at a file that is no object: text, or cut (elf/dl-load.c, open_verify).

        It passes over objects of other machines, and over what it cannot open.
        """
        folder, name = self._located(path)
        if name not in self._names(folder) or self.find(path) is not None:
            return False
        try:
            with Path(folder, name).open("rb") as file:
                head = file.read(20)
        except OSError:
            return False
        return head[:4] != b"\x7fELF" or (
            head[4:6] == b"\x02\x01" and int.from_bytes(head[18:20], "little") in MACHINES
        )

    def is_folder(self, path: str) -> bool:
        """Whether there is such a folder, on disk or in a target."""
        return self._folder(path) != _NOWHERE

    def named(self, name: str) -> list[Object]:
        """The objects that have this soname, or this file name."""
        return self._named.get(name, [])

    @cached_property
    def _named(self) -> dict[str, list[Object]]:
        named: dict[str, list[Object]] = {}
        for found in self._scene:
            for name in dict.fromkeys((found.soname, found.name)):
                named.setdefault(name, []).append(found)
        return named

    def substitute(self, name: str) -> Object | None:
        """With :attr:`Scene.once`, the one copy that serves a NEEDED name; else None."""
        if not self._scene.once:
            return None
        return self._only.get(plain_soname(name))

    @cached_property
    def _only(self) -> dict[str, Object]:
        """Library → the first target's copy: by soname, and by file name where that differs."""
        only: dict[str, Object] = {}
        for found in self._scene:
            if not found.is_program:
                only.setdefault(found.library, found)
        for found in self._scene:
            only.setdefault(plain_soname(found.name), only.get(found.library, found))
        return only

    def _located(self, path: str) -> tuple[str, str]:
        folder, _, name = path.rpartition("/")
        return self._folder(folder), name

    def _folder(self, folder: str) -> str:
        """A folder without links in it; ``..`` goes up from where a link leads, as in the kernel."""
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder) if os.path.isdir(folder or "/") else self._walk(folder)  # noqa: PTH112
        return self._folders[folder]

    def _walk(self, folder: str) -> str:
        at = ""
        for part in folder.split("/"):
            if part == "..":
                at = at.rpartition("/")[0]
            elif part not in ("", "."):
                at = self._resolve(f"{at}/{part}")
                if at not in self._folders_of_targets and not os.path.isdir(at):  # noqa: PTH112
                    return _NOWHERE
                if at not in self._folders_of_targets:
                    at = os.path.realpath(at)
        return at

    @cached_property
    def _folders_of_targets(self) -> frozenset[str]:
        """Every folder in which an object or a link is, and those above it."""
        found: set[str] = set()
        for path in [*self._scene.objects, *self._scene.links]:
            folder = path.rpartition("/")[0]
            while folder and folder not in found:
                found.add(folder)
                folder = folder.rpartition("/")[0]
        return frozenset(found)

    def _names(self, folder: str) -> frozenset[str]:
        """What is in a folder on disk."""
        if folder not in self._listed:
            try:
                self._listed[folder] = frozenset(os.listdir(folder or "/"))  # noqa: PTH208
            except (OSError, ValueError):
                self._listed[folder] = frozenset()
        return self._listed[folder]

    def _resolve(self, path: str) -> str:
        """Follow the scene's own links, in any component."""
        if not self._scene.links:
            return path
        for _ in range(40):  # as the kernel: more links than that are a circle
            at = ""
            for part in path.split("/")[1:]:
                at += "/" + part
                if at in self._scene.links:
                    target = posixpath.join(posixpath.dirname(at), self._scene.links[at])
                    path = posixpath.normpath(target + path[len(at) :])
                    break
            else:
                return path
        return path
