"""Folders: conda and virtual environments, and any others."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from packaging.utils import canonicalize_name

from tt_conda.audit.objects import Object
from tt_conda.audit.scene import Scene
from tt_conda.audit.targets.candidates import SYSROOT, foreign, may_be_object, promises_object, unreadable
from tt_conda.audit.targets.depends import of_metadata, of_specs
from tt_conda.base.documents import read_json
from tt_conda.elf import HEAD, ElfError, is_object, read
from tt_conda.formats.dist_info import read_rows

_LEFT_OUT = frozenset({"__pycache__", ".git", "pkgs", SYSROOT})


def is_prefix(folder: Path) -> bool:
    """Whether a folder is a conda or virtual environment."""
    return (folder / "conda-meta").is_dir() or (folder / "pyvenv.cfg").is_file()


def python_of(folder: Path) -> str | None:
    """The version X.Y of an environment's Python, None without one."""
    found = sorted(folder.glob("lib/python3.*/site-packages"))
    return found[0].parent.name.removeprefix("python") if found and is_prefix(folder) else None


def looks_like_object(file: Path) -> bool:
    """Whether a single file is an object, or is named like one."""
    with file.open("rb") as opened:
        head = opened.read(HEAD)
    return is_object(head) or promises_object(file.name, head)


def read_into(scene: Scene, folder: Path) -> None:
    """Read all objects below a folder into a scene; links are not followed, unreadable files are recorded."""
    top = os.path.realpath(folder)
    prefix = is_prefix(folder)
    scene.folders.append(top)
    if prefix:
        scene.kind = "installed"
        program = Path(top, "bin", "python")
        if program.exists():
            scene.program = str(program)
    scene.python.append(partial(_python_files, top))
    owner_of = owners(Path(top), scene.depends)
    default = f"{Path(top).name}/"  # no package: a folder may be renamed
    for base, folders, names in os.walk(top):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
        for name in sorted(names):
            if may_be_object(name):
                path = f"{base}/{name}"
                member = path[len(top) + 1 :]
                _read(scene, path, owner_of.get(path, default), member, top)


def _python_files(top: str, folder: str) -> Iterator[tuple[str, str]]:
    if folder == top or folder.startswith(f"{top}/"):
        for file in sorted(Path(folder).glob("*.py")):
            try:
                yield str(file)[len(top) + 1 :], file.read_text(errors="replace")
            except OSError:
                continue


def read_file_into(scene: Scene, file: Path) -> None:
    """Read one object into a scene."""
    path = os.path.realpath(file)
    scene.folders.append(str(Path(path).parent))
    _read(scene, path, f"{Path(path).parent.name}/", file.name, str(Path(path).parent))


def _read(scene: Scene, path: str, owner: str, member: str, top: str) -> None:
    try:
        if os.path.islink(path) or not os.path.isfile(path):  # noqa: PTH113, PTH114
            return
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123  (thousands of files)
            head = file.read(HEAD)
        if is_object(head):
            elf = read(Path(path), symbols=True)
            if elf.is_dynamic:
                found = os.stat(path)  # noqa: PTH116
                may_start = bool(found.st_mode & 0o111)
                scene.add(Object(path, owner, member, found.st_size, elf, Path(path).read_bytes, None, top, may_start))
        elif promises_object(path.rpartition("/")[2], head):
            unreadable(scene, owner, member, "named like a shared object but empty, truncated or overwritten")
        else:
            foreign(scene, owner, member, path, head)
    except (ElfError, OSError) as error:
        unreadable(scene, owner, member, str(error).removeprefix(f"{path}: "))


def _required(info: Path, python: str) -> tuple[str, ...]:
    metadata = info / "METADATA"
    try:
        return of_metadata(metadata.read_text(errors="replace"), python) if metadata.is_file() else ()
    except OSError:
        return ()


_DIST = re.compile(r"^(?P<name>.+)-(?P<version>[^-]+)\.dist-info$")


def owners(top: Path, depends: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """Path → its package, from conda's records and wheels' RECORD files; their dependencies are added to ``depends``.

    Args:
        top: an environment, or a folder into which wheels were unpacked.
        depends: package → names of the packages that it depends on.
    """
    found: dict[str, str] = {}
    python = python_of(top) or f"{sys.version_info[0]}.{sys.version_info[1]}"
    for record in filter(Path.is_file, sorted(top.glob("conda-meta/*.json"))):
        try:
            data = read_json(record.read_bytes())
            label = f"{data['name']} {data['version']}"
            found.update((f"{top}/{file}", label) for file in data["files"] if may_be_object(file))
            depends[label] = of_specs(data.get("depends", ()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    for site in {top, *top.glob("lib/python3.*/site-packages"), *top.glob("lib64/python3.*/site-packages")}:
        for info in sorted(site.glob("*.dist-info")):
            match = _DIST.match(info.name)
            if not (info / "RECORD").is_file():
                continue
            try:
                rows = read_rows((info / "RECORD").read_text(errors="replace"))
            except (OSError, ValueError):
                continue
            if match:
                label = f"{canonicalize_name(match['name'])} {match['version']}"
                depends.setdefault(label, _required(info, python))
                for row in rows:
                    if may_be_object(row[0]):
                        found.setdefault(os.path.normpath(f"{site}/{row[0]}"), label)
    return found
