"""Packages that this machine has built, by the key of everything they were made from: a new checkout need not again."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tt_conda.files import digests

_MOST = 60
"""Packages to keep; the one that was not used for the longest time goes first."""


@dataclass(frozen=True)
class KeptPackage:
    """A package file, and the dependencies whose absence kept its tests from running."""

    package: Path
    untested: list[str]


class Kept:
    """A folder with one folder per key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> KeptPackage | None:
        """The package of a key, if it is there and what it was (its sha256 is compared)."""
        home = self.folder / key
        try:
            note = json.loads((home / "note.json").read_text())
            package = home / note["file"]
            if digests(package)[0] != note["sha256"]:
                return None
            os.utime(home)
            return KeptPackage(package, list(note["untested"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, key: str, package: Path, untested: list[str]) -> None:
        """Keep a package, whole or not at all. A cache that cannot be written is not worth failing for."""
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            stage = Path(tempfile.mkdtemp(prefix=".new-", dir=self.folder))
            try:
                shutil.copyfile(package, stage / package.name)  # no link: a damaged original must not reach it
                note = {"file": package.name, "sha256": digests(package)[0], "untested": untested}
                (stage / "note.json").write_text(json.dumps(note))
                shutil.rmtree(self.folder / key, ignore_errors=True)
                stage.rename(self.folder / key)
            finally:
                shutil.rmtree(stage, ignore_errors=True)
            self._forget()

    def _forget(self) -> None:
        homes = sorted(self.folder.iterdir(), key=lambda home: home.stat().st_mtime)
        for home in homes[:-_MOST]:
            shutil.rmtree(home, ignore_errors=True)
