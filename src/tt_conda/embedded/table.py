"""``packages.toml`` and ``inputs.lock``: what the embedded channel holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from pydantic import BaseModel, ConfigDict, model_validator

from tt_conda.base.documents import read_toml
from tt_conda.base.errors import TtCondaError
from tt_conda.inputs import lock as locks
from tt_conda.inputs.store import Store

HERE = Path(__file__).parent
TABLE, LOCK = HERE / "packages.toml", HERE / "inputs.lock"


class RunExports(BaseModel):
    """Match specs that what is built with a package depends on; the tables of ``info/run_exports.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    weak: tuple[str, ...] = ()
    strong: tuple[str, ...] = ()
    noarch: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _list_is_weak(cls, value: Any) -> Any:
        return {"weak": value} if isinstance(value, list) else value


class PackageEntry(BaseModel):
    """One ``[[package]]``; the head of packages.toml explains the fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    deb: tuple[str, ...] = ()
    wheel: str = ""
    cpython: bool = False
    like: str = ""
    version: str = ""
    build: str = ""
    python: tuple[str, ...] = ()
    noarch: bool = False
    license: str
    summary: str = ""
    homepage: str = ""
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    run_exports: RunExports = RunExports()
    needed: dict[str, str] = {}
    add_needed: dict[str, tuple[str, ...]] = {}
    files: dict[str, str] = {}
    links: dict[str, str] = {}
    text: dict[str, str] = {}
    elf: str = ""

    def __hash__(self) -> int:
        return hash(self.name)

    @property
    def is_python_package(self) -> bool:
        """Whether the wheel is installed as pip would do it."""
        return bool(self.wheel) and not self.files

    @property
    def is_noarch_python(self) -> bool:
        """Whether one build serves every Python."""
        return self.is_python_package and not self.python


@dataclass(frozen=True)
class Unit:
    """One package file to be: an entry, for one Python where it has one build for each."""

    entry: PackageEntry
    python: str = ""

    @property
    def label(self) -> str:
        """How messages call it."""
        return f"{self.entry.name} (Python {self.python})" if self.python else self.entry.name

    @property
    def subdir(self) -> str:
        """The channel folder that it belongs to."""
        return "noarch" if self.entry.is_noarch_python or self.entry.noarch else "linux-64"

    def run_exports(self, version: str) -> dict[str, list[str]]:
        """What ``info/run_exports.json`` holds."""
        tables = self.entry.run_exports.model_dump()
        return {
            kind: [self.fill(spec).replace("{version}", version) for spec in specs]
            for kind, specs in tables.items()
            if specs
        }

    def fill(self, text: str) -> str:
        """``{python}`` and ``{tag}`` replaced."""
        return text.replace("{python}", self.python).replace("{tag}", "cp" + self.python.replace(".", ""))


def debian_upstream(version: str) -> str:
    """The upstream part of a Debian version: no epoch, revision, or repacking suffix."""
    version = version.partition(":")[2] or version
    version = version.rpartition("-")[0] or version
    return version.split("+")[0].split("~")[0]


@dataclass(frozen=True)
class Table:
    """Everything that packages.toml and inputs.lock say."""

    entries: dict[str, PackageEntry]
    vendored: dict[str, str]
    texts: dict[str, str]
    axes: dict[str, list[str]]
    """Axis of variants.yaml → values in its place."""
    lock: locks.Lock
    moved: dict[str, locks.Deb] = field(default_factory=dict)
    """Sha256 of a Debian package that stands in for a superseded one → the one that inputs.lock pins."""

    @classmethod
    def load(cls, table: Path = TABLE, lock: Path = LOCK) -> Table:
        """Read both files."""
        raw: dict[str, Any] = read_toml(table.read_text(encoding="utf-8"))
        entries = [PackageEntry.model_validate(item) for item in raw["package"]]
        return cls(
            {entry.name: entry for entry in entries},
            raw.get("vendored", {}),
            raw.get("texts", {}),
            raw.get("axes", {}),
            locks.load(lock),
        )

    def with_successors(self, successors: Mapping[str, locks.Deb], store: Store) -> Table:
        """The table with newer Debian packages (sha256 of the older → newer) where the store lacks the older."""
        debs, moved = [], {}
        for pinned in self.lock.deb:
            deb = pinned
            while deb.sha256 in successors and not store.get(deb.sha256, deb.filename, deb.size):
                deb = successors[deb.sha256]
            debs.append(deb)
            if deb != pinned:
                moved[deb.sha256] = pinned
        return replace(self, lock=self.lock.model_copy(update={"deb": tuple(debs)}), moved=moved)

    @cached_property
    def sonames(self) -> dict[str, str]:
        """Soname to the one package that provides it."""
        owners: dict[str, str] = {}
        for entry in self.entries.values():
            for soname in entry.provides:
                if soname in owners:
                    raise TtCondaError(f"{TABLE}: {soname} is provided by {owners[soname]} and by {entry.name}")
                owners[soname] = entry.name
        return owners

    @cached_property
    def by_wheel(self) -> dict[str, str]:
        """Distribution name to the conda package that installs it."""
        packages = (entry for entry in self.entries.values() if entry.is_python_package)
        return {canonicalize_name(entry.wheel): entry.name for entry in packages}

    def wheel(self, unit: Unit) -> locks.Wheel:
        """The pinned wheel of a unit."""
        return locks.find_wheel(self.lock, unit.entry.wheel, python=unit.python or None)

    def debs(self, unit: Unit) -> list[locks.Deb]:
        """The pinned Debian packages of a unit."""
        return [locks.find_deb(self.lock, name) for name in unit.entry.deb]

    def version(self, unit: Unit) -> str:
        """The conda version of a unit, except for CPython, which knows its own."""
        entry = unit.entry
        if entry.version:
            return unit.fill(entry.version)
        if entry.like:
            return self.version(Unit(self.entries[entry.like]))
        if entry.wheel:
            return self.wheel(unit).version
        return debian_upstream(self.debs(unit)[0].version)

    def units(self, pythons: Collection[str]) -> Iterator[Unit]:
        """Every package file that can be built with these Pythons."""
        for entry in self.entries.values():
            if entry.python:
                yield from (Unit(entry, python) for python in entry.python if python in pythons)
            else:
                yield Unit(entry)

    def providers(self) -> dict[str, str]:
        """Everything that a package can need (sonames, distributions) and the package that has it."""
        return {**self.sonames, **{f"dist:{name}": package for name, package in self.by_wheel.items()}}

    def key(self, unit: Unit, series: str, interpreter: str) -> str:
        """Hash of everything that the content of a unit depends on, but the code that makes it."""
        entry = unit.entry
        pins: list[str] = [deb.sha256 for deb in self.debs(unit)]
        if entry.wheel:
            pins.append(self.wheel(unit).sha256)
        parts = {
            "entry": entry.model_dump(),
            "python": unit.python,
            "pins": pins,
            "source": series,
            "version": "" if entry.cpython else self.version(unit),
            "interpreter": interpreter,
            "vendored": self.vendored if entry.is_python_package else {},
            "texts": [self.texts[text[1:]] for text in entry.text.values() if text.startswith("@")],
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
