"""What pip adds to an environment of conda packages: checkouts that are edited, and what conda channels do not have."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError
from rattler import RepoDataRecord

from tt_conda.base.documents import DocumentError, read_toml
from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import write_atomically
from tt_conda.base.progress import stage
from tt_conda.environment import shell

_QUIET = {"PIP_QUIET": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
_METADATA = ("pyproject.toml", "setup.py", "setup.cfg")


class _Done(BaseModel):
    """What pip installed, and for which packages."""

    packages: str = ""
    requirements: list[str] = []
    projects: dict[str, str] = {}
    """Folder → hash of the files that say how it is built."""

    @classmethod
    def of(cls, prefix: Path) -> tuple[Path, _Done]:
        file = prefix / "conda-meta" / "tt-conda.pip"  # not *.json: each of those is the record of a package
        try:
            return file, cls.model_validate_json(file.read_text())
        except (FileNotFoundError, ValidationError):  # it is only a note: without it, all is installed again
            return file, cls()


def project(folder: Path) -> Path:
    """The folder of a checkout, absolute; TtCondaError where it is no Python project."""
    folder = Path(os.path.normpath(folder.expanduser().absolute()))
    if not (folder / "pyproject.toml").is_file() and not (folder / "setup.py").is_file():
        raise TtCondaError(
            f"{folder} is no Python project: it has neither a pyproject.toml nor a setup.py.",
            "Name the folder of the checkout.",
        )
    return folder


def check_against(projects: Sequence[Path], records: Sequence[RepoDataRecord]) -> None:
    """Raise TtCondaError for a checkout of what the environment has as a package: which is imported would be chance."""
    held = {record.name.normalized: record.file_name for record in records}
    for folder in projects:
        if package := held.get(_distribution(folder)):
            raise TtCondaError(
                f"The environment holds {package}, and {folder} is a checkout of the same.",
                "Take an environment without that package, such as dev.",
            )


def install(
    requirements: Sequence[str],
    projects: Sequence[Path],
    prefix: Path,
    records: Sequence[RepoDataRecord],
    develop: str,
    cwd: Path,
) -> None:
    """Install what pip shall install, where it has not been for these packages and these projects' metadata.

    A checkout that was installed before stays so, also when packages have changed.

    Args:
        requirements: what comes from PyPI.
        projects: folders of checkouts.
        prefix: the environment.
        records: its conda packages.
        develop: the shell's command that installs a checkout, with ``{{ checkout }}`` in the place of its folder.
        cwd: where that command is run.

    Raises:
        TtCondaError: a command failed; it has said why on standard error.
    """
    file, done = _Done.of(prefix)
    packages = _sha256(sorted(str(record.url).encode() + (record.sha256 or b"") for record in records))
    before = [folder for name in done.projects if (folder := Path(name)).is_dir()]
    if done.packages != packages:
        done = _Done(packages=packages)
    if requirements and done.requirements != list(requirements):
        command = shlex.join(["python", "-m", "pip", "install", *requirements])
        _run(prefix, ", ".join(requirements), command, cwd)
        done.requirements = list(requirements)
    for folder in dict.fromkeys([*before, *projects]):
        metadata = _sha256(_files(folder))
        if done.projects.get(str(folder)) != metadata:
            before_it, _, after_it = re.split(r"({{\s*checkout\s*}})", develop, maxsplit=1)
            _run(prefix, str(folder), f"{before_it}{shlex.quote(str(folder))}{after_it}", cwd)
            done.projects[str(folder)] = metadata
        write_atomically(file, done.model_dump_json())
    write_atomically(file, done.model_dump_json())


def _run(prefix: Path, what: str, command: str, cwd: Path) -> None:
    with stage(f"Installing {what}"):
        # what a command in the environment prints shall be all that is on standard output
        code = shell.run(prefix, ["bash", "-c", f"exec >&2\n{command}"], env=_QUIET, cwd=cwd)
        if code - 128 in (signal.SIGINT, signal.SIGTERM):
            raise KeyboardInterrupt
        if code:
            raise TtCondaError(
                f"{what} could not be installed into {prefix}; what was said about it is above.",
                "The environment's packages are there. Correct what is wrong and run the same command again.",
            )


def _distribution(folder: Path) -> str:
    """The normalized name in a project's pyproject.toml; empty where it is not there."""
    file = folder / "pyproject.toml"
    try:
        name = read_toml(file.read_text()).get("project", {}).get("name", "") if file.is_file() else ""
    except (UnicodeDecodeError, DocumentError) as error:
        raise TtCondaError(f"{file} is not TOML: {error}", "Correct it.") from error
    return re.sub(r"[-_.]+", "-", str(name)).lower()


def _files(folder: Path) -> Iterator[bytes]:
    yield from ((folder / name).read_bytes() for name in _METADATA if (folder / name).is_file())


def _sha256(parts: Sequence[bytes] | Iterator[bytes]) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()
