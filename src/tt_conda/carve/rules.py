"""What is particular to a wheel: which libraries are its own, and where its data goes. Read from ``carve.toml``."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from tt_conda.elf.names import same_library
from tt_conda.errors import TtCondaError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class Rules(BaseModel):
    """The rules for one or more wheels."""

    model_config = ConfigDict(extra="forbid")

    own: list[str] = []
    """Sonames of the libraries that these wheels are the source of; ``*`` stands for a version that changes."""
    data: dict[str, str] = {}
    """Folder in the wheel → folder in the prefix. A link is left in its place, so Python code finds its files."""

    def true_soname(self, name: str) -> str | None:
        """Return the soname of ``name``, a plain file name, if it is one of the wheel's own libraries."""
        for pattern in self.own:
            if "*" in pattern:
                if fnmatchcase(name, pattern):
                    return name
            elif same_library(name, pattern):
                return pattern
        return None

    def data_path(self, member: str) -> tuple[str, str] | None:
        """Return the folder of :attr:`data` that holds ``member``, and its path in the prefix."""
        for folder, target in self.data.items():
            if member.startswith(folder + "/"):
                return folder, f"{target}{member[len(folder) :]}"
        return None


def load_rules(files: Iterable[Path]) -> Rules:
    """Read and merge rule files.

    Raises:
        TtCondaError: a file is missing, is not TOML, or has a key that is none of :class:`Rules`.
    """
    merged = Rules()
    for file in files:
        try:
            rules = Rules.model_validate(tomllib.loads(file.read_text()))
        except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
            raise TtCondaError(
                f"{file}: these carving rules cannot be read: {error}",
                "See recipes/ttnn/carve.toml for an example: `own` is a list of sonames, `data` a table of folders.",
            ) from error
        merged = Rules(own=[*merged.own, *rules.own], data={**merged.data, **rules.data})
    return merged
