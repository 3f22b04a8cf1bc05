"""Conda packages, streamed: only members that may be shared objects are kept, in a folder that lives as long as the
scene."""

from __future__ import annotations

import bz2
import errno
import json
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import IO

import zstandard

from tt_conda.audit.objects import Object
from tt_conda.audit.scene import Baseline, Scene
from tt_conda.audit.targets.candidates import HEAD, SYSROOT, is_object, may_be_object, promises_object, unreadable
from tt_conda.base.files import naming_full_disk
from tt_conda.elf import Elf, ElfError, read

_GLIBC = re.compile(r"^__glibc\s+>=\s*([\d.]+)")
_LIMIT = 8 << 30
"""Bytes: a larger member is no library."""
_DAMAGED = (
    zipfile.BadZipFile, zstandard.ZstdError, tarfile.TarError, EOFError, zlib.error, NotImplementedError, RuntimeError,
    ValueError, KeyError, TypeError, OverflowError,
)  # fmt: skip
"""What the readers of archives raise on damaged ones."""


@dataclass
class _Unpacked:
    """What a package holds that an audit wants."""

    index: dict[str, object] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    """Member → where its content is."""
    crcs: dict[str, int] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    """Symbolic link → what it says."""
    numbers: Iterator[int] = field(default_factory=count)
    """What files that are kept are called: a name may be twice in an archive."""
    damaged: list[str] = field(default_factory=list)
    """Members that are called shared objects and are none."""
    objects: dict[str, Object] = field(default_factory=dict)
    """Where installing puts a member → the object, which is one in all scenes that it is in."""
    facts: dict[str, Elf | str] = field(default_factory=dict)
    """Member → what it is, or why it cannot be read; filled when first asked for."""

    def elf(self, member: str) -> Elf | str:
        """The facts of a member, read once for all scenes that it is in."""
        if member not in self.facts:
            path = self.files[member]
            try:
                self.facts[member] = read(path, symbols=True)
            except (ElfError, OSError) as error:
                self.facts[member] = str(error).removeprefix(f"{path}: ")
        return self.facts[member]


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
    read_all_into(scene, [file], root, python)


def read_all_into(scene: Scene, files: Sequence[Path], root: str, python: str) -> None:
    """Read several packages, a few at a time; see :func:`read_into`."""
    if root not in scene.folders:
        scene.folders.append(root)
    known = scene.packages
    new = [file for file in files if file not in known]
    folder = scene.unpacked()
    folders = [folder / f"{file.name}.d" for file in new]
    with naming_full_disk(folder), ThreadPoolExecutor(4) as few:
        known.update(zip(new, few.map(_unpack_or_reason, new, folders), strict=True))
    for file in files:
        unpacked = known[file]
        if isinstance(unpacked, _Unpacked):
            _add(scene, file, unpacked, (root, python))
        else:
            unreadable(scene, file.name, file.name, f"not a readable package ({unpacked}), perhaps truncated")


def _unpack_or_reason(file: Path, folder: Path) -> _Unpacked | str:
    try:
        return _unpack(file, folder)
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # the disk's, not the archive's (whose offsets may be negative)
            raise
        return str(error)
    except _DAMAGED as error:
        return str(error)


def _unpack(file: Path, folder: Path) -> _Unpacked:
    found = _Unpacked()
    for part in _parts(file):
        with closing(part), tarfile.open(fileobj=part, mode="r|", bufsize=1 << 18) as tar:
            for entry in tar:
                _take(found, tar, entry, folder)
            while part.read(1 << 20):  # only at its end the checksum is looked at
                pass
    if not found.index:
        raise ValueError("it has no info/index.json")
    return found


def _take(found: _Unpacked, tar: tarfile.TarFile, entry: tarfile.TarInfo, folder: Path) -> None:
    name = entry.name.removeprefix("./")
    if name == "info/index.json":
        found.index = json.loads(_content(tar, entry))
    elif name.startswith("info/") or f"/{SYSROOT}/" in name or not may_be_object(name):
        return
    elif entry.issym():
        found.links[name] = entry.linkname
    elif entry.isreg() and entry.size < _LIMIT:
        _keep(found, name, _content(tar, entry), folder)
    elif entry.islnk() and (target := entry.linkname.removeprefix("./")) in found.files:
        found.files[name], found.crcs[name] = found.files[target], found.crcs[target]


def _parts(file: Path) -> Iterator[IO[bytes]]:
    """The tar archives of a package, to be closed by the reader: one in the older form, two in the newer."""
    if not file.name.endswith(".conda"):
        yield bz2.open(file)  # noqa: SIM115  # the reader closes it
        return
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            if name.endswith(".tar.zst"):
                yield zstandard.ZstdDecompressor().stream_reader(archive.open(name), read_across_frames=True)


def _content(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(entry)
    content = file.read() if file else b""
    if len(content) != entry.size:
        raise ValueError(f"{entry.name} ends after {len(content)} of {entry.size} bytes")
    return content


def _keep(found: _Unpacked, name: str, content: bytes, folder: Path) -> None:
    if is_object(content[:HEAD]):
        folder.mkdir(exist_ok=True)
        path = folder / str(next(found.numbers))
        path.write_bytes(content)
        found.files[name], found.crcs[name] = path, zlib.crc32(content)
    elif promises_object(name.rpartition("/")[2], content[:HEAD]):
        found.damaged.append(name)


def _add(scene: Scene, file: Path, unpacked: _Unpacked, place: tuple[str, str]) -> None:
    root, python = place
    index = unpacked.index
    owner = f"{index.get('name', file.name)} {index.get('version', '')}".strip()
    depends = index.get("depends")
    for spec in depends if isinstance(depends, list) else []:
        if match := _GLIBC.match(str(spec)):
            glibc = tuple(int(part) for part in match[1].split(".") if part)
            scene.baselines.append(Baseline(owner, glibc, f"its dependency {spec}"))
    for member, target in unpacked.links.items():
        scene.links[f"{root}/{_place(member, python)}"] = target
    for member, path in sorted(unpacked.files.items()):
        elf = unpacked.elf(member)
        if isinstance(elf, str):
            unreadable(scene, owner, member, elf)
            continue
        if not elf.is_dynamic:
            continue
        installed = f"{root}/{_place(member, python)}"
        if installed not in unpacked.objects:
            size, crc = path.stat().st_size, unpacked.crcs[member]
            unpacked.objects[installed] = Object(installed, owner, member, size, elf, path.read_bytes, crc, root)
        scene.add(unpacked.objects[installed])
        if re.fullmatch(r"bin/python3\.\d+", member):
            scene.program = scene.program or f"{root}/bin/python"
            scene.links.setdefault(f"{root}/bin/python", Path(member).name)
    for member in unpacked.damaged:
        unreadable(scene, owner, member, "it is called a shared object and is none: empty, cut or overwritten")


def _place(member: str, python: str) -> str:
    """Where installing puts a file: those of noarch Python packages go to the environment's Python (CEP 34)."""
    for folder, target in (("site-packages/", f"lib/python{python}/site-packages/"), ("python-scripts/", "bin/")):
        if member.startswith(folder):
            return target + member.removeprefix(folder)
    return member
