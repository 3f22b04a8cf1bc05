"""Conda packages, unpacked into a folder that lives as long as the scene."""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path

from rattler.exceptions import ExtractError, IoError
from rattler.package_streaming import extract

from tt_conda.audit.scene import Baseline, Object, Scene
from tt_conda.audit.targets.candidates import HEAD, is_object, may_be_object, promises_object, unreadable
from tt_conda.elf import ElfError, read
from tt_conda.errors import TtCondaError

ENDINGS = (".conda", ".tar.bz2")
"""What conda packages are called."""

_GLIBC = re.compile(r"^__glibc\s+>=\s*([\d.]+)")


def read_into(scene: Scene, file: Path, root: str, python: str) -> None:
    """Read the shared objects of a package into a scene, where installing would put them.

    Args:
        scene: what it is added to; it owns the folder with the unpacked files. A damaged package is noted there.
        file: the package.
        root: the environment that it would be installed in.
        python: version X.Y of that environment's Python, for packages that have none of their own.

    Raises:
        TtCondaError: there is no room to unpack it.
    """
    if root not in scene.folders:
        scene.folders.append(root)
    folder = scene.unpacked() / file.name
    owner = file.name
    try:
        if not folder.exists():
            folder.mkdir()
            extract(file, folder)
        index = json.loads((folder / "info/index.json").read_bytes())
        owner = f"{index['name']} {index['version']}"
        depends = [str(spec) for spec in index.get("depends", [])]
    except (ExtractError, IoError, OSError, ValueError, KeyError, TypeError) as error:
        if "os error 28" in str(error):
            raise TtCondaError(
                f"There is no room in {tempfile.gettempdir()} to unpack {file}", "Make room, or set TMPDIR."
            ) from error
        unreadable(scene, owner, file.name, f"not a readable package ({error}), perhaps truncated")
        return
    for spec in depends:
        if match := _GLIBC.match(spec):
            glibc = tuple(int(part) for part in match[1].split(".") if part)
            scene.baselines.append(Baseline(owner, glibc, f"its dependency {spec}"))
    for base, folders, names in os.walk(folder):
        if base == str(folder):
            folders[:] = [name for name in folders if name != "info"]
        folders.sort()
        for name in sorted([*names, *(each for each in folders if os.path.islink(f"{base}/{each}"))]):  # noqa: PTH114
            _file(scene, folder, f"{base}/{name}", (owner, root, python))


def _file(scene: Scene, folder: Path, path: str, place: tuple[str, str, str]) -> None:
    owner, root, python = place
    member = path[len(str(folder)) + 1 :]
    if not may_be_object(member):
        return
    installed = f"{root}/{_place(member, python)}"
    try:
        if os.path.islink(path):  # noqa: PTH114  (thousands of files)
            scene.links[installed] = os.readlink(path)  # noqa: PTH115
            return
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            head = file.read(HEAD)
        if is_object(head):
            elf = read(Path(path), symbols=True)
            if elf.is_dynamic:
                size = os.stat(path).st_size  # noqa: PTH116
                scene.add(Object(installed, owner, member, size, elf, Path(path).read_bytes, folder=root))
                if member == "bin/python" or re.fullmatch(r"bin/python3\.\d+", member):
                    scene.program = scene.program or f"{root}/bin/python"
                    scene.links.setdefault(f"{root}/bin/python", Path(member).name)
        elif promises_object(path.rpartition("/")[2], head):
            unreadable(scene, owner, member, "it is called a shared object and is none: empty, cut or overwritten")
    except (ElfError, OSError) as error:
        unreadable(scene, owner, member, str(error).removeprefix(f"{path}: "))


def _place(member: str, python: str) -> str:
    """Where installing puts a file: those of noarch Python packages go to the environment's Python (CEP 34)."""
    for folder, target in (("site-packages/", f"lib/python{python}/site-packages/"), ("python-scripts/", "bin/")):
        if member.startswith(folder):
            return target + member.removeprefix(folder)
    return member
