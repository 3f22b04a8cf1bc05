"""The particulars of a wheel: its own libraries, the place of its data, edits of its code. Read from ``carve.toml``."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from tt_conda.base.documents import DocumentError, read_toml
from tt_conda.base.errors import TtCondaError
from tt_conda.elf.names import same_library
from tt_conda.formats.wheel import OpenWheel


class Edit(BaseModel):
    """A text in one of the wheel's files, and its replacement."""

    model_config = ConfigDict(extra="forbid")

    file: str
    """Member of the wheel."""
    old: str
    """Must occur exactly once."""
    new: str
    versions: str = ""
    """Version specifier (PEP 440) of the wheels to edit; empty for all."""

    @field_validator("versions")
    @classmethod
    def _is_specifier(cls, value: str) -> str:
        try:
            SpecifierSet(value)
        except InvalidSpecifier as error:
            raise ValueError(str(error)) from error
        return value

    def concerns(self, version: str) -> bool:
        """Whether a wheel of this version is edited."""
        return SpecifierSet(self.versions).contains(version, prereleases=True)

    def apply(self, path: Path, where: str) -> None:
        """Edit the unpacked file.

        Args:
            path: the file, in UTF-8.
            where: the wheel and its member, for messages.

        Raises:
            TtCondaError: :attr:`old` does not occur exactly once.
        """
        text = path.read_bytes().decode(errors="surrogateescape")
        if (count := text.count(self.old)) != 1:
            raise TtCondaError(
                f"{where}: {self.old!r} occurs {count} times, but the carving rules edit it exactly once",
                "Find the corresponding text in this version, and add an `edit` table for it to the rules, "
                "each table with its `versions`.",
            )
        path.write_bytes(text.replace(self.old, self.new).encode(errors="surrogateescape"))


class Rules(BaseModel):
    """The rules for one or more wheels."""

    model_config = ConfigDict(extra="forbid")

    own: list[str] = []
    """Sonames of the libraries that these wheels are the source of; ``*`` matches a changing version."""
    data: dict[str, str] = {}
    """Folder in the wheel → folder in the prefix. No link is left in its place: conda does not remove links to folders
    (``UnlinkPathAction.cleanup`` in conda/core/path_actions.py of github.com/conda/conda)."""
    edit: list[Edit] = []
    """Changes to the wheel's code, such as the place of its data."""

    def true_soname(self, name: str) -> str | None:
        """Return the soname of ``name``, a plain file name, if it is one of the wheel's own libraries."""
        for pattern in self.own:
            if "*" in pattern:
                if fnmatchcase(name, pattern):
                    return name
            elif same_library(name, pattern):
                return pattern
        return None

    def data_path(self, member: str) -> str | None:
        """Return the path in the prefix of ``member``, if it is in a folder of :attr:`data`."""
        for folder, target in self.data.items():
            if member.startswith(folder + "/"):
                return f"{target}{member[len(folder) :]}"
        return None

    def destination(self, wheel: OpenWheel, member: str) -> str:
        """Return the path in the prefix of any member of a wheel that is not moved as a library."""
        return self.data_path(member) or wheel.destination(member)


def load_rules(files: Iterable[Path]) -> Rules:
    """Read and merge rule files.

    Raises:
        TtCondaError: a file is missing, is not TOML, or has a key that :class:`Rules` lacks.
    """
    merged = Rules()
    for file in files:
        try:
            rules = Rules.model_validate(read_toml(file.read_text()))
        except (OSError, DocumentError, ValidationError) as error:
            raise TtCondaError(
                f"{file}: these carving rules cannot be read: {error}",
                "See docs/carving.md for an example: `own` is a list of sonames, `data` a table of folders, "
                "`edit` tables with `file`, `old`, `new` and `versions`.",
            ) from error
        merged = Rules(
            own=[*merged.own, *rules.own], data={**merged.data, **rules.data}, edit=[*merged.edit, *rules.edit]
        )
    return merged
