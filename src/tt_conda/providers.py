"""Which conda package provides a soname: a data table, ``providers.toml``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tt_conda.base.documents import read_toml
from tt_conda.elf.names import same_library


@dataclass(frozen=True)
class Providers:
    """The table: sonames of the C library, soname → match spec of the package, package → wheel."""

    system: frozenset[str]
    packages: dict[str, str]
    wheels: dict[str, str]
    """Conda package → the wheel that has the same libraries, as libraries of its own."""

    def find(self, name: str) -> tuple[str, str | None] | None:
        """Return the soname that ``name`` (a plain file name) stands for and its package; None for glibc's package.

        ``libmpi.so.40.40.7`` is found as ``libmpi.so.40``: auditwheel names a copy after the file, not the soname.
        """
        if name in self.system:
            return name, None
        if name in self.packages:
            return name, self.packages[name]
        for soname, spec in self.packages.items():
            if soname != name and ".so." in name and same_library(name, soname):
                return soname, spec
        return None


@lru_cache
def load_providers() -> Providers:
    """Read the table that ships with tt-conda."""
    table = read_toml((Path(__file__).parent / "providers.toml").read_text())
    return Providers(frozenset(table["system"]["sonames"]), dict(table["packages"]), dict(table["wheels"]))
