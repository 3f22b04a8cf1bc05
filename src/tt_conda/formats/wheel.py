"""A wheel's members and where they belong in a conda prefix (PyPA binary distribution format; conda's layout)."""

from __future__ import annotations

import configparser
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tt_conda.base.errors import TtCondaError
from tt_conda.formats.archive import open_wheel, safe_members

_NAME = re.compile(r"^(?P<name>[^-]+)-(?P<version>[^-]+)(-\d[^-]*)?-(?P<python>[^-]+)-(?P<abi>[^-]+)-[^-]+\.whl$")


@dataclass
class OpenWheel:
    """An open wheel: its members by name, and where its Python files go."""

    path: Path
    name: str
    version: str
    archive: zipfile.ZipFile
    members: dict[str, zipfile.ZipInfo]
    site_packages: str
    dist_info: str

    @classmethod
    def open(cls, path: Path, python: str | None) -> OpenWheel:
        """Open a wheel and check every member's name.

        Args:
            path: the wheel.
            python: version ``X.Y`` for a wheel that fits any; other wheels have it in their file name.

        Raises:
            TtCondaError: not a wheel, truncated, a member outside its folder, or an unknown Python version.
        """
        match = _NAME.match(path.name)
        if not match:
            raise TtCondaError(f"{path}: not a valid wheel file name", "Expected NAME-VERSION-PYTHON-ABI-PLATFORM.whl.")
        archive = open_wheel(path)
        members = {info.filename: info for info in safe_members(archive) if not info.is_dir()}
        if tag := re.match(r"cp(\d)(\d+)$", match["python"]):
            made_for = f"{tag[1]}.{tag[2]}"
            if python not in (None, made_for) and match["abi"] != "abi3":
                raise TtCondaError(
                    f"{path}: made for Python {made_for}, not {python}", f"Fetch the wheel for {python}."
                )
            python = python or made_for
        if not python:
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
        return cls(
            path, match["name"], match["version"], archive, members, f"lib/python{python}/site-packages", infos.pop()
        )

    def destination(self, member: str) -> str:
        """Return the path in the prefix of a member (PEP 427, the .data folder)."""
        parts = PurePosixPath(member).parts
        if parts[0].endswith(".data") and len(parts) > 2:
            rest = "/".join(parts[2:])
            places = {"purelib": self.site_packages, "platlib": self.site_packages, "scripts": "bin", "data": "."}
            if parts[1] == "headers":
                return f"include/{self.dist_info.split('-')[0]}/{rest}"
            if parts[1] in places:
                return str(PurePosixPath(places[parts[1]]) / rest)
        return f"{self.site_packages}/{member}"

    def console_scripts(self) -> dict[str, tuple[str, str]]:
        """Return command → (module, function) of ``entry_points.txt``."""
        member = f"{self.dist_info}/entry_points.txt"
        if member not in self.members:
            return {}
        parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
        parser.optionxform = str  # type: ignore[assignment,method-assign]  # names of commands keep their case
        try:
            parser.read_string(self.archive.read(member).decode())
        except (configparser.Error, UnicodeDecodeError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise TtCondaError(f"{self.path}: {member} cannot be read: {error}", "Fetch the wheel again.") from error
        found = {}
        for section in ("console_scripts", "gui_scripts"):
            if parser.has_section(section):
                for name, target in parser.items(section):
                    module, _, function = target.partition("[")[0].strip().partition(":")
                    found[name] = (module.strip(), function.strip())
        return found

    def licenses(self) -> list[str]:
        """Return the licences and notices in .dist-info (PEP 639 and the older convention)."""
        pattern = re.compile(r"(licenses/.+|(LICEN[CS]E|COPYING|NOTICE|AUTHORS)[^/]*)$", re.IGNORECASE)
        start = self.dist_info + "/"
        return [name for name in self.members if name.startswith(start) and pattern.match(name[len(start) :])]
