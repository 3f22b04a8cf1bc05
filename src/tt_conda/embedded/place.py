"""Files of an unpacked source moved to their places in a package."""

from __future__ import annotations

import os
import posixpath
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DEBIAN = {
    "lib/x86_64-linux-gnu/**": "lib/",
    "usr/lib/x86_64-linux-gnu/**": "lib/",
    "usr/bin/**": "bin/",
    "usr/include/**": "include/",
}
"""Where Debian's files go in a prefix."""


def _regex(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*$|\*\*|\*|\[[^]]+\])", pattern)
    text = ""
    for index, part in enumerate(parts):
        if part == "**":
            last = index == len(parts) - 2 and parts[-1] == ""
            text += "(?P<rest>.*)" if last else ".*"
        elif part == "*":
            text += "[^/]*"
        elif part.startswith("["):
            text += part
        else:
            text += re.escape(part)
    return re.compile(text + r"\Z")


@dataclass(frozen=True)
class Places:
    """An ordered list of patterns and places; see the head of packages.toml."""

    rules: tuple[tuple[re.Pattern[str], str], ...]

    @classmethod
    def of(cls, files: Mapping[str, str]) -> Places:
        """From a table of patterns."""
        return cls(tuple((_regex(pattern), place) for pattern, place in files.items()))

    def get(self, name: str) -> str | None:
        """The place of a source file, or None where it is left out."""
        for pattern, place in self.rules:
            if match := pattern.match(name):
                if not place:
                    return None
                rest = match.groupdict().get("rest")
                if rest is not None:
                    return place + rest
                return place + posixpath.basename(name) if place.endswith("/") else place
        return None


def _link_target(name: str, target: str) -> str:
    """The path inside the source that a symlink names."""
    if target.startswith("/"):
        return target.lstrip("/")
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), target))


def place(raw: Path, places: Places, files: Path, licenses: Path) -> None:
    """Move what ``places`` names from ``raw`` to ``files`` (what it puts below ``licenses/`` to ``licenses``).

    Symlinks are pointed at the new places of their targets, also where those are in another package.
    """
    usual = Places.of(DEBIAN)
    for folder, subfolders, names in os.walk(raw):
        base = os.path.relpath(folder, raw)
        for item in [*names, *(sub for sub in subfolders if Path(folder, sub).is_symlink())]:
            name = posixpath.normpath(posixpath.join(base, item))
            where = places.get(name)
            if where is None:
                continue
            source = Path(folder, item)
            if where.startswith("licenses/"):
                if source.is_file():
                    target = licenses / where.removeprefix("licenses/")
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source, target)
                continue
            target = files / where
            if source.is_symlink():
                aim = _link_target(name, str(source.readlink()))
                new = places.get(aim) or usual.get(aim)
                if new is None or new == where or target.is_symlink() or target.exists():
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(os.path.relpath(new, posixpath.dirname(where)))
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                source.replace(target)
