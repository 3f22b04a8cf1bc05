"""An unpacked wheel → the files and the metadata of a Python package."""

from __future__ import annotations

import configparser
import email
import email.message
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

try:
    from packaging.requirements import Requirement
except ImportError:  # pip, which fetches the wheels, brings a copy
    from pip._vendor.packaging.requirements import Requirement  # type: ignore[assignment]

from tt_conda.base.errors import TtCondaError
from tt_conda.inputs.lock import canonical

_LICENSE = re.compile(r"^(licen[cs]e|copying|notice|authors)", re.IGNORECASE)


@dataclass(frozen=True)
class Distribution:
    """What a wheel says about itself."""

    name: str
    summary: str
    homepage: str
    requires_python: str
    requires: tuple[str, ...]
    entry_points: tuple[str, ...]
    """``command = module:function``."""


def read_distribution(info: Path) -> Distribution:
    """Read a ``.dist-info`` folder."""
    message: email.message.Message = email.message_from_string((info / "METADATA").read_text(encoding="utf-8"))
    by_name: dict[str, str] = {}
    for value in message.get_all("Project-URL") or []:
        key, _, url = str(value).partition(",")
        by_name[key.strip().lower()] = url.strip()
    points: list[str] = []
    if (info / "entry_points.txt").is_file():
        parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
        parser.optionxform = str  # type: ignore[assignment, method-assign]
        parser.read_string((info / "entry_points.txt").read_text(encoding="utf-8"))
        if parser.has_section("console_scripts"):
            points = [f"{key} = {value.split('[')[0].strip()}" for key, value in parser.items("console_scripts")]
    homepage = message.get("Home-page") or ""
    for key in ("homepage", "home", "source", "source code", "repository", "documentation"):
        if not homepage.startswith("http"):
            homepage = by_name.get(key, "")
    return Distribution(
        name=str(message["Name"]),
        summary=" ".join(str(message.get("Summary", "")).split()),
        homepage=homepage,
        requires_python=str(message.get("Requires-Python", "")),
        requires=tuple(message.get_all("Requires-Dist") or ()),
        entry_points=tuple(points),
    )


def conda_depends(dist: Distribution, names: dict[str, str], pythons: Iterable[str]) -> dict[str, str]:
    """Requires-Dist in conda's words, as far as it applies on Linux to one of ``pythons``: spec → distribution."""
    depends: dict[str, str] = {}
    for text in dist.requires:
        requirement = Requirement(text)
        if requirement.marker and not any(
            requirement.marker.evaluate(
                {
                    "python_version": python, "python_full_version": f"{python}.99", "sys_platform": "linux",
                    "platform_system": "Linux", "platform_machine": "x86_64", "os_name": "posix",
                    "implementation_name": "cpython", "platform_python_implementation": "CPython", "extra": "",
                }
            )
            for python in pythons
        ):  # fmt: skip
            continue
        name = names.get(canonical(requirement.name))
        if name is None:
            raise TtCondaError(
                f"{dist.name} requires {requirement.name}, which the embedded channel does not have",
                "Add it to src/tt_conda/embedded/packages.toml and inputs.lock.",
            )
        specifier = ",".join(sorted(str(part) for part in requirement.specifier))
        depends[f"{name} {specifier}".strip()] = canonical(requirement.name)
    return depends


def script(entry_point: str, python: str) -> str:
    """A command that runs with the interpreter beside it, wherever the environment is."""
    target = entry_point.partition("=")[2].strip()
    module, _, function = target.partition(":")
    return (
        "#!/bin/sh\n"
        f'\'\'\'exec\' "$(dirname -- "$(realpath -- "$0")")/python{python}" "$0" "$@"\n'
        "' '''\n"
        "import sys\n"
        f"from {module} import {function.split('.')[0]}\n"
        'sys.argv[0] = sys.argv[0].removesuffix(".exe")\n'
        f"sys.exit({function}())\n"
    )


def relocatable_shebang(text: bytes, python: str) -> bytes:
    """A wheel's ``#!python`` script, made to find its interpreter beside it."""
    if not text.startswith(b"#!python"):
        return text
    _, _, rest = text.partition(b"\n")
    head = f'#!/bin/sh\n\'\'\'exec\' "$(dirname -- "$(realpath -- "$0")")/python{python}" "$0" "$@"\n\' \'\'\'\n'
    return head.encode() + rest


def site_packages(files: Path, python: str) -> Path:
    """Where a package has its modules; ``python`` is empty for noarch."""
    return files / (f"lib/python{python}/site-packages" if python else "site-packages")


def install(raw: Path, files: Path, licenses: Path, python: str) -> Distribution:
    """Lay out an unpacked wheel below ``files`` as a conda package holds it; ``python`` is empty for noarch."""
    infos = list(raw.glob("*.dist-info"))
    if len(infos) != 1:
        raise TtCondaError(f"{raw.name}: a wheel with {len(infos)} .dist-info folders")
    dist = read_distribution(infos[0])
    site = site_packages(files, python)
    scripts = files / ("bin" if python else "python-scripts")
    site.mkdir(parents=True)
    for item in sorted(raw.iterdir()):
        if not item.name.endswith(".data"):
            item.rename(site / item.name)
            continue
        for kind in item.iterdir():
            target = {"data": files, "scripts": scripts, "purelib": site, "platlib": site}.get(kind.name)
            if target is None:
                continue
            shutil.copytree(kind, target, dirs_exist_ok=True)
            if kind.name == "scripts":
                for path in kind.iterdir():
                    command = scripts / path.name
                    command.write_bytes(relocatable_shebang(command.read_bytes(), python))
                    command.chmod(0o755)
    info = site / infos[0].name
    for path in info.rglob("*"):
        if path.is_file() and (_LICENSE.match(path.name) or path.parent.name == "licenses"):
            licenses.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, licenses / path.name)
    if python and dist.entry_points:
        scripts.mkdir(exist_ok=True)
        for point in dist.entry_points:
            command = scripts / point.partition("=")[0].strip()
            command.write_text(script(point, python))
            command.chmod(0o755)
    return dist


def write_record(site: Path) -> None:
    """INSTALLER and RECORD of what now stands in ``site`` (libraries were changed, so without hashes)."""
    for info in site.glob("*.dist-info"):
        (info / "INSTALLER").write_text("conda\n")
        paths = sorted(path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file())
        lines = [f'"{path}",,' if "," in path else f"{path},," for path in paths]
        record = (info / "RECORD").relative_to(site).as_posix() + ",,"
        (info / "RECORD").write_text("\n".join(sorted({*lines, record})) + "\n")
        (info / "direct_url.json").unlink(missing_ok=True)
