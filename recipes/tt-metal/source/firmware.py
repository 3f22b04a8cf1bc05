"""Firmware of the published wheel, where SFPI's compiler cannot be had: whether it is this tree's, and a record of it.

The wheel has the sources of its firmware as well, so they are compared with the tree's. Compiled objects name the
compiler in `.comment`; those of assembler do not.

    python firmware.py TT_METAL CARVED BILL_OF_MATERIALS

CARVED is the prefix that `tt-conda carve` has filled, BILL_OF_MATERIALS the file to write: the one that it wrote there,
with the firmware's objects.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = "share/tt-metalium"
SOURCES = "tt_metal/hw"


def other_sources(tree: Path, carved: Path) -> list[str]:
    """What the wheel's sources of firmware say otherwise than the tree's."""
    theirs = carved / ROOT / SOURCES
    names = [path.relative_to(theirs) for path in sorted(theirs.rglob("*")) if path.is_file()]
    if not names:
        return [f"no {SOURCES} in it"]
    mine = tree / SOURCES
    return [
        f"{SOURCES}/{name}"
        for name in names
        if not (mine / name).is_file() or (mine / name).read_bytes() != (theirs / name).read_bytes()
    ]


def compilers(objects: list[Path]) -> set[str]:
    """The versions of SFPI that objects say they were compiled with."""
    found = {said for path in objects for said in re.findall(rb"tenstorrent/sfpi:([\d.]+)\)", path.read_bytes())}
    return {version.decode() for version in found}


def with_firmware(bill: dict[str, Any], carved: Path, objects: list[Path]) -> dict[str, Any]:
    """A CycloneDX document with the objects, each with the wheel that it is from; the rest of the wheel is not here."""
    wheel, *_ = bill["components"]
    firmware = [
        {
            "bom-ref": (name := path.relative_to(carved).as_posix()),
            "type": "firmware",
            "name": name,
            "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}],
            "pedigree": {"ancestors": [{key: wheel[key] for key in ("type", "name", "version", "purl", "hashes")}]},
        }
        for path in objects
    ]
    return {**bill, "components": [wheel, *firmware], "properties": []}


def main(tt_metal: str, prefix: str, bill_of_materials: str) -> None:
    """Compare, and write the bill of materials."""
    tree, carved, target = Path(tt_metal), Path(prefix), Path(bill_of_materials)
    objects = sorted((carved / ROOT / "runtime/hw/lib").rglob("*.o"))
    if other := other_sources(tree, carved):
        sys.exit(
            "\n".join(["error: the published wheel's firmware is not of these sources, which differ in:", *other[:20]])
        )
    (wanted,) = re.findall(r"^sfpi_version='?([^'\s]*)", (tree / "tt_metal/sfpi-version").read_text(), flags=re.M)
    if (found := compilers(objects)) != {wanted}:
        said = " and ".join(sorted(found)) or "none"
        sys.exit(f"error: the published wheel's firmware is compiled with SFPI {said}; this tree wants {wanted}")
    (written,) = (carved / "share/sbom").glob("*.cdx.json")
    target.parent.mkdir(parents=True, exist_ok=True)
    bill = with_firmware(json.loads(written.read_text()), carved, objects)
    target.write_text(json.dumps(bill, indent=2) + "\n")
    print(f"firmware: {len(objects)} objects of the published wheel, compiled with SFPI {wanted}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
