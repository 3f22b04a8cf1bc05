"""The bill of materials of a carved package: the wheel with its hash, and the changes to each file.

A CycloneDX 1.6 document (https://cyclonedx.org/docs/1.6/json/). For a changed file, ``pedigree`` has the original
member (``ancestors``) and the changes (``patches``); tt-conda's own files have no pedigree. Unchanged files are not
listed: ``info/paths.json`` has the hashes of all files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tt_conda import __version__
from tt_conda.base.files import sha256_of
from tt_conda.carve.plan import Edited, PlacedObject
from tt_conda.carve.report import CarveReport
from tt_conda.formats.wheel import OpenWheel

FOLDER = "share/sbom"
"""In the prefix. Scanners find bills of materials by their extension, ``.cdx.json``."""


def write_sbom(
    name: str,
    root: Path,
    wheels: Sequence[OpenWheel],
    objects: Sequence[PlacedObject],
    edited: Sequence[Edited],
    made: Iterable[str],
    report: CarveReport,
) -> Path:
    """Write ``share/sbom/NAME.cdx.json``; deterministic for the same carving.

    Args:
        name: the package's name.
        root: the finished prefix.
        wheels: the sources of the files.
        objects: the shared objects in the prefix.
        edited: the wheels' files that were edited.
        made: paths below ``root`` of files from no wheel: scripts, records.
        report: lists the dropped copies.

    Returns:
        The file.
    """
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            # of the newest wheel, so that the document does not depend on the time of writing
            "timestamp": max(map(_date, wheels)),
            "tools": {"components": [{"type": "application", "name": "tt-conda", "version": __version__}]},
            "component": {
                "bom-ref": name, "type": "library", "name": name, "version": wheels[0].version,
                "purl": f"pkg:conda/{name}@{wheels[0].version}",
            },
        },
        "components": [
            *map(_wheel, wheels),
            *(_object(root, item) for item in sorted(objects, key=lambda item: item.path)),
            *(_edited(root, item) for item in sorted(edited, key=lambda item: item.path)),
            *(_made(path) for path in sorted(made)),
        ],
        "dependencies": [{"ref": name, "dependsOn": sorted(wheel.path.name for wheel in wheels)}],
        "properties": [
            {"name": "tt-conda:dropped", "value": f"{copy.member}: {copy.why}"}
            for copy in sorted(report.dropped, key=lambda copy: copy.member)
        ],
    }  # fmt: skip
    path = root / FOLDER / f"{name}.cdx.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")
    return path


def changes(item: PlacedObject) -> list[str]:
    """What differs between a wheel's member and the object in the prefix, one line each."""
    before, change = item.member.elf, item.change
    lines = [f"SONAME {before.soname} → {change.soname}"] if before.soname != change.soname else []
    lines += [f"NEEDED {old} → {new}" for old, new in change.needed.items() if old != new]
    if (before.rpath, before.runpath) != (change.rpath, None):
        old = [f"{tag} {path}" for tag, path in (("RPATH", before.rpath), ("RUNPATH", before.runpath)) if path]
        lines.append(f"{', '.join(old) or 'no search path'} → RPATH {change.rpath}")
    return lines


def _wheel(wheel: OpenWheel) -> dict[str, Any]:
    return {
        "bom-ref": wheel.path.name, "type": "library", "name": wheel.name, "version": wheel.version,
        "purl": f"pkg:pypi/{wheel.name.lower().replace('_', '-')}@{wheel.version}?file_name={wheel.path.name}",
        "hashes": _hashes(wheel.path),
    }  # fmt: skip


def _object(root: Path, item: PlacedObject) -> dict[str, Any]:
    links = [{"name": "tt-conda:link", "value": f"{link} → {target}"} for link, target in sorted(item.links.items())]
    component = _changed(root, item.path, str(item.member), item.original_sha256, changes(item))
    return {**component, **({"properties": links} if links else {})}


def _edited(root: Path, item: Edited) -> dict[str, Any]:
    said = [f"{edit.old.strip()} → {edit.new.strip()}" for edit in item.edits]
    return _changed(root, item.path, f"{item.wheel.path.name}: {item.name}", item.original_sha256, said)


def _changed(root: Path, path: str, member: str, sha256: str, said: Sequence[str]) -> dict[str, Any]:
    ancestor = {"type": "file", "name": member, "hashes": [{"alg": "SHA-256", "content": sha256}]}
    pedigree: dict[str, Any] = {"ancestors": [ancestor]}
    if said:
        pedigree["patches"] = [{"type": "unofficial", "diff": {"text": {"content": "\n".join(said)}}}]
    return {**_file(root, path), "pedigree": pedigree}


def _file(root: Path, path: str) -> dict[str, Any]:
    return {"bom-ref": path, "type": "file", "name": path, "hashes": _hashes(root / path)}


def _made(path: str) -> dict[str, Any]:
    # without its hash: it contains the prefix, or hashes of files that do, and installation changes the prefix
    return {"bom-ref": path, "type": "file", "name": path, "description": "written by tt-conda"}


def _hashes(path: Path) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": sha256_of(path)}]


def _date(wheel: OpenWheel) -> str:
    return max(_moment(info.date_time) for info in wheel.members.values()).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(fields: tuple[int, int, int, int, int, int]) -> datetime:
    """Time of a zip member; zip's first day where a tool wrote zeros for month and day."""
    try:
        return datetime(*fields, tzinfo=timezone.utc)
    except ValueError:
        return datetime(1980, 1, 1, tzinfo=timezone.utc)
