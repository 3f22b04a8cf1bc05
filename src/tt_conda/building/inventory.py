"""Contents of conda packages, read without installing them, and duplicates in a set of packages.

Unpacking takes seconds and a package never changes under its sha256, so the facts are cached.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel
from rattler.package_streaming import extract

from tt_conda.base.cache import FactCache
from tt_conda.base.documents import read_json
from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import disk_error_in, disk_errors, sha256_of
from tt_conda.channel.index import known_sha256, records
from tt_conda.elf import ElfError, is_shared_object, plain_soname, read
from tt_conda.formats import conda


class ObjectFacts(BaseModel):
    """One shared object or program of a package."""

    path: str
    """Path in the prefix."""
    bytes: int
    sha256: str
    machine: str
    soname: str | None
    build_id: str | None
    needed: list[str]
    rpath: str | None
    runpath: str | None
    is_library: bool
    """Not a program: it has no interpreter."""


class PackageFacts(BaseModel):
    """One package: its metadata and its files."""

    name: str
    version: str
    build: str
    noarch: str | None
    depends: list[str]
    paths: list[str]
    """Paths of its files and links, as :func:`tt_conda.formats.conda.installed_files` gives them."""
    licenses: list[str]
    """Files in ``info/licenses``."""
    objects: list[ObjectFacts]

    @property
    def stem(self) -> str:
        """File name without its extension."""
        return f"{self.name}-{self.version}-{self.build}"


_KNOWN: FactCache[PackageFacts] = FactCache("facts", PackageFacts, __name__)


@dataclass(frozen=True)
class Duplicate:
    """Something found in several packages, or twice in one."""

    by: str
    """``soname``, ``build-id``, ``content`` or ``path``."""
    key: str
    places: tuple[str, ...]
    """``package: path in the prefix``."""

    def __str__(self) -> str:
        return f"{self.by} {self.key}: " + ", ".join(self.places)


def package_facts(package: Path) -> PackageFacts:
    """The facts of one package.

    Raises:
        TtCondaError: the package cannot be read, or there is no space to unpack it.
    """
    try:
        return _facts(package, known_sha256(package))
    except OSError as error:
        raise TtCondaError(f"The package {package} cannot be read: {error}", "Build or fetch it again.") from error


def _facts(package: Path, sha256: str) -> PackageFacts:
    if (facts := _KNOWN.get(sha256)) is None:
        facts = _read(package)
        _KNOWN.put(sha256, facts)
    return facts


def channel_facts(channel: Path) -> list[PackageFacts]:
    """The packages in a channel folder's index, whose sha256 values are trusted; a few are read at a time."""
    packages: dict[Path, str] = {path: record["sha256"] for path, record in sorted(records(channel).items())}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(_facts, packages.keys(), packages.values()))


def duplicate_libraries(packages: Iterable[PackageFacts]) -> list[Duplicate]:
    """Libraries with several copies: by soname (without auditwheel's hash), by build-id, by content.

    Builds of one package for other Pythons, versions or variants count as one.
    """

    def keys(facts: ObjectFacts) -> Iterable[tuple[str, str]]:
        if not facts.is_library:
            return
        if soname := facts.soname or _library_name(facts.path):
            yield "soname", plain_soname(soname)
        if facts.build_id:
            yield "build-id", facts.build_id
        yield "content", facts.sha256

    return _duplicates(
        packages, lambda package: [(key, f"{package.name}: {o.path}") for o in package.objects for key in keys(o)]
    )


def duplicate_paths(packages: Iterable[PackageFacts]) -> list[Duplicate]:
    """Files that several packages install at the same path of a prefix, for any Python."""
    site = re.compile(r"^lib/python\d\.\d+/site-packages/")
    return _duplicates(
        packages, lambda package: [(("path", site.sub("site-packages/", path)), package.name) for path in package.paths]
    )


_Key = tuple[str, str]


def _duplicates(
    packages: Iterable[PackageFacts], entries: Callable[[PackageFacts], Iterable[tuple[_Key, str]]]
) -> list[Duplicate]:
    """Keys shared by packages of different names, or found in several places of one package."""
    places: dict[_Key, set[str]] = defaultdict(set)
    names: dict[_Key, set[str]] = defaultdict(set)
    twice: set[_Key] = set()
    for package in packages:
        here: dict[_Key, str] = {}
        for key, place in entries(package):
            places[key].add(place)
            names[key].add(package.name)
            if here.setdefault(key, place) != place:
                twice.add(key)
    return [
        Duplicate(*key, tuple(sorted(places[key]))) for key in sorted(places) if len(names[key]) > 1 or key in twice
    ]


def _library_name(path: str) -> str | None:
    """A library's soname, or its file name if it has none; modules are found by path, not by name."""
    folder, _, name = path.rpartition("/")
    return name if folder == "lib" and ".so" in name else None


def _read(package: Path) -> PackageFacts:
    with tempfile.TemporaryDirectory(prefix="tt-conda-facts-") as unpacked, disk_errors(Path(unpacked)):
        root = Path(unpacked)
        try:
            extract(package, root)
            index = read_json((root / "info/index.json").read_text())
            paths = sorted(conda.installed_files({name: _content(root / name) for name in conda.LISTS}))
        except (OSError, *conda.DAMAGED) as error:
            if disk_error_in(str(error)):
                raise
            raise TtCondaError(f"The package {package} cannot be read: {error}", "Build or fetch it again.") from error
        licenses = root / "info/licenses"
        return PackageFacts(
            name=index["name"],
            version=index["version"],
            build=index["build"],
            noarch=index.get("noarch"),
            depends=index.get("depends", []),
            paths=paths,
            licenses=sorted(str(p.relative_to(licenses)) for p in licenses.rglob("*") if p.is_file()),
            objects=[facts for path in paths if (facts := _object(root, path))],
        )


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.is_file() else None


def _object(root: Path, path: str) -> ObjectFacts | None:
    file = root / path
    if file.is_symlink() or not file.is_file() or not is_shared_object(file):
        return None
    try:
        elf = read(file)
    except ElfError:
        return None
    if not elf.is_dynamic:
        return None
    return ObjectFacts(
        path=path,
        bytes=file.stat().st_size,
        sha256=sha256_of(file),
        machine=elf.machine,
        soname=elf.soname,
        build_id=elf.build_id,
        needed=list(elf.needed),
        rpath=elf.rpath,
        runpath=elf.runpath,
        is_library=elf.interpreter is None or elf.soname is not None,
    )
