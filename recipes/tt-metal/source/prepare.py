"""Make of the fetched sources a tree that configures without a network: check, patch, put in place.

In the working folder: ``tt-metal``, ``_deps/NAME-src``, ``pins/VERSION.toml`` and ``CPM.cmake``.

    python prepare.py VERSION SFPI_VERSION PATCHES
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

try:
    import tomllib
except ImportError:
    import tomli as tomllib

ASKED_FOR_IN = (
    "tt-metal/third_party/CMakeLists.txt",
    "tt-metal/tt_metal/third_party/umd/third_party/CMakeLists.txt",
    "_deps/ttexalens-src/cmake/native_elf.cmake",  # libdwarf and ELFIO, since tt-metal uses tt-exalens
)
"""Where CPM is asked for what is pinned, in the order in which CMake reads them."""


def nar_hash(folder: Path) -> str:
    """The sha256 of a folder's NAR, as Nix writes it; git's own files do not count.

    The format: E. Dolstra, The Purely Functional Software Deployment Model (2006), figure 5.2.
    """
    digest = hashlib.sha256()

    def put(*values: bytes) -> None:
        for value in values:
            digest.update(struct.pack("<Q", len(value)) + value + b"\0" * (-len(value) % 8))

    def node(path: Path) -> None:
        put(b"(", b"type")
        if path.is_symlink():
            put(b"symlink", b"target", os.fsencode(path.readlink()))
        elif path.is_dir():
            put(b"directory")
            for name in sorted(os.fsencode(entry.name) for entry in path.iterdir() if entry.name != ".git"):
                put(b"entry", b"(", b"name", name, b"node")
                node(path / os.fsdecode(name))
                put(b")")
        else:
            put(b"regular", *((b"executable", b"") if path.stat().st_mode & 0o100 else ()))
            put(b"contents", path.read_bytes())
        put(b")")

    put(b"nix-archive-1")
    node(folder)
    return "sha256-" + base64.b64encode(digest.digest()).decode()


@dataclass(frozen=True)
class Asked:
    """A package that a CMakeLists.txt asks CPM for."""

    file: Path
    name: str
    ref: str
    sha256: str
    patches: tuple[Path, ...]


def asked_for(file: Path) -> Iterator[Asked]:
    """Every ``CPMAddPackage`` of a file, also those behind options that are off."""
    text = re.sub(r"#.*", "", file.read_text())
    for call in re.findall(r"CPMAddPackage\(([^)]*)\)", text):
        values: dict[str, list[str]] = {}
        key = ""
        for word in call.split():
            if re.fullmatch(r"[A-Z][A-Z_]+", word) and values.get(key) != ["NAME"]:  # a name may be ELFIO
                key = word
            values.setdefault(key, []).append(word.strip('"'))
        first = {key: found[1] for key, found in values.items() if len(found) > 1}
        patches = tuple(file.parent / name for name in values.get("PATCHES", [])[1:])
        ref = first.get("GIT_TAG") or first.get("VERSION", "")
        sha256 = first.get("URL_HASH", "").removeprefix("SHA256=")
        yield Asked(file, first["NAME"].lower(), ref, sha256, patches)


def check_pins(pins: dict[str, dict[str, Any]]) -> None:
    """Every source that has a pin is the one that was pinned."""
    wrong = []
    for name, pin in pins.items():
        if "nar" not in pin:  # an archive, whose hash is in the recipe
            continue
        folder = Path("tt-metal" if name == "tt-metal" else f"_deps/{name}-src")
        found = nar_hash(folder)
        print(f"{found} {folder}", flush=True)
        if found != pin["nar"]:
            wrong.append(f"{folder} of {pin['repository']} has {found}, pinned is {pin['nar']}")
    if wrong:
        sys.exit("\n".join(["error: sources are not what was pinned:", *wrong]))


def check_and_patch(asked: list[Asked], pins: dict[str, dict[str, Any]]) -> None:
    """What upstream asks for is what is pinned, with upstream's patches, which CPM applies only to what it fetches."""
    wrong, done = [], set[str]()
    for package in asked:
        if package.name in done:  # CPM takes what was asked for first
            continue
        done.add(package.name)
        pin = pins.get(package.name)
        if not Path(f"_deps/{package.name}-src").is_dir():
            print(f"not here: {package.name} {package.ref}, of {package.file}; an option may leave it out", flush=True)
            continue
        pinned = pin and not pin.get("any") and (pin.get("tag") or pin.get("rev", ""))
        if pinned and package.ref and pinned.removeprefix("v") != package.ref.removeprefix("v"):
            wrong.append(f"{package.file} asks for {package.name} {package.ref}; pinned is {pinned}")
        if pin and package.sha256 and package.sha256 != pin.get("sha256"):
            wrong.append(f"{package.file} asks for {package.name} {package.sha256}; pinned is {pin.get('sha256')}")
        for patch in package.patches:
            apply(patch, Path(f"_deps/{package.name}-src"))
    for name in sorted(pins.keys() - done - {"tt-metal"}):
        print(f"not compared: {name}; none of {', '.join(ASKED_FOR_IN)} asks for it", flush=True)
    if wrong:
        sys.exit("\n".join(["error: the pins are not upstream's:", *wrong, "Correct pins/ and the recipe's sources."]))


