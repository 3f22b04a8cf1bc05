"""Conda packages, streamed: only members that may be shared objects are kept, in a folder that lives as long as the
scene."""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rattler.exceptions import ExtractError, IoError
from rattler.package_streaming import ArchiveEntry, PackageArchive

from tt_conda.audit.scene import Baseline, Object, Scene
from tt_conda.audit.targets.candidates import HEAD, SYSROOT, is_object, may_be_object, promises_object, unreadable
from tt_conda.elf import Elf, ElfError, read
from tt_conda.files import naming_full_disk

_GLIBC = re.compile(r"^__glibc\s+>=\s*([\d.]+)")
_LIMIT = 8 << 30
"""Bytes: a larger member is no library."""


@dataclass
class _Unpacked:
    """What a package holds that an audit wants."""

    index: dict[str, object] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    """Member → where its content is."""
    crcs: dict[str, int] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    """Symbolic link → what it says."""
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
    with naming_full_disk(scene.unpacked()):
        known.update(zip(new, asyncio.run(_unpack_all(new, scene.unpacked())), strict=True))
    for file in files:
        unpacked = known[file]
        if isinstance(unpacked, _Unpacked):
            _add(scene, file, unpacked, (root, python))
        else:
            unreadable(scene, file.name, file.name, f"not a readable package ({unpacked}), perhaps truncated")


async def _unpack_all(files: Sequence[Path], folder: Path) -> list[_Unpacked | str]:
    few = asyncio.Semaphore(4)

    async def one(file: Path) -> _Unpacked | str:
        async with few:
            try:
                return await _unpack(file, folder / f"{file.name}.d")
            except OSError as error:
                if error.errno is not None:  # the disk's, not the archive's
                    raise
                return str(error)
            except (ExtractError, IoError, ValueError, KeyError, TypeError) as error:
                return str(error)

    return list(await asyncio.gather(*map(one, files)))


async def _unpack(file: Path, folder: Path) -> _Unpacked:
    archive = await PackageArchive.from_path(file)
    found = _Unpacked(index=json.loads(await archive.read_file("info/index.json") or b""))
    async for entry in archive.stream("pkg"):
        name = entry.name.removeprefix("./")
        if name.startswith("info/") or f"/{SYSROOT}/" in name or not may_be_object(name):
            continue
        if entry.is_symlink:
            found.links[name] = entry.link_target or ""
        elif entry.is_file and entry.size < _LIMIT:
            await _keep(found, name, entry, folder)
        elif entry.is_hardlink and (entry.link_target or "").removeprefix("./") in found.files:
            target = (entry.link_target or "").removeprefix("./")
            found.files[name], found.crcs[name] = found.files[target], found.crcs[target]
    return found


async def _keep(found: _Unpacked, name: str, entry: ArchiveEntry, folder: Path) -> None:
    content = await entry.read()
    if is_object(content[:HEAD]):
        folder.mkdir(exist_ok=True)
        path = folder / str(len(found.files))
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
