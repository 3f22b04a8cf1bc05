"""Make of the fetched sources a tree that configures without a network: check, patch, put in place.

In the working folder: ``tt-metal``, ``_deps/NAME-src``, ``cpm`` (a checkout of CPM.cmake) and ``pins/VERSION.toml``.

    python prepare.py VERSION SFPI_VERSION PATCHES RECIPE
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

try:
    import tomllib
except ImportError:
    import tomli as tomllib

ASKED_FOR_IN = (
    "tt-metal/third_party/CMakeLists.txt",
    "tt-metal/tt_metal/third_party/umd/third_party/CMakeLists.txt",
    "_deps/ttexalens-src/cmake/native_elf.cmake",  # libdwarf and ELFIO, since tt-metal uses tt-exalens
)
"""Where CPM is asked for third parties, in the order in which CMake reads them."""

CALL = re.compile(r"CPMAddPackage\(((?:#.*\n|[^)#])*)\)")
COMMIT = re.compile("[0-9a-f]{40}")

NOT_COMPILED = {
    "taskflow": ("3rd-party", "benchmarks", "docs", "doxygen", "image", "sandbox", "tfprof", "unittests"),
    "simd-everywhere": ("test",),
}
"""Folders of third parties that no build reads: 150 MB, and among them a compiled program."""


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
    call: str
    name: str
    ref: str
    sha256: str
    patches: tuple[Path, ...]

    @property
    def folder(self) -> Path:
        """Its place, where CPM finds it without fetching."""
        return Path(f"_deps/{self.name}-src")


def asked_for(file: Path) -> Iterator[Asked]:
    """Every ``CPMAddPackage`` of a file, also those behind options that are off."""
    for call in CALL.finditer(file.read_text()):
        values: dict[str, list[str]] = {}
        key = ""
        for word in re.sub(r"#.*", "", call[1]).split():
            if re.fullmatch(r"[A-Z][A-Z_]+", word) and values.get(key) != ["NAME"]:  # a name may be ELFIO
                key = word
            values.setdefault(key, []).append(word.strip('"'))
        first = {key: found[1] for key, found in values.items() if len(found) > 1}
        patches = tuple(file.parent / name for name in values.get("PATCHES", [])[1:])
        ref = first.get("GIT_TAG") or first.get("VERSION", "")
        sha256 = first.get("URL_HASH", "").removeprefix("SHA256=")
        yield Asked(file, call[0], first["NAME"].lower(), ref, sha256, patches)


def git(folder: Path, *command: str) -> str:
    """What a git command prints; nothing where the folder is not a checkout."""
    if not (folder / ".git").exists():
        return ""
    return subprocess.run(["git", "-C", folder, *command], check=True, capture_output=True, text=True).stdout.strip()


def wrong_submodules() -> Iterator[str]:
    """The submodules that are here are at the commits that tt-metal names."""
    for line in git(Path("tt-metal"), "ls-tree", "-r", "HEAD").splitlines():
        mode, _, wanted, path = line.split(maxsplit=3)
        found = git(Path("tt-metal", path), "rev-parse", "HEAD") if mode == "160000" else ""
        if found and found != wanted:
            yield f"tt-metal wants {path} at {wanted}; the recipe has {found}"


def wrong_pin(package: Asked, versions: dict[str, str], recipe: str) -> Iterator[str]:
    """Where the recipe's source is another than the one that upstream asks for."""
    asks = f"{package.file} asks for {package.name}"
    if package.sha256:
        if package.sha256 not in recipe:
            yield f"{asks} {package.sha256}; the recipe has another archive"
    elif COMMIT.fullmatch(package.ref):
        found = git(package.folder, "rev-parse", "HEAD")
        if found and found != package.ref:
            yield f"{asks} {package.ref}; the recipe has {found}"
    elif package.ref.removeprefix("v") != versions.get(package.name, "").removeprefix("v"):
        yield f"{asks} {package.ref}; pinned is {versions.get(package.name)}"


def apply(patch: Path, folder: Path) -> None:
    """Apply a patch."""
    print(f"{patch} to {folder}", flush=True)
    subprocess.run(["patch", "--batch", "-p1", "-d", folder, "-i", patch.resolve()], check=True)


def edit(path: str, pattern: str, replacement: str, *, must: bool = True) -> None:
    """Replace what a file of tt-metal says; unless ``must`` is false, it is an error if there is nothing to replace."""
    file = Path("tt-metal", path)
    text, count = re.subn(pattern, replacement, file.read_text(), flags=re.M) if file.is_file() else ("", 0)
    if count:
        file.write_text(text)
    elif must:
        sys.exit(f"error: {file} has nothing like {pattern}")