def apply(patch: Path, folder: Path) -> None:
    """Apply a patch."""
    print(f"{patch} to {folder}", flush=True)
    subprocess.run(["patch", "--batch", "-p1", "-d", folder, "-i", patch.resolve()], check=True)


def edit(path: str, pattern: str, replacement: str, *, must: bool = True) -> None:
    """Replace what a file of tt-metal says."""
    file = Path("tt-metal", path)
    if not file.is_file() and not must:
        return
    text, count = re.subn(pattern, replacement, file.read_text(), flags=re.M)
    if not count and must:
        sys.exit(f"error: {file} has nothing like {pattern}")
    file.write_text(text)


def main(version: str, sfpi_version: str, patches: str) -> None:
    """Check, patch and place."""
    file = Path(f"pins/{version}.toml")
    pins: dict[str, dict[str, Any]] = tomllib.loads(file.read_text()) if file.is_file() else {}
    if not pins:
        print("these sources have no pins: they are taken as they are", flush=True)
    check_pins(pins)
    wants = re.search(r"^sfpi_version='?([\w.]+)", Path("tt-metal/tt_metal/sfpi-version").read_text(), flags=re.M)
    if not wants or wants[1] != sfpi_version:
        sys.exit(
            f"error: this tt-metal compiles kernels with sfpi {wants and wants[1]}; the variants say {sfpi_version}"
        )
    files = [file for name in ASKED_FOR_IN if (file := Path(name)).is_file()]
    check_and_patch([package for file in files for package in asked_for(file)], pins)
    for folder in Path(patches).iterdir():
        for patch in sorted(folder.iterdir()) if Path(f"_deps/{folder.name}-src").is_dir() else ():
            apply(patch, Path(f"_deps/{folder.name}-src"))
    for place in (Path("tt-metal"), Path("_deps")):
        for copy in place.rglob("CPM.cmake"):
            shutil.copy("CPM.cmake", copy)
    # A compiler that upstream did not try may warn of more.
    edit("CMakeLists.txt", r"^ +-Werror\n", "")
    # Tracy's own programs, of the older fork: make and the machine's g++ compile them even where Tracy is off.
    edit("cmake/tracy.cmake", r"^# Our current fork of tracy does not have CMake", r"return()\n\g<0>", must=False)
    # It asks the machine's /etc/os-release which archive of SFPI fits; the package has Debian's on every machine.
    edit("tt_metal/sfpi-info.sh", r"^sfpi_arch=\$\(uname -m\)", r"sfpi_dist=debian\n\g<0>", must=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
