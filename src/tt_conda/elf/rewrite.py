"""Change the names and the search path of a shared object.

If the new strings fit, they overwrite the old ones in ``.dynstr``: the file keeps its size, its layout and its build
id, and no trace of the old path remains. Otherwise patchelf rewrites the file.
"""

from __future__ import annotations

import bisect
import errno
import os
import re
import shlex
import shutil
import signal
import struct
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import disk_error_in
from tt_conda.base.process import find_program
from tt_conda.elf.read import (
    DT_NEEDED,
    DT_RPATH,
    DT_RUNPATH,
    DT_SONAME,
    PF_X,
    PT_GNU_STACK,
    Elf,
    ElfError,
    read,
    string_references,
)

PROGRAMS = ("patchelf",)

_REPORT = "This is a bug of tt-conda or of patchelf; please report it with the wheel's name."


@dataclass(frozen=True)
class Change:
    """An object's new soname, NEEDED names (old → new) and search path."""

    soname: str | None
    needed: Mapping[str, str]
    rpath: str
    """Empty: none."""
    added: tuple[str, ...] = ()
    """NEEDED names to add."""

    def wanted(self, elf: Elf) -> tuple[str | None, tuple[str, ...], str | None]:
        """The soname, NEEDED names and RPATH after the change; patchelf puts added names first, sorted."""
        names = (*sorted(self.added), *(self.needed.get(name, name) for name in elf.needed))
        return self.soname, tuple(dict.fromkeys(names)), self.rpath or None


def apply(path: Path, change: Change) -> str:
    """Change ``path`` atomically, and verify the result by reading it again.

    The search path is written as DT_RPATH, as in conda: unlike DT_RUNPATH, it takes precedence over LD_LIBRARY_PATH,
    and it also applies to the dependencies of the libraries found through it (ld.so(8)).

    Returns:
        The method used: ``"nothing"``, ``"in place"`` or ``"patchelf"``.

    Raises:
        ElfError: ``path`` is not a readable ELF file.
        TtCondaError: patchelf failed, or the changed file is not as requested.
    """
    before = read(path)
    if _says(before) == change.wanted(before) and before.runpath is None and not _stale_paths(before):
        return "nothing"
    edits = _edits(before, change)
    how = "patchelf" if edits is None else "in place"
    with _replacing(before, change, how) as part:
        if edits is None:
            _patchelf(before, change, part)
        else:
            shutil.copyfile(path, part)
            _write(part, before, edits)
        _say_once(part)
        _wipe_stale_paths(part)
    return how


def patch(path: Path, change: Change) -> None:
    """Change ``path`` as :func:`apply` does, but by patchelf alone: other strings and entries keep their bytes.

    Raises:
        ElfError: ``path`` is not a readable ELF file.
        OSError: the disk is full.
        TtCondaError: patchelf failed, or the changed file is not as requested.
    """
    before = read(path)
    soname, needed, rpath = change.wanted(before)
    if (before.soname, before.search_path) != (soname, rpath) or before.runpath or {*before.needed} != {*needed}:
        with _replacing(before, change, "patchelf") as part:
            _patchelf(before, change, part)


@contextmanager
def _replacing(before: Elf, change: Change, how: str) -> Iterator[Path]:
    """The place of the changed file, which is checked and then replaces the original."""
    part = before.path.with_name(f".{before.path.name}.part")
    try:
        yield part
        _check(before, read(part), change, how)
        shutil.copymode(before.path, part)
        part.replace(before.path)
    except ElfError as error:
        raise TtCondaError(f"{before.path}: the rewritten file cannot be read ({error})", _REPORT) from error
    finally:
        part.unlink(missing_ok=True)


def clear_executable_stack(path: Path) -> bool:
    """Make an object stop asking for an executable stack, which glibc 2.41 and newer refuse to a library.

    The flag is cleared in place; patchelf adds the header PT_GNU_STACK where there is none.

    Returns:
        Whether it asked for one.

    Raises:
        ElfError: ``path`` is not a readable ELF file.
        TtCondaError: patchelf failed, or the object still asks.
    """
    before = read(path, symbols=True)
    if not before.wants_executable_stack:
        return False
    headers = [segment for segment in before.segments if segment.kind == PT_GNU_STACK]
    if headers:
        with path.open("r+b") as file:
            for header in headers:
                file.seek(header.at + 4)
                file.write(struct.pack("<I", header.flags & ~PF_X))
    else:
        _run_patchelf(before, ["--clear-execstack"], path)
    after = read(path)
    if after.wants_executable_stack or after.symbols != before.symbols or _says(after) != _says(before):
        raise TtCondaError(f"{path}: its request for an executable stack cannot be cleared", _REPORT)
    return True


def _says(elf: Elf) -> tuple[str | None, tuple[str, ...], str | None]:
    return elf.soname, elf.needed, elf.rpath


def _check(before: Elf, after: Elf, change: Change, how: str) -> None:
    """Compare the changed parts with the request, and the rest with the original."""

    def versions(elf: Elf) -> list[tuple[str, str]]:
        return sorted((change.needed.get(lib, lib), v) for lib, found in elf.version_needs.items() for v in found)

    wrong = None
    if (after.soname, tuple(dict.fromkeys(after.needed)), after.rpath) != change.wanted(before) or after.runpath:
        wrong = f"soname {after.soname}, NEEDED {', '.join(after.needed)}, RPATH {after.rpath}, RUNPATH {after.runpath}"
    elif after.symbols != before.symbols:
        wrong = "other symbols"
    elif versions(after) != versions(before):
        wrong = "other symbol versions"
    elif stale := [name for name in after.version_needs if name in change.needed and name not in after.needed]:
        wrong = f"symbol versions still bound to {', '.join(stale)}"
    elif after.build_id != before.build_id:
        wrong = "another build id"
    if wrong:
        raise TtCondaError(f"{before.path}: the rewritten file ({how}) has {wrong}", _REPORT)


