"""Wheels, read in place: only possible shared objects are decompressed, and none is written."""

from __future__ import annotations

import os
import re
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import cast

from isal import isal_zlib
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from tt_conda.audit.objects import Object
from tt_conda.audit.scene import Baseline, Declaration, Scene
from tt_conda.audit.targets.candidates import foreign, may_be_object, promises_object, unreadable
from tt_conda.audit.targets.depends import of_metadata
from tt_conda.elf import HEAD, Elf, ElfError, is_object, read
from tt_conda.formats.archive import DAMAGED_ZIP
from tt_conda.formats.platforms import platform_of_file, wheel_tags
from tt_conda.formats.wheel import destination

_METADATA = re.compile(r"[^/]+\.dist-info/METADATA")
_MANYLINUX = re.compile(r"manylinux_(\d+)_(\d+)_")
_LEGACY = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
_ISAL = cast("type[Exception]", isal_zlib.error)  # its stub calls the class an instance
_DAMAGED = (*DAMAGED_ZIP, _ISAL, struct.error, ValueError)
"""Exceptions of damaged archives."""
_IN_MEMORY = 128 << 20
"""Bytes; larger members go through a temporary file."""
_FIRST, _CHUNK = 4 << 10, 16 << 20
"""Bytes read to identify a member, and chunk size for decompressing large ones."""


def read_into(scene: Scene, file: Path, root: str, python: str) -> None:
    """Read the shared objects of a wheel into a scene, at their installed paths.

    Args:
        scene: the scene. A damaged archive or member is recorded there.
        file: the wheel.
        root: the environment to install into.
        python: version X.Y of that environment's Python.
    """
    owner = _owner(file)
    if root not in scene.folders:
        scene.folders.append(root)
    try:
        with zipfile.ZipFile(file) as archive:
            members = [info for info in archive.infolist() if not info.is_dir() and may_be_object(info.filename)]
            _read_members(scene, file, archive, members, (owner, root, python))
            for name in archive.namelist():
                if _METADATA.fullmatch(name):
                    scene.depends[owner] = of_metadata(archive.read(name).decode(errors="replace"), python)
    except (OSError, *_DAMAGED) as error:
        unreadable(scene, owner, file.name, f"not a readable wheel ({error}), perhaps truncated")
    if tags := wheel_tags(file.name):
        scene.declarations[owner] = Declaration(
            owner, "the tags in its file name", tags.platforms, tags.pythons, tags.abi3_floor
        )
    scene.python.append(partial(_python_files, file, root, python))
    if glibc := _glibc(file.name):
        scene.baselines.append(Baseline(owner, glibc, "the platform tag in its file name", manylinux=True))


def _read_members(
    scene: Scene, file: Path, archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], place: tuple[str, str, str]
) -> None:
    owner, root, python = place
    descriptor = archive.fp.fileno() if archive.fp else -1

    def one(info: zipfile.ZipInfo) -> Elf | bytes | str | None:
        try:
            found = _object(archive, descriptor, info, scene)
        except (ElfError, OSError, *_DAMAGED) as error:
            return str(error).removeprefix(f"{info.filename}: ")
        return found

    with ThreadPoolExecutor(2) as pool:  # decompressing releases the interpreter
        largest_first = sorted(members, key=lambda info: -info.file_size)
        found = dict(zip(map(id, largest_first), pool.map(one, largest_first), strict=True))
        for info in members:
            elf = found[id(info)]
            if isinstance(elf, str):
                unreadable(scene, owner, info.filename, elf)
            elif elf is not None:
                path = f"{root}/{destination(info.filename, file.name.split('-')[0], python)}"
                if isinstance(elf, bytes):
                    foreign(scene, owner, info.filename, path, elf)
                    continue
                again, may_start = _Reader(file, info.filename), _is_executable(info, path, root)
                scene.add(Object(path, owner, info.filename, info.file_size, elf, again, info.CRC, root, may_start))


def _python_files(file: Path, root: str, python: str, folder: str) -> Iterator[tuple[str, str]]:
    try:
        with zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                if (
                    name.endswith(".py")
                    and f"{root}/{destination(name, file.name.split('-')[0], python)}".rpartition("/")[0] == folder
                ):
                    yield name, archive.read(name).decode(errors="replace")
    except (OSError, *_DAMAGED):
        return


