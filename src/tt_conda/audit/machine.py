"""Libraries that may come from the machine: the C library, and those allowed by the manylinux policies."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tt_conda.base.documents import read_toml
from tt_conda.elf.read import MACHINES
from tt_conda.providers import load_providers

Version = tuple[int, ...]

_NUMBERS = re.compile(r"^(?P<family>[A-Z]+)_(?P<version>\d+(?:\.\d+)*)$")


@dataclass(frozen=True)
class Policies:
    """The manylinux policies: allowed sonames, and the newest versions by the policy's glibc."""

    sonames: frozenset[str]
    versions: tuple[tuple[Version, dict[str, Version]], ...]
    named: dict[str, Version]
    """Versions of glibc without a number → the first glibc that defines them."""

    def newest(self, glibc: Version) -> dict[str, Version]:
        """Family (``GLIBCXX``) → the newest version allowed for this glibc."""
        found: dict[str, Version] = {}
        for policy, newest in self.versions:
            if policy <= glibc or not found:
                found = newest
        return found


@lru_cache
def policies() -> Policies:
    """Read the table shipped with tt-conda."""
    table = read_toml((Path(__file__).parent / "manylinux.toml").read_text())
    versions = {
        numbers(glibc): {family: numbers(version) for family, version in newest.items()}
        for glibc, newest in table["versions"].items()
    }
    named = {name: numbers(glibc) for name, glibc in table["named"].items()}
    return Policies(frozenset(table["sonames"]), tuple(sorted(versions.items())), named)


def glibc_sonames() -> frozenset[str]:
    """The sonames of the C library."""
    return load_providers().system


def musl_sonames() -> frozenset[str]:
    """The sonames of musl's C library; its name depends on the machine (musl's Makefile, Alpine's package)."""
    return frozenset(f"libc.musl-{machine}.so.1" for machine in MACHINES.values()) | {"libc.so"}


def numbers(version: str) -> Version:
    """``3.4.29`` → ``(3, 4, 29)``."""
    return tuple(int(part) for part in version.split("."))


@lru_cache(maxsize=4096)
def parse_version(name: str) -> tuple[str, Version] | None:
    """``GLIBCXX_3.4.29`` → ``("GLIBCXX", (3, 4, 29))``; None without a number (``GLIBC_PRIVATE``).

    ``GLIBC_ABI_DT_RELR`` has the number of the glibc that introduced it.
    """
    if (glibc := policies().named.get(name)) is not None:
        return "GLIBC", glibc
    match = _NUMBERS.match(name)
    return (match["family"], numbers(match["version"])) if match else None