def _edits(elf: Elf, change: Change) -> dict[int, tuple[bytes, bytes]] | None:
    """Offset in .dynstr → old and new string; None if overwriting is not safe."""
    search = [e for e in elf.entries if e.tag in (DT_RPATH, DT_RUNPATH)]
    if not search or (elf.soname is None) != (change.soname is None):  # no space for it
        return None
    last = elf.runpath if search[-1].tag == DT_RUNPATH else elf.rpath
    wanted = [(search[-1].value, last or "", change.rpath)]
    names = iter(elf.needed)
    for entry in elf.entries:
        if entry.tag == DT_NEEDED:
            old = next(names)
            new = change.needed.get(old, old)
            # ld.so matches symbol versions by this name
            wanted += [(offset, old, new) for offset in (entry.value, *elf.version_offsets.get(old, ()))]
        elif entry.tag == DT_SONAME:
            wanted.append((entry.value, elf.soname or "", change.soname or ""))
    edits: dict[int, tuple[bytes, bytes]] = {}
    for offset, old, new in wanted:
        edit = _encode(old), _encode(new)
        if edit[0] != edit[1] and edits.setdefault(offset, edit) != edit:
            return None

    base, size = elf.strtab
    references = string_references(elf)
    with elf.path.open("rb") as file:
        file.seek(base)
        table = file.read(size)
    for offset, (before, after) in edits.items():
        end = offset + len(before)
        # A linker may store one string as the tail of another, or of a symbol: then its bytes are shared.
        if (
            len(after) > len(before)
            or end >= size
            or (offset and table[offset - 1] != 0)
            or offset in references.symbols
            or any(offset < reference <= end for reference in references.names | references.symbols)
        ):
            return None
    return edits


def _encode(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _write(path: Path, elf: Elf, edits: Mapping[int, tuple[bytes, bytes]]) -> None:
    with path.open("r+b") as file:
        for offset, (old, new) in edits.items():
            file.seek(elf.strtab[0] + offset)
            file.write(new.ljust(len(old), b"\0"))
        for entry in elf.entries:
            if entry.tag == DT_RUNPATH:
                file.seek(entry.offset - 8)
                file.write(struct.pack("<Q", DT_RPATH))


def _say_once(path: Path) -> None:
    """Remove duplicates from the dynamic section: NEEDED, if two copies became one library, and RPATH."""
    elf = read(path)
    names, kept = iter(elf.needed), dict[tuple[int, str | int], bytes]()
    for index, entry in enumerate(elf.entries):
        which = next(names) if entry.tag == DT_NEEDED else "" if entry.tag == DT_RPATH else index
        if entry.tag == DT_RPATH:  # the last one counts
            kept.pop((entry.tag, which), None)
        kept.setdefault((entry.tag, which), struct.pack("<QQ", entry.tag, entry.value))
    if len(kept) < len(elf.entries):
        with path.open("r+b") as file:
            file.seek(elf.entries[0].offset - 8)
            file.write(b"".join(kept.values()).ljust(16 * len(elf.entries), b"\0"))


def _stale_paths(elf: Elf) -> list[tuple[int, int]]:
    """Start and end, in the file, of unused strings in .dynstr that look like paths.

    patchelf leaves the old RPATH behind when it writes a new one, and published wheels have already been patched.
    """
    base, size = elf.strtab
    with elf.path.open("rb") as file:
        file.seek(base)
        table = file.read(size)
    spans = [match.span() for match in re.finditer(rb"(?:(?<=\0)|^)[^\0]*?/[^\0]*", table)]
    if not spans:
        return []
    references = string_references(elf)
    used = sorted(references.names | references.symbols)
    found = []
    for start, end in spans:
        first = bisect.bisect_left(used, start)
        end = min(end, used[first]) if first < len(used) else end  # a name may be the tail of the old path
        if start < end:
            found.append((base + start, base + end))
    return found


def _wipe_stale_paths(path: Path) -> None:
    stale = _stale_paths(read(path))
    with path.open("r+b") as file:
        for start, end in stale:
            file.seek(start)
            file.write(b"\0" * (end - start))


def _patchelf(elf: Elf, change: Change, target: Path) -> None:
    command = ["--force-rpath", "--set-rpath", change.rpath] if change.rpath else ["--remove-rpath"]
    if change.soname is not None and change.soname != elf.soname:
        command += ["--set-soname", change.soname]
    for old in dict.fromkeys(elf.needed):
        if (new := change.needed.get(old, old)) != old:
            command += ["--replace-needed", old, new]
    for name in change.added:
        command += ["--add-needed", name]
    _run_patchelf(elf, command, target)


def _run_patchelf(elf: Elf, options: Sequence[str], target: Path) -> None:
    command = [_patchelf_program(), *options, "--output", str(target), str(elf.path)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        said = os.strerror(errno.EFBIG) if done.returncode == -signal.SIGXFSZ else done.stderr
        if full := disk_error_in(said):
            raise full
        reason = done.stderr.strip() or f"exit code {done.returncode}"
        raise TtCondaError(f"{elf.path}: patchelf could not rewrite it: {reason}", f"Command: {shlex.join(command)}")


def _patchelf_program() -> str:
    found = find_program("patchelf")
    if not found:
        raise TtCondaError(
            "patchelf is not installed", "Install it: `pip install patchelf` or `conda install patchelf`."
        )
    return found
