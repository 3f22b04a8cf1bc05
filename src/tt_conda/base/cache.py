"""Facts that take time to find out, in the cache folder under the key of everything that they depend on.

That is what they are about, and the code that finds them out: :mod:`tt_conda.base.code`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter

from tt_conda.base import settings
from tt_conda.base.code import code_digest
from tt_conda.base.files import disk_errors, write_atomically

T = TypeVar("T")


class FactCache(Generic[T]):
    """A folder with a JSON file for each key.

    Args:
        name: of the folder.
        kind: the type of the facts.
        module: which finds them out; what a different state of its code found does not count.
    """

    def __init__(self, name: str, kind: Any, module: str) -> None:
        self._name, self.module = name, module
        self._adapter: TypeAdapter[T] = TypeAdapter(kind)

    def get(self, key: str) -> T | None:
        """The facts under a key; None where there are none, or not in the form of today."""
        try:
            return self._adapter.validate_json(self._path(key).read_bytes())
        except (OSError, ValueError):
            return None

    def put(self, key: str, facts: T) -> None:
        """Keep facts, whole or not at all.

        Raises:
            TtCondaError: the disk is full.
        """
        path = self._path(key)
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, self._adapter.dump_json(facts))

    def _path(self, key: str) -> Path:
        whole = hashlib.sha256(f"{key}\n{code_digest(self.module)}".encode()).hexdigest()
        return settings.cache_dir() / self._name / f"{whole}.json"
