"""Packages that this machine has built, by the key of everything they were made from: a new checkout need not again."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tt_conda.base.documents import read_json
from tt_conda.base.files import sha256_of

_MOST = 60
"""Packages to keep; the one that was not used for the longest time goes first."""

_DEAR = 100
"""Seconds: what took longer to build is not counted among those, and stays as long as ``_MOST_DEAR`` allow.

PyTorch takes longer even from the compiler's cache; a wheel that is carved does not.
"""

_MOST_DEAR = 12


@dataclass(frozen=True)
class CachedPackage:
    """A package file, and the dependencies whose absence kept its tests from running."""

    package: Path
    untested: list[str]
    seconds: float = 0
    """How long it took to build."""
    peak: int = 0
    """Bytes of memory that its build had at once, at most."""


class BuildCache:
    """A folder with one folder per key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> CachedPackage | None:
        """The package of a key, if it is there and what it was (its sha256 is compared)."""
        home = self.folder / key
        try:
            note = read_json((home / "note.json").read_text())
            package = home / note["file"]
            if sha256_of(package) != note["sha256"]:
                return None
            os.utime(home)
            return CachedPackage(
                package, list(note["untested"]), float(note.get("seconds", 0)), int(note.get("peak", 0))
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def latest(self, stem: str) -> CachedPackage | None:
        """The package of that name, version and build that was used last, whatever it was made from."""
        homes = [home for home in self.folder.glob("*/note.json") if _note(home.parent).get("file") == f"{stem}.conda"]
        homes.sort(key=lambda note: note.parent.stat().st_mtime, reverse=True)
        return next((kept for note in homes if (kept := self.get(note.parent.name))), None)

    def put(self, key: str, package: Path, untested: list[str], seconds: float = 0, peak: int = 0) -> None:
        """Keep a package, whole or not at all. A cache that cannot be written is not worth failing for."""
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            stage = Path(tempfile.mkdtemp(prefix=".new-", dir=self.folder))
            try:
                shutil.copyfile(package, stage / package.name)  # no link: a damaged original must not reach it
                note = {"file": package.name, "sha256": sha256_of(package), "untested": untested,
                        "seconds": seconds, "peak": peak}  # fmt: skip
                (stage / "note.json").write_text(json.dumps(note))
                shutil.rmtree(self.folder / key, ignore_errors=True)
                stage.rename(self.folder / key)
            finally:
                shutil.rmtree(stage, ignore_errors=True)
            self._forget()

    def _forget(self) -> None:
        homes = sorted(self.folder.iterdir(), key=lambda home: home.stat().st_mtime)
        dear = [home for home in homes if _note(home).get("seconds", 0) > _DEAR]
        cheap = [home for home in homes if home not in dear]
        for home in (*cheap[:-_MOST], *dear[:-_MOST_DEAR]):
            shutil.rmtree(home, ignore_errors=True)


def _note(home: Path) -> dict[str, Any]:
    try:
        note: dict[str, Any] = read_json((home / "note.json").read_text())
        return note
    except (OSError, ValueError):
        return {}
