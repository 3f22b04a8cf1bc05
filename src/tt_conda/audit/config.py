"""A project's audit configuration: a table in pyproject.toml, or a file audit.toml."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.rules import all_rules, nearest
from tt_conda.base.documents import read_toml
from tt_conda.base.errors import TtCondaError

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Ignore(BaseModel):
    """Known findings that stay, with the reason."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: Annotated[_Text, StringConstraints(to_upper=True)]
    """One rule's."""
    path: _Text
    """A path as shown in findings, its end, or a finding's subject (a soname); ``*`` matches any text."""
    reason: _Text

    def matches(self, finding: Finding) -> bool:
        """Whether it matches a finding: its subject, or one of its places."""
        if finding.code != self.code:
            return False
        pattern = re.compile(r"(?:.*/)?" + ".*".join(map(re.escape, self.path.split("*"))), re.DOTALL)
        return any(pattern.fullmatch(name) for name in (finding.subject, *(place.path for place in finding.places)))


class Config(BaseModel):
    """The table ``[tool.tt-conda.audit]``, or all of audit.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    ignore: list[Ignore] = []
    fail_on: Severity = Field(default=Severity.WARNING, alias="fail-on")
    """The lowest severity that makes the exit code 1."""


def load_config(file: Path | None = None, folder: Path = Path()) -> Config:
    """Read a project's configuration.

    Args:
        file: a pyproject.toml, or a file with the same keys at top level; must exist.
        folder: searched for audit.toml, then pyproject.toml, if no file is named.

    Raises:
        TtCondaError: the file cannot be read, or has unknown keys or values.
    """
    if file is None:
        places = [folder / "audit.toml", folder / "pyproject.toml"]
        file = next((place for place in places if place.is_file()), None)
        if file is None:
            return Config()
    try:
        data = read_toml(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TtCondaError(f"{file}: {error}", "See docs/audit.md for the format.") from None
    if file.name == "pyproject.toml":
        data = data.get("tool", {}).get("tt-conda", {}).get("audit", {})
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        raise TtCondaError(*_explained(file, error)) from None
    for item in config.ignore:
        if item.code not in all_rules():
            raise TtCondaError(
                f"{file}: there is no rule {item.code}",
                f"Perhaps {' or '.join(nearest(item.code))}; `tt-conda explain --all` lists the rules.",
            )
    return config


def _explained(file: Path, error: ValidationError) -> tuple[str, str]:
    """All errors, and the valid keys."""
    wrong = []
    for each in error.errors():
        key = ".".join(str(part) for part in each["loc"])
        what = {"extra_forbidden": "is not a key", "missing": "is missing"}.get(each["type"], each["msg"])
        wrong.append(f"{file}: {key}: {what}")
    return "\n".join(wrong), (
        'The keys are fail-on = "note", "warning" or "error", and '
        'ignore = [{ code = "TC…", path = "a path or soname, * for any text", reason = "why" }].'
    )
