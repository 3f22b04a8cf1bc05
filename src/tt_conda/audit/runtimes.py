"""Runtimes that must be unique in a process: a data table, ``runtimes.toml``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tt_conda.audit.objects import Object
from tt_conda.base.documents import read_toml
from tt_conda.elf import soname_stem


@dataclass(frozen=True)
class Kind:
    """One implementation of a runtime."""

    family: str
    name: str
    sonames: re.Pattern[str]
    exports: frozenset[str] = frozenset()
    lacks: frozenset[str] = frozenset()
    group: str = ""
    """Implementations that detect each other."""
    abort: str = ""
    """Their message when they abort the process."""


@lru_cache
def _families() -> dict[str, tuple[str, list[Kind]]]:
    """Family → the effect of two in one process, and its implementations."""
    data = read_toml(Path(__file__).with_name("runtimes.toml").read_text("utf-8"))
    return {
        each["name"]: (each["clash"], [_kind(each["name"], row) for row in each["kind"]]) for each in data["family"]
    }


def _kind(family: str, row: dict[str, Any]) -> Kind:
    exports, lacks = frozenset(row.get("exports", ())), frozenset(row.get("lacks", ()))
    sonames = re.compile("|".join(row["sonames"]))
    return Kind(family, row["name"], sonames, exports, lacks, row.get("group", ""), row.get("abort", ""))


def clashes() -> dict[str, str]:
    """Family → the effect of two of its runtimes in one process."""
    return {name: clash for name, (clash, _) in _families().items()}


def runtime_of(item: Object) -> Kind | None:
    """The runtime that an object is or contains: by its soname, else by its exports."""
    if item.is_program:
        return None
    kinds = [kind for _, found in _families().values() for kind in found]
    stem = soname_stem(item.library)
    for kind in kinds:
        if kind.sonames.fullmatch(stem):
            return kind
    defined = item.elf.symbols.defined
    for kind in kinds:
        if kind.exports and kind.exports <= defined and kind.lacks.isdisjoint(defined):
            return kind
    return None
