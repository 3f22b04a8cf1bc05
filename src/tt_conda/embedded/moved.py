"""Debian packages that were superseded since ``inputs.lock`` was written, and the suite's current ones in their place.

Debian's archive keeps one version of a package per suite, so every update would stop those who build with the pins of
yesterday. The channel remembers which newer file it took, and its packages' keys hold that file's hash: what was made
of it is never taken for what is made of the pinned one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from tt_conda.base.files import disk_errors, write_atomically
from tt_conda.base.progress import console
from tt_conda.inputs.lock import Deb

_FILE = ".moved.json"
_SUCCESSORS = TypeAdapter(dict[str, Deb])


def read(folder: Path) -> dict[str, Deb]:
    """The successors that a channel was made with: sha256 of the older file → the newer one's pin."""
    try:
        return _SUCCESSORS.validate_json((folder / _FILE).read_bytes())
    except (OSError, ValidationError):
        return {}


def write(folder: Path, successors: Mapping[str, Deb]) -> None:
    """Remember them."""
    with disk_errors(folder):
        content = {sha256: deb.model_dump() for sha256, deb in successors.items()}
        write_atomically(folder / _FILE, json.dumps(content, indent=1))


def describe(pinned: Deb, used: Deb) -> str:
    """Package, pinned and used version, suite."""
    return f"{pinned.name} {pinned.version} → {used.version} ({used.suite})"


@lru_cache
def tell(moves: Iterable[str]) -> None:
    """Say once per process what moved; ``moves``: a tuple of descriptions."""
    console.print(
        f"Superseded in Debian's archive, so the current files stand in for the pinned: {', '.join(moves)}. "
        "Refuse this with --pinned.",
        markup=False,
    )
