"""Wheels, read where they are: only members that may be shared objects are decompressed, and none is written."""

from __future__ import annotations

import re
import threading
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from tt_conda.audit.scene import Baseline, Object, Scene
from tt_conda.audit.targets.candidates import HEAD, is_object, may_be_object, promises_object, unreadable
from tt_conda.elf import Elf, ElfError, read

_DATA = re.compile(r"^[^/]+\.data/(platlib|purelib|scripts|data|headers)/(.*)$", re.S)
_MANYLINUX = re.compile(r"manylinux_(\d+)_(\d+)_")
_LEGACY = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
_LIMIT = 8 << 30
"""Bytes that a member may say it has: more is no library but a trap."""


def read_into(scene: Scene, file: Path, root: str, python: str) -> None:
    """Read the shared objects of a wheel into a scene, where installing would put them.

    Args:
        scene: what it is added to. A damaged archive or member is noted there.
        file: the wheel.
        root: the environment that it would be installed in.
        python: version X.Y of that environment's Python.
    """
    owner = _owner(file)
    if root not in scene.folders:
        scene.folders.append(root)
    try:
        with zipfile.ZipFile(file) as archive:
            members = [info for info in archive.infolist() if not info.is_dir() and may_be_object(info.filename)]
            _read_members(scene, file, archive, members, (owner, root, python))
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, EOFError) as error:
        unreadable(scene, owner, file.name, f"not a readable wheel ({error}), perhaps truncated")
    if glibc := _glibc(file.name):
        scene.baselines.append(Baseline(owner, glibc, "the platform tag in its file name"))


def _read_members(
    scene: Scene, file: Path, archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], place: tuple[str, str, str]
) -> None:
    owner, root, python = place
    lock = threading.Lock()

    def one(info: zipfile.ZipInfo) -> Elf | str | None:
        try:
            content = _content(archive, info, lock)
            if content is None:
                return None
            if isinstance(content, str):
                return content
            elf = read(Path(info.filename), content)
        except (ElfError, OSError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError,
                ValueError) as error:  # fmt: skip
            return str(error).removeprefix(f"{info.filename}: ")
        return elf if elf.is_dynamic else None

    with ThreadPoolExecutor(2) as pool:
        for info, found in zip(members, pool.map(one, members), strict=True):
            if isinstance(found, str):
                unreadable(scene, owner, info.filename, found)
            elif found is not None:
                path = f"{root}/{_place(info.filename, python)}"
                scene.add(
                    Object(
                        path, owner, info.filename, info.file_size, found, _Reader(file, info.filename), info.CRC, root
                    )
                )


class _Reader:
    """Reads one member again."""

    def __init__(self, wheel: Path, member: str) -> None:
        self.wheel, self.member = wheel, member

    def __call__(self) -> bytes:
        with zipfile.ZipFile(self.wheel) as archive:
            return archive.read(self.member)


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, lock: threading.Lock) -> bytes | str | None:
    """A member that is an object; None for what is none, and a sentence for what should be one."""
    if info.file_size > _LIMIT:
        return f"it says it has {info.file_size} bytes"
    with lock:
        opened = archive.open(info)
    with opened as member:
        head = member.read(HEAD)
        if not is_object(head):
            name = info.filename.rpartition("/")[2]
            return "it is called a shared object and is none" if promises_object(name, head) else None
        return head + member.read()


def _place(member: str, python: str) -> str:
    """Where installing puts a member, in the prefix (PyPA's binary distribution format)."""
    match = _DATA.match(member)
    if match is None or match[1] in ("platlib", "purelib"):
        return f"lib/python{python}/site-packages/{match[2] if match else member}"
    return {"scripts": "bin/", "data": "", "headers": f"include/python{python}/"}[match[1]] + match[2]


def _owner(file: Path) -> str:
    try:
        name, version, _, _ = parse_wheel_filename(file.name)
    except InvalidWheelFilename:
        return file.name
    return f"{name} {version}"


def _glibc(name: str) -> tuple[int, ...] | None:
    """The oldest glibc that the platform tags promise to work with (PEP 600)."""
    found = [(int(a), int(b)) for a, b in _MANYLINUX.findall(name)]
    found += [version for tag, version in _LEGACY.items() if tag in name]
    return min(found, default=None)