class _Reader:
    """Re-reads one member."""

    def __init__(self, wheel: Path, member: str) -> None:
        self.wheel, self.member = wheel, member

    def __call__(self) -> bytes:
        with zipfile.ZipFile(self.wheel) as archive:
            return archive.read(self.member)


def _is_executable(info: zipfile.ZipInfo, path: str, root: str) -> bool:
    """Whether installers make a member executable: scripts always, others by their permissions in the archive."""
    return bool(info.external_attr >> 16 & 0o111) or path.startswith(f"{root}/bin/")


def _object(
    archive: zipfile.ZipFile, descriptor: int, info: zipfile.ZipInfo, scene: Scene
) -> Elf | bytes | str | None:  # fmt: skip
    """The facts of a member, or its first bytes if it is for another system; None for other files.

    A reason for a damaged object.
    """
    begin, end = _span(descriptor, info)
    deflated = info.compress_type == zipfile.ZIP_DEFLATED and not info.flag_bits & 1
    head = _beginning(os.pread(descriptor, _FIRST, begin)) if deflated else archive.read(info)[:HEAD]
    if not is_object(head):
        name = info.filename.rpartition("/")[2]
        if promises_object(name, head):
            return "named like a shared object but is not one"
        return head if platform_of_file(head) else None
    if not deflated:
        elf, crc = read(Path(info.filename), archive.read(info)), info.CRC  # zipfile compares it
    elif info.file_size > _IN_MEMORY:
        with tempfile.NamedTemporaryFile(dir=scene.unpacked(), delete=False) as spilled:
            crc = 0
            for chunk in _decompressed(descriptor, info, begin, end):
                spilled.write(chunk)
                crc = isal_zlib.crc32(chunk, crc)
        elf = read(Path(spilled.name), symbols=True)
    else:
        # one call: the buffer grows in place, up to the size recorded in the archive
        content = isal_zlib.decompressobj(-15).decompress(os.pread(descriptor, end - begin, begin), info.file_size + 1)
        if len(content) != info.file_size:
            raise EOFError("its size differs from the archive's record")
        crc = isal_zlib.crc32(content)
        elf = read(Path(info.filename), content)
    if crc != info.CRC:
        return "its checksum differs from the archive's record"
    return elf if elf.is_dynamic else None


def _span(descriptor: int, info: zipfile.ZipInfo) -> tuple[int, int]:
    """Begin and end of a member's data in the archive (APPNOTE.TXT, 4.3.7)."""
    header = os.pread(descriptor, 30, info.header_offset)
    signature, name, extra = struct.unpack("<4s22xHH", header)
    if signature != b"PK\3\4":
        raise zipfile.BadZipFile("its header is not at the recorded offset")
    begin = info.header_offset + 30 + name + extra
    return begin, begin + info.compress_size


def _beginning(data: bytes) -> bytes:
    """The first bytes of a deflated member, as many as the beginning of its data yields.

    Deflated members (in practice, all) are decompressed with ISA-L, twice as fast as with zlib.
    """
    return isal_zlib.decompressobj(-15).decompress(data, HEAD)


def _decompressed(descriptor: int, info: zipfile.ZipInfo, begin: int, end: int) -> Iterator[bytes]:
    """The content of a large deflated member, in chunks."""
    decompressor, total = isal_zlib.decompressobj(-15), 0
    while not decompressor.eof:
        data = decompressor.unconsumed_tail
        if not data:
            data = os.pread(descriptor, min(_CHUNK, end - begin), begin)
            begin += len(data)
        chunk = decompressor.decompress(data, _CHUNK)
        if not chunk and not data and not decompressor.eof:
            raise EOFError("truncated")
        total += len(chunk)
        if total > info.file_size:
            raise zipfile.BadZipFile("longer than the archive's record")
        yield chunk
    if total != info.file_size:
        raise EOFError("shorter than the archive's record")


def _owner(file: Path) -> str:
    try:
        name, version, _, _ = parse_wheel_filename(file.name)
    except InvalidWheelFilename:
        return file.name
    return f"{name} {version}"


def _glibc(name: str) -> tuple[int, ...] | None:
    """The oldest glibc supported by the platform tags (PEP 600)."""
    found = [(int(a), int(b)) for a, b in _MANYLINUX.findall(name)]
    found += [version for tag, version in _LEGACY.items() if tag in name]
    return min(found, default=None)
