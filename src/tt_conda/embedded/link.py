"""Shared objects of a package made to find each other in the environment, and nowhere else."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from tt_conda.base.errors import TtCondaError
from tt_conda.elf.names import plain_soname, soname_stem
from tt_conda.elf.read import Elf, ElfError, is_shared_object, read
from tt_conda.elf.rewrite import Change, patch
from tt_conda.providers import load_providers

_LIBPYTHON = re.compile(r"libpython3(\.\d+)?\.so(\.1\.0)?")
"""Of CPython's package, whichever version this is; modules find it in the program."""


def is_glibc(soname: str) -> bool:
    """Whether the machine's C library has it."""
    return soname in load_providers().system


def unhashed(soname: str) -> str:
    """``libz`` for ``libz-79b22e8e.so.1.3``; empty for a name without a hash."""
    plain = plain_soname(soname)
    return soname_stem(plain).removesuffix(".so") if plain != soname else ""


def elf_files(root: Path) -> dict[Path, Elf]:
    """Every dynamic ELF file below ``root``."""
    found: dict[Path, Elf] = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            if path.is_symlink() or not path.is_file() or not is_shared_object(path):
                continue
            try:
                elf = read(path)
            except ElfError:
                continue  # data
            if elf.is_dynamic and elf.machine == "x86_64":
                found[path] = elf
    return found


def drop_vendored(root: Path, vendored: Mapping[str, str]) -> dict[str, str]:
    """Delete the bundled libraries that packages of the channel have; returns old name → soname to need instead."""
    renames: dict[str, str] = {}
    for folder, _, names in os.walk(root):
        for name in names:
            if soname := vendored.get(unhashed(name)):
                renames[name] = soname
                Path(folder, name).unlink()
    return renames


def settle(
    root: Path,
    renames: Mapping[str, str],
    owners: Mapping[str, str],
    package: str,
    provides: tuple[str, ...],
    added: Mapping[str, tuple[str, ...]],
) -> dict[str, str]:
    """Set NEEDED and RPATH of every ELF file below ``root``; returns the sonames of others that it needs.

    Args:
        root: the package's files; ``lib/`` is where the environment's libraries are.
        renames: NEEDED names and SONAMEs to replace.
        owners: soname → package of the channel.
        package: the package at hand, for messages.
        provides: the sonames that it promises.
        added: soname → what it uses without needing it.
    """
    found = elf_files(root)
    lib = root / "lib"
    inside: dict[str, Path] = {}
    for path, elf in found.items():
        inside.setdefault(path.name, path)
        if elf.soname:
            inside.setdefault(renames.get(elf.soname, elf.soname), path)
    offered = {renames.get(elf.soname, elf.soname) for p, elf in found.items() if p.parent == lib and elf.soname}
    if extra := sorted(name for name in offered - set(provides) if not _LIBPYTHON.fullmatch(name)):
        raise TtCondaError(f"{package}: puts {', '.join(extra)} into lib/, which its `provides` does not say")
    if missing := sorted(set(provides) - offered):
        raise TtCondaError(f"{package}: promises {', '.join(missing)}, but its source does not have it")
    depends: dict[str, str] = {}
    for path, elf in found.items():
        more = added.get(elf.soname or "", ())
        needed = [*(renames.get(name, name) for name in elf.needed), *more]
        folders: dict[str, None] = {}
        for name in needed:
            if is_glibc(name):
                continue
            if name in inside:
                folders[os.path.relpath(inside[name].parent, path.parent)] = None
            elif name in owners:
                depends[name] = owners[name]
                folders[os.path.relpath(lib, path.parent)] = None
            else:
                raise TtCondaError(
                    f"{package}: {path.relative_to(root)} needs {name}, which no package of the embedded channel has",
                    "Add it to src/tt_conda/embedded/packages.toml.",
                )
        if path.parent == lib and elf.kind == "dyn":
            folders.setdefault(".", None)
        rpath = ":".join("$ORIGIN" if folder == "." else f"$ORIGIN/{folder}" for folder in folders)
        if elf.search_path is None and all(map(is_glibc, needed)):
            rpath = ""
        patch(path, Change(renames.get(elf.soname or "", elf.soname), renames, rpath, tuple(more)))
    return depends
