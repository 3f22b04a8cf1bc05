"""Wheels: members, metadata, and where each member goes in a conda prefix or package."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import Distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from tt_conda.base.errors import TtCondaError
from tt_conda.formats.archive import DAMAGED_ZIP, open_wheel, safe_members
from tt_conda.formats.platforms import WheelTags, wheel_tags

_LICENSE = re.compile(r"(licenses/.+|(LICEN[CS]E|COPYING|NOTICE|AUTHORS)[^/]*)$", re.IGNORECASE)


def site_packages(python: str) -> str:
    """The folder of Python modules below a prefix, or in a ``noarch: python`` package (CEP 20).

    Args:
        python: version ``X.Y``; empty for such a package.
    """
    return f"lib/python{python}/site-packages" if python else "site-packages"


def destination(member: str, name: str, python: str) -> str:
    """Where a wheel's member goes, as a path below a prefix or package.

    As pip does it in a conda environment, so that a carved package and one whose recipe calls pip have the same files:
    ``purelib`` and ``platlib`` are one folder, and headers go to ``include/pythonX.Y/NAME``, where compilers find them
    with the flags of that Python (``get_scheme`` in pip/_internal/locations/_sysconfig.py). The binary distribution
    format leaves the folders to the installer. A ``noarch: python`` package has no such folder: the installer does not
    place its headers, and they go to ``include/NAME``.

    Args:
        member: name in the archive.
        name: the distribution's.
        python: version ``X.Y``; empty for a ``noarch: python`` package.
    """
    folder, _, inside = member.partition("/")
    kind, _, path = inside.partition("/")
    places = {
        "purelib": f"{site_packages(python)}/",
        "platlib": f"{site_packages(python)}/",
        "scripts": "bin/" if python else "python-scripts/",
        "headers": f"include/python{python}/{name}/" if python else f"include/{name}/",
        "data": "",
    }
    if folder.endswith(".data") and path and kind in places:
        return places[kind] + path
    return f"{site_packages(python)}/{member}"


def is_required(requirement: Requirement, python: str) -> bool:
    """Whether a distribution's requirement applies on linux-64, without any extra.

    Args:
        requirement: of a ``Requires-Dist`` field.
        python: version ``X.Y`` of CPython.
    """
    here = {
        "python_version": python, "python_full_version": f"{python}.99", "implementation_name": "cpython",
        "platform_python_implementation": "CPython", "sys_platform": "linux", "platform_system": "Linux",
        "platform_machine": "x86_64", "os_name": "posix", "extra": "",
    }  # fmt: skip
    return requirement.marker is None or requirement.marker.evaluate(here)


class _Metadata(Distribution):
    """The metadata files of a wheel, for the standard library's parsers."""

    def __init__(self, files: Mapping[str, str]) -> None:
        self._files = files

    def read_text(self, filename: str) -> str | None:
        return self._files.get(filename)

    def locate_file(self, path: object) -> Path:
        raise NotImplementedError


@dataclass
class OpenWheel:
    """An open wheel: its members by name, and the Python that it is to be installed for."""

    path: Path
    name: str
    version: str
    archive: zipfile.ZipFile
    members: dict[str, zipfile.ZipInfo]
    python: str
    """Version ``X.Y``; empty for a ``noarch: python`` package."""
    dist_info: str

    @classmethod
    def open(cls, path: Path, python: str | None) -> OpenWheel:
        """Open a wheel and check every member's name.

        Args:
            path: the wheel.
            python: version ``X.Y`` for a wheel that fits any, empty for a ``noarch: python`` package; other wheels
                have it in their file name.

        Raises:
            TtCondaError: not a wheel, truncated, a member outside its folder, or an unknown Python version.
        """
        try:
            _, version, _, tags = parse_wheel_filename(path.name)
        except InvalidWheelFilename as error:
            raise TtCondaError(
                f"{path}: not a valid wheel file name: {error}", "Expected NAME-VERSION-PYTHON-ABI-PLATFORM.whl."
            ) from error
        archive = open_wheel(path)
        members = {info.filename: info for info in safe_members(archive) if not info.is_dir()}
        for tag in tags:
            if match := re.fullmatch(r"cp(\d)(\d+)", tag.interpreter):
                made_for = f"{match[1]}.{match[2]}"
                if python and python != made_for and tag.abi != "abi3":
                    raise TtCondaError(
                        f"{path}: made for Python {made_for}, not {python}", f"Fetch the wheel for {python}."
                    )
                python = made_for if python is None else python
        if python is None:
            raise TtCondaError(
                f"{path}: fits any Python, so the destination of its files is unknown",
                "Choose the Python version, for example --python 3.12.",
            )
        infos = {name.split("/")[0] for name in members if re.match(r"[^/]+\.dist-info/METADATA$", name)}
        if len(infos) != 1:
            raise TtCondaError(
                f"{path}: {len(infos)} .dist-info folders with METADATA instead of one",
                "Fetch the wheel again.",
            )
        return cls(path, path.name.split("-")[0], str(version), archive, members, python, infos.pop())

    @cached_property
    def tags(self) -> WheelTags:
        """For what the file name says that the wheel is; nothing where it is not a valid one."""
        return wheel_tags(self.path.name) or WheelTags((), frozenset())

    def destination(self, member: str) -> str:
        """The path of a member below the prefix or package; see :func:`destination`."""
        return destination(member, self.name, self.python)

    @property
    def site_packages(self) -> str:
        """The folder of its modules below the prefix or package."""
        return site_packages(self.python)

    def metadata(self) -> Distribution:
        """Its ``METADATA`` and ``entry_points.txt``, parsed by the standard library.

        Raises:
            TtCondaError: one of them is damaged.
        """
        names = [name for name in ("METADATA", "entry_points.txt") if f"{self.dist_info}/{name}" in self.members]
        try:
            return _Metadata({name: self.archive.read(f"{self.dist_info}/{name}").decode() for name in names})
        except (UnicodeDecodeError, *DAMAGED_ZIP) as error:
            raise TtCondaError(f"{self.path}: damaged metadata: {error}", "Fetch the wheel again.") from error

    def commands(self) -> dict[str, tuple[str, str]]:
        """Command → (module, function), of ``console_scripts`` and ``gui_scripts``.

        Raises:
            TtCondaError: ``entry_points.txt`` is damaged.
        """
        try:
            points = self.metadata().entry_points
            return {p.name: (p.module, p.attr) for p in points if p.group in ("console_scripts", "gui_scripts")}
        except (TypeError, ValueError, AttributeError) as error:  # no "=", no module
            raise TtCondaError(
                f"{self.path}: {self.dist_info}/entry_points.txt cannot be read: {error}", "Fetch the wheel again."
            ) from error

    def licenses(self) -> dict[str, str]:
        """Licences and notices in .dist-info (PEP 639 and the older convention): member → path in ``licenses/``."""
        start = f"{self.dist_info}/"
        inside = {name: name.removeprefix(start) for name in self.members if name.startswith(start)}
        return {name: path.removeprefix("licenses/") for name, path in inside.items() if _LICENSE.match(path)}
