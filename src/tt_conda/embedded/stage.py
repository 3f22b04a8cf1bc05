"""What a package is made of, laid out as the package will hold it: one function per kind of source."""

from __future__ import annotations

import os
import posixpath
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from tt_conda.base.errors import TtCondaError
from tt_conda.embedded import cpython, link, pypi
from tt_conda.embedded.conda import Metadata
from tt_conda.embedded.place import DEBIAN, Places, place
from tt_conda.embedded.table import Table, Unit
from tt_conda.formats.archive import extract
from tt_conda.formats.deb import deb_control, unpack_deb
from tt_conda.formats.dist_info import write_record
from tt_conda.formats.wheel import OpenWheel, site_packages
from tt_conda.inputs import lock as locks


class Folders:
    """Where one package is put together."""

    def __init__(self, work: Path) -> None:
        self.work, self.files, self.licenses = work, work / "files", work / "licenses"
        self.files.mkdir()
        self.licenses.mkdir()


@dataclass
class Staged:
    """What a source says about the package that its files became."""

    version: str
    build: str = "h{}_0"
    """Build string, with ``{}`` for the hash."""
    summary: str = ""
    homepage: str = ""
    depends: list[str] = field(default_factory=list)
    constrains: list[str] = field(default_factory=list)
    entry_points: tuple[str, ...] = ()
    renames: dict[str, str] = field(default_factory=dict)
    """NEEDED names to replace."""
    resolved: dict[str, str] = field(default_factory=dict)
    """What it needs (``dist:NAME``) and the package that has it."""


def stage(
    table: Table,
    unit: Unit,
    python: cpython.Interpreter | None,
    inputs: dict[str, Path],
    folders: Folders,
    key: str,
) -> tuple[Metadata, dict[str, str]]:
    """Lay out the files of a unit.

    Args:
        table: everything that the channel holds.
        unit: the package at hand.
        python: the machine's interpreter of the unit's Python.
        inputs: wheels and Debian packages by sha256.
        folders: where to.
        key: hash of everything that the content depends on.

    Returns:
        the package's metadata, and what it needs with the packages that have it.
    """
    entry = unit.entry
    source = _source(table, unit, python, inputs, folders)
    _add_own_files(table, unit, folders.files)
    depends = [*map(unit.fill, entry.depends), *source.depends]
    resolved = dict(source.resolved)
    if entry.elf != "keep":
        renames = {**entry.needed, **source.renames}
        needs = link.settle(folders.files, renames, table.sonames, unit.label, entry.provides, entry.add_needed)
        depends += sorted(set(needs.values()) - {spec.split()[0] for spec in depends} - {entry.name})
        resolved.update(needs)
    if entry.is_python_package:
        site = folders.files / site_packages(unit.python)
        (info,) = site.glob("*.dist-info")
        write_record(site, site, info.name, filter(Path.is_file, site.rglob("*")), hashed=False)  # libraries changed
    metadata = Metadata(
        name=entry.name,
        version=source.version,
        subdir=unit.subdir,
        license=entry.license,
        build=unit.fill(entry.build) if entry.build else source.build.format(key[:7]),
        noarch="python" if entry.is_noarch_python else "generic" if entry.noarch else None,
        depends=depends,
        constrains=[*map(unit.fill, entry.constrains), *source.constrains],
        summary=entry.summary or source.summary,
        homepage=entry.homepage or source.homepage,
        entry_points=source.entry_points,
        run_exports=unit.run_exports(source.version),
    )
    return metadata, resolved


def _source(
    table: Table, unit: Unit, python: cpython.Interpreter | None, inputs: dict[str, Path], folders: Folders
) -> Staged:
    """Lay out what a unit is made of, without what packages.toml itself holds."""
    entry, version = unit.entry, table.version
    if entry.cpython and python:
        return from_cpython(python, folders, set(table.sonames))
    wheel = inputs[table.wheel(unit).sha256] if entry.wheel else None
    if entry.deb:
        source = from_debs(version(unit), table.debs(unit), entry.files or DEBIAN, inputs, folders)
        if wheel:
            from_wheel_files(version(unit), wheel, entry.files, folders)
        return source
    if wheel and entry.is_python_package:
        return from_wheel(table, unit, wheel, folders)
    return from_wheel_files(version(unit), wheel, entry.files, folders) if wheel else Staged(version(unit))


