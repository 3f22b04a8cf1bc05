"""A wheel → the files and the metadata of a conda package."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import Distribution, PackageMetadata
from pathlib import Path, PurePosixPath

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tt_conda.base.errors import TtCondaError
from tt_conda.formats.archive import extract
from tt_conda.formats.wheel import OpenWheel, is_required


def homepage(metadata: PackageMetadata) -> str:
    """The page of a distribution: its ``Home-page``, or the most fitting of its other URLs; may be empty."""
    by_name: dict[str, str] = {}
    for value in metadata.get_all("Project-URL") or []:
        key, _, url = str(value).partition(",")
        by_name[key.strip().lower()] = url.strip()
    found = field(metadata, "Home-page")
    for key in ("homepage", "home", "source", "source code", "repository", "documentation"):
        if not found.startswith("http"):
            found = by_name.get(key, "")
    return found


def field(metadata: PackageMetadata, name: str) -> str:
    """A field of a distribution's metadata in one line; empty if missing."""
    return " ".join((metadata.get_all(name) or [""])[0].split())


def conda_depends(dist: Distribution, names: dict[str, str], pythons: Iterable[str]) -> dict[str, str]:
    """Requires-Dist in conda's words, as far as it applies on Linux to one of ``pythons``: spec → distribution."""
    depends: dict[str, str] = {}
    for text in dist.requires or ():
        requirement = Requirement(text)
        if not any(is_required(requirement, python) for python in pythons):
            continue
        name = names.get(canonicalize_name(requirement.name))
        if name is None:
            raise TtCondaError(
                f"{dist.metadata['Name']} requires {requirement.name}, which the embedded channel does not have",
                "Add it to src/tt_conda/embedded/packages.toml and inputs.lock.",
            )
        specifier = ",".join(sorted(str(part) for part in requirement.specifier))
        depends[f"{name} {specifier}".strip()] = canonicalize_name(requirement.name)
    return depends


def script(module: str, function: str, python: str) -> str:
    """A command that runs with the interpreter beside it, wherever the environment is."""
    return (
        f"{_begin(python)}import sys\n"
        f"from {module} import {function.split('.')[0]}\n"
        'sys.argv[0] = sys.argv[0].removesuffix(".exe")\n'
        f"sys.exit({function}())\n"
    )


def relocatable_shebang(text: bytes, python: str) -> bytes:
    """A wheel's ``#!python`` script, made to find its interpreter beside it."""
    if not text.startswith(b"#!python"):
        return text
    return _begin(python).encode() + text.partition(b"\n")[2]


def _begin(python: str) -> str:
    """Lines that are a shell's command, and a string to Python."""
    return f'#!/bin/sh\n\'\'\'exec\' "$(dirname -- "$(realpath -- "$0")")/python{python}" "$0" "$@"\n\' \'\'\'\n'


def install(wheel: OpenWheel, files: Path, licenses: Path) -> None:
    """Lay out a wheel below ``files`` as a conda package holds it, and its licences in ``licenses``."""
    scripts = files / ("bin" if wheel.python else "python-scripts")
    for path in extract(wheel.archive, files, wheel.destination):
        if path.parent == scripts:
            path.write_bytes(relocatable_shebang(path.read_bytes(), wheel.python))
            path.chmod(0o755)
    texts = {name: PurePosixPath(name).name for name in wheel.licenses()}
    extract(wheel.archive, licenses, texts.get)
    for command, (module, function) in wheel.commands().items() if wheel.python else ():  # conda makes the others
        scripts.mkdir(exist_ok=True)
        (scripts / command).write_text(script(module, function, wheel.python))
        (scripts / command).chmod(0o755)
