"""A simulator's file → the conda package ``ttsim``, which nobody but the person who has the file can make.

The library stands in ``share/ttsim``, and beside it ``soc_descriptor.yaml``, where tt-metal looks for it: a link to the
descriptor of the environment's own tt-metal-kernels, on which the package depends.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from rattler import Version
from rattler.exceptions import InvalidVersionError

from tt_conda import __version__
from tt_conda.base.errors import TtCondaError
from tt_conda.channel import index
from tt_conda.formats import conda
from tt_conda.formats.conda import Entry
from tt_conda.simulator.chips import DESCRIPTORS, HOME, KERNELS, VARIABLE
from tt_conda.simulator.examine import UNKNOWN, Simulator

NAME = "ttsim"
LIBRARY = "share/ttsim/libttsim.so"
DESCRIPTOR = "share/ttsim/soc_descriptor.yaml"

_SBOM = "share/sbom/ttsim.cdx.json"
_LEVEL = 19  # of Zstandard's compression


def add(simulator: Simulator, channel: Path) -> Path:
    """Write the package and put it into ``channel``; where it is now. Added again, it is the same file.

    Raises:
        TtCondaError: the version is none that conda can order, or the disk is full.
    """
    with tempfile.TemporaryDirectory(prefix="tt-conda-") as folder:
        return index.publish([write(simulator, Path(folder))], channel)[0]


def write(simulator: Simulator, folder: Path) -> Path:
    """Write the package ``ttsim`` into ``folder``; the file.

    Raises:
        TtCondaError: the version is none that conda can order.
    """
    try:
        Version(simulator.version)
    except InvalidVersionError as error:
        raise TtCondaError(f"{simulator.version!r} is no version: {error}", "Give one such as 1.10.0.") from error
    build = f"{simulator.name}_h{simulator.sha256[:8]}_0"
    package = folder / f"{NAME}-{simulator.version}-{build}.conda"
    files = [
        Entry(_SBOM, 0o644, _document(_bill(simulator))),
        Entry(LIBRARY, 0o755, simulator.path.read_bytes()),
        Entry(DESCRIPTOR, 0o777, b"", link=f"../../{DESCRIPTORS}/{simulator.chip.descriptor}"),
    ]
    licenses = dict(_licenses(simulator.path.parent))
    info = {
        "info/about.json": _document(_about(simulator)),
        "info/files": "".join(f"{entry.name}\n" for entry in files).encode(),
        "info/index.json": _document(_index(simulator, build)),
        **{f"info/licenses/{name}": text for name, text in licenses.items()},
        "info/paths.json": _document({"paths": [_path(entry) for entry in files], "paths_version": 1}),
    }
    parts = {conda.FILES: files, conda.INFO: [Entry(name, 0o644, text) for name, text in info.items()]}
    conda.write(package, parts, 0, _LEVEL)
    return package


def _index(simulator: Simulator, build: str) -> dict[str, Any]:
    # Where nobody asks for a chip, every solver takes one Wormhole: the package with the fewest features.
    others = [
        *([f"{NAME}-{simulator.chip.name}"] if simulator.chip.name != "wh" else []),
        *([f"{NAME}-x{simulator.chips}"] if simulator.chips > 1 else []),
    ]
    return {
        "name": NAME, "version": simulator.version, "build": build, "build_number": 0,
        "depends": [f"__glibc >={simulator.glibc},<3.0.a0", KERNELS],
        "license": "Apache-2.0", "arch": "x86_64", "platform": "linux", "subdir": "linux-64",
        **({"track_features": " ".join(others)} if others else {}),
    }  # fmt: skip


def _about(simulator: Simulator) -> dict[str, Any]:
    chips = simulator.chip.title if simulator.chips == 1 else f"{simulator.chips} {simulator.chip.title} chips"
    return {
        "summary": f"Upstream's simulator of {chips}, as a device without hardware", "home": HOME, "dev_url": HOME,
        "license": "Apache-2.0",
        "description": f"From the file {simulator.path.name}, sha256 {simulator.sha256}. It is a device only where"
        f" {VARIABLE} names it: tt-conda shell sim.",
    }  # fmt: skip


def _bill(simulator: Simulator) -> dict[str, Any]:
    """A CycloneDX 1.6 document: the file, by hash, and what it was found to be."""
    found = {
        "chip": simulator.name, "tile-access": "yes" if simulator.has_tiles else "no",
        "exports": " ".join(sorted(simulator.exports)),
    }  # fmt: skip
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "tt-conda", "version": __version__}]},
            "component": {
                "bom-ref": NAME, "type": "library", "name": NAME, "version": simulator.version,
                "purl": f"pkg:conda/{NAME}@{simulator.version}",
            },
        },
        "components": [{
            "bom-ref": LIBRARY, "type": "file", "name": LIBRARY,
            "hashes": [{"alg": "SHA-256", "content": simulator.sha256}],
            "licenses": [{"license": {"id": "Apache-2.0"}}],
            "externalReferences": [{"type": "vcs", "url": HOME}],
            "pedigree": {"ancestors": [{
                "type": "file", "name": simulator.path.name,
                "hashes": [{"alg": "SHA-256", "content": simulator.sha256}],
            }]},
            "properties": [{"name": f"tt-conda:{name}", "value": value} for name, value in found.items()],
        }],
        "dependencies": [{"ref": NAME, "dependsOn": [LIBRARY]}],
    }  # fmt: skip


def _licenses(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Upstream's licence is Apache-2.0, as ours is; a NOTICE that lies beside the library goes with it."""
    yield "LICENSE", (distribution("tt-conda").read_text("licenses/LICENSE") or "").encode()
    for file in sorted(folder.glob("NOTICE*")):
        yield file.name, file.read_bytes()


def _path(entry: Entry) -> dict[str, Any]:
    content = entry.content if isinstance(entry.content, bytes) else entry.content.read()
    return {
        "_path": entry.name, "path_type": "softlink" if entry.link else "hardlink",
        "sha256": hashlib.sha256(content).hexdigest(), "size_in_bytes": len(content),
    }  # fmt: skip


def _document(content: Any) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()


def title(simulator: Simulator) -> str:
    """One line for people."""
    count = f"{simulator.chips} chips" if simulator.chips > 1 else "1 chip"
    version = "version unknown" if simulator.version == UNKNOWN else simulator.version
    return f"{simulator.chip.title}, {count}, ttsim {version}, sha256 {simulator.sha256[:16]}…"
