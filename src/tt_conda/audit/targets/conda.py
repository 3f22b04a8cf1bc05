"""Conda packages, streamed: only possible shared objects are kept, in a folder with the scene's lifetime."""

from __future__ import annotations

import errno
import re
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tt_conda.audit.objects import Object
from tt_conda.audit.scene import Baseline, Declaration, Scene
from tt_conda.audit.targets import depends
from tt_conda.audit.targets.candidates import SYSROOT, foreign, may_be_object, promises_object, unreadable
from tt_conda.base.documents import read_json
from tt_conda.base.files import disk_errors
from tt_conda.elf import HEAD, Elf, ElfError, is_object, read
from tt_conda.formats import conda
from tt_conda.formats.platforms import platform_of_file, platform_of_subdir
from tt_conda.formats.wheel import site_packages

_GLIBC = re.compile(r"^(?:[\w-]+::)?__glibc\s*(?:>=|==?|~=)?\s*(\d+(?:\.\d+)*)")
"""The oldest glibc in a match spec; upper bounds may follow."""
_LIMIT = 8 << 30
"""Bytes; a larger member is not a library."""


@dataclass
class _Unpacked:
    """The parts of a package that an audit needs."""

    index: dict[str, object] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    """Member → path of its content."""
    crcs: dict[str, int] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)
    """Member → its permissions."""
    foreign: dict[str, bytes] = field(default_factory=dict)
    """Member that is a program or library for another system → its first bytes."""
    links: dict[str, str] = field(default_factory=dict)
    """Symbolic link → its text."""
    numbers: Iterator[int] = field(default_factory=count)
    """Names for kept files, as a name may occur twice in an archive."""
    python: dict[str, str] = field(default_factory=dict)
    """The Python files that may open libraries for everybody: member → text."""
    damaged: list[str] = field(default_factory=list)
    """Members named like shared objects that are not."""
    objects: dict[str, Object] = field(default_factory=dict)
    """Installed path of a member → the object, shared by all its scenes."""
    facts: dict[str, Elf | str] = field(default_factory=dict)
    """Member → its facts, or the reason why it cannot be read; filled on first use."""

    def elf(self, member: str) -> Elf | str:
        """The facts of a member, read once for all its scenes."""
        if member not in self.facts:
            path = self.files[member]
            try:
                self.facts[member] = read(path, symbols=True)
            except (ElfError, OSError) as error:
                self.facts[member] = str(error).removeprefix(f"{path}: ")
        return self.facts[member]


def read_into(scene: Scene, file: Path, root: str, python: str) -> None:
    """Read the shared objects of a package into a scene, at their installed paths.

    Args:
        scene: the scene, which owns the folder with the unpacked files. A damaged package is recorded there.
        file: the package.
        root: the environment to install into.
        python: version X.Y of that environment's Python, for packages without a Python of their own.

    Raises:
        TtCondaError: there is no space to unpack it.
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
    with disk_errors(folder), ThreadPoolExecutor(4) as few:
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
        if error.errno not in (None, errno.EINVAL):  # a disk error, not the archive's (whose offsets may be negative)
            raise
        return str(error)
    except conda.DAMAGED as error:
        return str(error)


def _unpack(file: Path, folder: Path) -> _Unpacked:
    found = _Unpacked()
    for tar, entry in conda.entries(file):
        _take(found, tar, entry, folder)
    if not found.index:
        raise ValueError("it has no info/index.json")
    return found


def _take(found: _Unpacked, tar: tarfile.TarFile, entry: tarfile.TarInfo, folder: Path) -> None:
    name = entry.name.removeprefix("./")
    if name == "info/index.json":
        found.index = read_json(conda.content(tar, entry))
    elif name.startswith("info/") or f"/{SYSROOT}/" in name:
        return
    elif name.endswith(".py") and entry.isreg():
        if b"RTLD_GLOBAL" in (content := conda.content(tar, entry)):
            found.python[name] = content.decode(errors="replace")
    elif not may_be_object(name):
        return
    elif entry.issym():
        found.links[name] = entry.linkname
    elif entry.isreg() and entry.size < _LIMIT:
        found.modes[name] = entry.mode
        _keep(found, name, conda.content(tar, entry), folder)
    elif entry.islnk() and (target := entry.linkname.removeprefix("./")) in found.files:
        found.files[name], found.crcs[name] = found.files[target], found.crcs[target]
        found.modes[name] = found.modes[target]


def _keep(found: _Unpacked, name: str, content: bytes, folder: Path) -> None:
    if is_object(content[:HEAD]):
        folder.mkdir(exist_ok=True)
        path = folder / str(next(found.numbers))
        path.write_bytes(content)
        found.files[name], found.crcs[name] = path, zlib.crc32(content)
    elif promises_object(name.rpartition("/")[2], content[:HEAD]):
        found.damaged.append(name)
    elif platform_of_file(content[:HEAD]):
        found.foreign[name] = content[:HEAD]


def _add(scene: Scene, file: Path, unpacked: _Unpacked, place: tuple[str, str]) -> None:
    root, site = place[0], site_packages(place[1])
    index = unpacked.index
    owner = f"{index.get('name', file.name)} {index.get('version', '')}".strip()
    texts = {f"{root}/{conda.installed_path(member, site)}": (member, text) for member, text in unpacked.python.items()}
    scene.python.append(lambda folder: (each for path, each in texts.items() if path.rpartition("/")[0] == folder))
    specs = index.get("depends")
    specs = specs if isinstance(specs, list) else []
    scene.depends[owner] = depends.of_specs(specs)
    for spec in specs:
        if match := _GLIBC.match(str(spec)):
            glibc = tuple(int(part) for part in match[1].split(".") if part)
            scene.baselines.append(Baseline(owner, glibc, f"its dependency {spec}"))
    if isinstance(subdir := index.get("subdir"), str):
        platform = platform_of_subdir(subdir)
        scene.declarations[owner] = Declaration(owner, f"its subdir {subdir}", (platform,) if platform.system else ())
    for member, target in unpacked.links.items():
        scene.links[f"{root}/{conda.installed_path(member, site)}"] = target
    for member, path in sorted(unpacked.files.items()):
        elf = unpacked.elf(member)
        if isinstance(elf, str):
            unreadable(scene, owner, member, elf)
            continue
        if not elf.is_dynamic:
            continue
        installed = f"{root}/{conda.installed_path(member, site)}"
        if installed not in unpacked.objects:
            size, crc = path.stat().st_size, unpacked.crcs[member]
            may_start = bool(unpacked.modes[member] & 0o111)
            unpacked.objects[installed] = Object(
                installed, owner, member, size, elf, path.read_bytes, crc, root, may_start, link=str(path)
            )
        scene.add(unpacked.objects[installed])
        if re.fullmatch(r"bin/python3\.\d+", member):
            scene.program = scene.program or f"{root}/bin/python"
            scene.links.setdefault(f"{root}/bin/python", Path(member).name)
    for member, head in unpacked.foreign.items():
        foreign(scene, owner, member, f"{root}/{conda.installed_path(member, site)}", head)
    for member in unpacked.damaged:
        unreadable(scene, owner, member, "named like a shared object but empty, truncated or overwritten")
