"""The dependencies that installed packages declare, by name."""

from __future__ import annotations

from collections.abc import Iterable

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from tt_conda.formats.wheel import is_required

_FIELD = "Requires-Dist:"


def of_metadata(text: str, python: str) -> tuple[str, ...]:
    """The distributions that a wheel's METADATA requires on Linux, without those of extras.

    Args:
        text: the file (PyPA's core metadata specification).
        python: version X.Y of the environment's Python.
    """
    found = []
    for line in text.split("\n\n", 1)[0].splitlines():
        if not line.startswith(_FIELD) or "extra ==" in line:
            continue
        try:
            required = Requirement(line.removeprefix(_FIELD))
        except InvalidRequirement:
            continue
        if is_required(required, python):
            found.append(canonicalize_name(required.name))
    return tuple(found)


def of_specs(specs: Iterable[object]) -> tuple[str, ...]:
    """The packages that conda match specs name."""
    return tuple(name for spec in specs if (name := str(spec).rpartition("::")[2].partition(" ")[0]))