def from_cpython(python: cpython.Interpreter, folders: Folders, sonames: set[str]) -> Staged:
    """An interpreter of the machine."""
    cpython.stage(python, folders.files, sonames)
    license_file = Path(python.stdlib) / "LICENSE.txt"
    if license_file.is_file():
        shutil.copyfile(license_file, folders.licenses / "LICENSE.txt")
    tag = "cp" + python.short.replace(".", "")
    return Staged(python.version, "h{}_0_cpython", constrains=[f"python_abi {python.short}.* *_{tag}"])


def from_debs(
    version: str, debs: list[locks.Deb], places: dict[str, str], inputs: dict[str, Path], folders: Folders
) -> Staged:
    """Debian packages; the first that has a summary or a homepage gives it."""
    source = Staged(version)
    for deb in debs:
        raw, path = folders.work / f"deb-{deb.name}", inputs[deb.sha256]
        unpack_deb(path, raw)
        control = deb_control(path)
        source.homepage = source.homepage or control.get("Homepage", "")
        source.summary = source.summary or control.get("Description", "")
        all_places = {"usr/share/doc/*/copyright": f"licenses/{deb.name}.copyright", **places}
        place(raw, Places.of(all_places), folders.files, folders.licenses)
        shutil.rmtree(raw)
    _require(places, folders, debs)
    return source


def _require(places: dict[str, str], folders: Folders, debs: list[locks.Deb]) -> None:
    """See that Debian packages had the files that are named one by one, and any at all."""
    named = [
        where + posixpath.basename(name) if where.endswith("/") else where
        for name, where in places.items()
        if where and not where.startswith("licenses/") and not re.search(r"[*\[]", name)
    ]
    missing = [name for name in named if not os.path.lexists(folders.files / name)]
    if missing or not any(path.is_file() for path in folders.files.rglob("*")):
        packages = ", ".join(f"{deb.name} {deb.version}" for deb in debs)
        raise TtCondaError(
            f"{packages}: {'no file for ' + ', '.join(missing) if missing else 'no file that the table places'}",
            "Correct `files` in src/tt_conda/embedded/packages.toml.",
        )


def from_wheel_files(version: str, file: Path, places: dict[str, str], folders: Folders) -> Staged:
    """Some files of a wheel, at places of their own."""
    wheel, raw = OpenWheel.open(file, ""), folders.work / "wheel"
    with wheel.archive:
        extract(wheel.archive, raw)
        metadata = wheel.metadata().metadata
    place(raw, Places.of(places), folders.files, folders.licenses)
    return Staged(version, summary=pypi.field(metadata, "Summary"), homepage=pypi.homepage(metadata))


def from_wheel(table: Table, unit: Unit, file: Path, folders: Folders) -> Staged:
    """A wheel as pip would install it, without the libraries that it bundles and the channel has."""
    wheel = OpenWheel.open(file, unit.python)
    with wheel.archive:
        pypi.install(wheel, folders.files, folders.licenses)
        dist, commands = wheel.metadata(), wheel.commands()
    requires = pypi.conda_depends(dist, table.by_wheel, [unit.python] if unit.python else list(cpython.VERSIONS))
    source = Staged(
        table.version(unit),
        summary=pypi.field(dist.metadata, "Summary"),
        homepage=pypi.homepage(dist.metadata),
        depends=list(requires),
        renames=link.drop_vendored(folders.files, table.vendored),
        resolved={f"dist:{name}": table.by_wheel[name] for name in requires.values()},
    )
    if unit.python:
        major, minor = unit.python.split(".")
        source.build = f"py{major}{minor}h{{}}_0"
        source.depends.append(f"python >={unit.python},<{major}.{int(minor) + 1}.0a0")
        source.depends.append(f"python_abi {unit.python}.* *_cp{major}{minor}")
    else:
        source.build = "pyh{}_0"
        source.entry_points = tuple(f"{name} = {module}:{function}" for name, (module, function) in commands.items())
        python = pypi.field(dist.metadata, "Requires-Python") or ">=3.10"
        source.depends.append(f"python {python}".replace(" ,", ","))
    return source


def _add_own_files(table: Table, unit: Unit, files: Path) -> None:
    """The links and texts that packages.toml itself holds."""
    for name, target in unit.entry.links.items():
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        (files / name).symlink_to(target)
    for name, text in unit.entry.text.items():
        (files / name).parent.mkdir(parents=True, exist_ok=True)
        content = table.texts[text[1:]] if text.startswith("@") else text
        (files / name).write_text(content.lstrip("\n"))