def check(version: str, sfpi_version: str, recipe: Path) -> None:
    """Compare the recipe's sources with what the tree asks for.

    Upstream's own patches are applied too: CPM applies them only to what it fetches. What is asked for and not in the
    recipe, because nothing compiles it, is no longer asked for.
    """
    file = Path(f"pins/{version}.toml")
    pins = tomllib.loads(file.read_text()) if file.is_file() else {}
    if not pins:
        print("these sources have no pins: they are taken as they are", flush=True)
    wrong = list(wrong_submodules())
    for name, wanted in pins.get("nar", {}).items():
        if (found := nar_hash(Path(f"_deps/{name}-src"))) != wanted:
            wrong.append(f"_deps/{name}-src has {found}; pinned is {wanted}")
    said = Path("tt-metal/tt_metal/sfpi-version").read_text()
    wants = re.search(r"^sfpi_version='?([\w.]+)", said, flags=re.M)
    if not wants or wants[1] != sfpi_version:
        wrong.append(f"tt-metal compiles kernels with sfpi {wants and wants[1]}; the variants say {sfpi_version}")
    archive = re.search(r"^sfpi_x86_64_debian_txz_(?:md5|hash)='?([0-9a-f]+)", said, flags=re.M)
    if archive and pins and archive[1] not in (recipe / "../sfpi/recipe.yaml").read_text():
        wrong.append(f"tt-metal wants an archive of sfpi with the hash {archive[1]}; the recipe of sfpi has another")
    first: dict[str, Asked] = {}  # CPM takes what was asked for first
    for package in (asked for name in ASKED_FOR_IN if Path(name).is_file() for asked in asked_for(Path(name))):
        if not package.folder.is_dir():
            print(f"not here, so no longer asked for: {package.name} {package.ref}, of {package.file}", flush=True)
            package.file.write_text(package.file.read_text().replace(package.call, ""))
        elif first.setdefault(package.name, package) is package:
            wrong += wrong_pin(package, pins["version"], (recipe / "recipe.yaml").read_text()) if pins else ()
            for patch in package.patches:
                apply(patch, package.folder)
    here = {folder.name.removesuffix("-src") for folder in Path("_deps").iterdir()}
    for name in sorted((here | pins.get("version", {}).keys()) - first.keys() if pins else ()):
        wrong.append(f"{name} is a source or a pin, but none of {', '.join(ASKED_FOR_IN)} asks for it")
    if wrong:
        sys.exit("\n".join(["error: the recipe's sources are not the ones that this tt-metal asks for:", *wrong]))


def main(version: str, sfpi_version: str, patches: str, recipe: str) -> None:
    """Check, patch and place."""
    check(version, sfpi_version, Path(recipe))
    for folder in Path(patches).iterdir():
        for patch in sorted(folder.iterdir()) if Path(f"_deps/{folder.name}-src").is_dir() else ():
            apply(patch, Path(f"_deps/{folder.name}-src"))
    for name, folders in NOT_COMPILED.items():
        for part in folders:
            shutil.rmtree(f"_deps/{name}-src/{part}", ignore_errors=True)
    for place in (Path("tt-metal"), Path("_deps")):
        for copy in place.rglob("CPM.cmake"):
            shutil.copyfile("cpm/cmake/CPM.cmake", copy)
    # A compiler that upstream did not try may warn of more.
    edit("CMakeLists.txt", r"^ +-Werror\n", "")
    # Upstream's own place for OpenMPI; where that is not, CMake searches, and links what it finds by an absolute path.
    edit("tt_metal/distributed/CMakeLists.txt", r"^set\(ULFM_PREFIX .*\)\n", "")
    # The driver's own least version of CMake's policies, older than the recipe's.
    edit("tt_metal/third_party/umd/CMakeLists.txt", r"^set\(CMAKE_POLICY_VERSION_MINIMUM .*\)\n", "", must=False)
    # Tracy's own programs, of the older fork: make and the machine's g++ compile them even where Tracy is off.
    edit("cmake/tracy.cmake", r"^# Our current fork of tracy does not have CMake", r"return()\n\g<0>", must=False)
    # It asks the machine's /etc/os-release which archive of SFPI fits; the package has Debian's on every machine.
    edit("tt_metal/sfpi-info.sh", r"^sfpi_arch=\$\(uname -m\)", r"sfpi_dist=debian\n\g<0>", must=False)
    # Its setup.py has extensions as keys, which those of newer setuptools cannot be.
    edit("setup.py", r"^    ttnn_lib_C: BuildConstants", "    ttnn_lib_C.name: BuildConstants", must=False)
    edit("setup.py", r"\bbuild_constants_lookup\[ext\]", "build_constants_lookup[ext.name]", must=False)
    # The year in which generated headers are generated.
    codegen = "tt_metal/llrt/hal/codegen/codegen.sh"
    edit(codegen, r"^YEAR=\$\(date \+%Y\)$", "YEAR=", must=Path("tt-metal", codegen).exists())


if __name__ == "__main__":
    main(*sys.argv[1:])
