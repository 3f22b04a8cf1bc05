"""What differs between two packages: file by file, and within files field by field."""

from __future__ import annotations

import difflib
import json
import posixpath
import tarfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tt_conda.base.documents import read_json
from tt_conda.building.reproducible import load_rendered
from tt_conda.elf import ElfError
from tt_conda.elf.sections import sections
from tt_conda.formats import conda
from tt_conda.formats.conda import FILES, INFO, TarPart

_MOST = 8
"""Lines or fields that are told of one file."""


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same."""

    path: str
    """Of a file in the package; empty: of the package as a file."""
    what: str
    """``old → new``, or where only one of them has it."""


def differences(old: Path, new: Path) -> list[Difference]:
    """What differs between two packages; nothing, where they are the same bits.

    Raises:
        TtCondaError: one of them cannot be read.
    """
    with conda.opened(old) as mine, conda.opened(new) as others:
        found = list(_parts(mine[FILES], others[FILES]))
        found += _parts(mine[INFO], others[INFO], told=frozenset(item.path for item in found))
        for kind in (FILES, INFO):
            before, after = list(mine[kind].entries), list(others[kind].entries)
            if before != after and sorted(before) == sorted(after):
                found.append(Difference("", f"the files of {kind}-*.tar.zst stand in another order"))
    if not found and old.read_bytes() != new.read_bytes():
        found = list(_containers(old, new)) or [Difference("", "other fields of the zip")]
    return found


def _parts(mine: TarPart, others: TarPart, told: frozenset[str] = frozenset()) -> Iterator[Difference]:
    """``told``: paths of files that differ, which need not be told again where files are listed."""
    for name in sorted({*mine.entries, *others.entries}):
        if name not in others.entries:
            yield Difference(name, "only in the first")
        elif name not in mine.entries:
            yield Difference(name, "only in the second")
        else:
            yield from _entries(name, mine, others, told)


def _entries(name: str, mine: TarPart, others: TarPart, told: frozenset[str]) -> Iterator[Difference]:
    old, new = mine.entries[name], others.entries[name]
    if _kind(old) != _kind(new):
        yield Difference(name, f"{_kind(old)} → {_kind(new)}")
        return
    for what, first, second in zip(("mode", "date", "link to", "owner"), _about(old), _about(new), strict=True):
        if first != second:
            yield Difference(name, f"{what} {first} → {second}")
    if old.isfile() and (before := mine.read(name)) != (after := others.read(name)):
        for line in _contents(name, before, after, told):
            yield Difference(name, line)


def _about(item: tarfile.TarInfo) -> tuple[str, str, str, str]:
    owner = f"{item.uid}:{item.gid} {item.uname}:{item.gname}".rstrip(" :")
    return f"{item.mode:o}", str(item.mtime), item.linkname, owner


def _kind(item: tarfile.TarInfo) -> str:
    return "link" if item.issym() else "folder" if item.isdir() else "file"


def _contents(name: str, old: bytes, new: bytes, told: frozenset[str]) -> list[str]:
    lines: list[str]
    try:
        match posixpath.splitext(name)[1]:
            case ".json":
                lines = list(_fields(read_json(old), read_json(new)))
            case ".yaml":
                lines = list(_fields(load_rendered(old), load_rendered(new)))
            case _ if b"\0" in old or b"\0" in new:
                lines = _bytes(old, new)
            case _:
                lines = _lines(old.decode(), new.decode())
    except (ValueError, RecursionError):
        lines = _bytes(old, new)
    if not lines:
        lines = ["the same, written otherwise"]
    lines = [line for line in lines if not (line.startswith("paths.[") and line[7:].partition("]")[0] in told)]
    more = len(lines) - _MOST
    return [*lines[:_MOST], f"and {more} more"] if more > 1 else lines


def _fields(old: Any, new: Any, at: str = "") -> Iterator[str]:
    """Fields of JSON or YAML that differ; records in lists are known by their names, not by their places."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            where = f"{at}.{key}" if at else str(key)
            if key not in new:
                yield f"{where}: {_short(old[key])} → not there"
            elif key not in old:
                yield f"{where}: not there → {_short(new[key])}"
            else:
                yield from _fields(old[key], new[key], where)
    elif isinstance(old, list) and isinstance(new, list):
        mine, others = _by_name(old), _by_name(new)
        if mine is not None and others is not None:
            yield from _fields(mine, others, at)
        elif sorted(map(_short, old)) == sorted(map(_short, new)) and old != new:
            yield f"{at}: the same in another order"
        else:
            yield from (f"{at}: - {_short(item)}" for item in old if item not in new)
            yield from (f"{at}: + {_short(item)}" for item in new if item not in old)
    elif old != new:
        yield f"{at}: {_short(old)} → {_short(new)}"


def _by_name(items: Sequence[Any]) -> dict[str, Any] | None:
    for key in ("_path", "fn", "bom-ref"):
        if items and all(isinstance(item, Mapping) and key in item for item in items):
            return {f"[{item[key]}]": item for item in items}
    return None if items else {}


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text if len(text) <= 100 else f"{text[:60]}…{text[-35:]}"


def _lines(old: str, new: str) -> list[str]:
    diff = difflib.unified_diff(old.splitlines(), new.splitlines(), n=0, lineterm="")
    return [line[:200] for line in diff if not line.startswith(("---", "+++"))]


def _bytes(old: bytes, new: bytes) -> list[str]:
    try:
        mine, others = sections(old), sections(new)
    except ElfError:
        at = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
        size = f"{len(old)} → {len(new)} bytes" if len(old) != len(new) else f"{len(old)} bytes"
        return [f"{size}, the first that differs at {at}"]
    lines = []
    for name in dict.fromkeys([*mine, *others]):
        if name not in mine or name not in others:
            lines.append(f"section {name}: only in the {'first' if name in mine else 'second'}")
            continue
        (a, m), (b, n) = mine[name], others[name]
        if (before := old[a : a + m]) != (after := new[b : b + n]):
            if m != n:
                lines.append(f"section {name}: {m} → {n} bytes")
            else:
                count = sum(x != y for x, y in zip(before, after, strict=True))
                lines.append(f"section {name}: {count} of {m} bytes")
    return lines or ["outside of its sections"]


def _containers(old: Path, new: Path) -> Iterator[Difference]:
    """What remains: how the two archives are packed."""
    with zipfile.ZipFile(old) as mine, zipfile.ZipFile(new) as others:
        before = {item.filename: item for item in mine.infolist()}
        after = {item.filename: item for item in others.infolist()}
        if list(before) != list(after):
            yield Difference("", f"its members: {', '.join(before)} → {', '.join(after)}")
        for name in before.keys() & after.keys():
            if before[name].CRC != after[name].CRC:
                yield Difference("", f"{name}: the same contents, compressed otherwise")
            if before[name].date_time != after[name].date_time:
                yield Difference("", f"{name}: date {before[name].date_time} → {after[name].date_time}")
