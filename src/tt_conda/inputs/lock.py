"""The lock file of inputs: requirements, and the exact files that satisfy them.

It is a TOML file beside the recipe that uses it. ``[[want]]`` tables come first and are edited by hand; ``[[wheel]]``,
``[[deb]]`` and ``[[source]]`` tables are the pins, written by ``tt-conda lock-inputs FILE`` in a fixed order.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Literal

from packaging.utils import canonicalize_name
from packaging.version import Version
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from tt_conda.base.documents import DocumentError, read_toml
from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import write_atomically

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
SUITE = "bookworm"
"""Default Debian suite."""
Filename = Annotated[str, Field(pattern=r"^[^/\\\s]+$")]


class _LockTable(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Want(_LockTable):
    """What a person wants pinned: a wheel for some Pythons, a Debian package, or an archive of a Debian source."""

    wheel: str = ""
    deb: str = ""
    source: str = ""
    part: Literal["", "orig", "debian"] = ""
    """For a source: upstream's archive, or Debian's additions; empty: upstream's."""
    into: str = ""
    """Folder, below its destination, in which ``tt-conda sources`` unpacks it; empty: not unpacked."""
    folder: str = ""
    """Folder in the archive (a pattern) whose contents are unpacked; empty: the only one at the top."""
    version: str = ""
    """Exact version, specifier (``>=2,<3``), or empty for the newest."""
    python: tuple[str, ...] = ()
    """Python versions; empty: one wheel for all."""
    suite: str = ""
    """Debian suite; empty: ``SUITE``."""

    @model_validator(mode="after")
    def _one_kind(self) -> Want:
        if sum(map(bool, (self.wheel, self.deb, self.source))) != 1:
            raise ValueError("a want names one of wheel, deb and source")
        if self.part and not self.source:
            raise ValueError("only a source has parts")
        return self


class Wheel(_LockTable):
    """One wheel file."""

    name: str
    version: str
    python: str = ""
    """Python version (``3.10``); empty for any."""
    filename: Filename
    size: int
    sha256: Sha256


class Deb(_LockTable):
    """One Debian package file."""

    name: str
    version: str
    suite: str = SUITE
    filename: Filename
    size: int
    sha256: Sha256


class Source(_LockTable):
    """One archive of a Debian source package."""

    name: str
    version: str
    suite: str = SUITE
    part: Literal["orig", "debian"] = "orig"
    filename: Filename
    size: int
    sha256: Sha256


class Lock(_LockTable):
    """A whole lock file."""

    format: Literal[1] = 1
    want: tuple[Want, ...] = ()
    wheel: tuple[Wheel, ...] = ()
    deb: tuple[Deb, ...] = ()
    source: tuple[Source, ...] = ()
    _path: Path | None = PrivateAttr(default=None)

    @property
    def path(self) -> str:
        """Its file, for messages."""
        return str(self._path) if self._path else "the lock file"


def refresh_command(path: Path | str) -> str:
    """The command that pins the current files."""
    return f"tt-conda lock-inputs {shlex.quote(str(path))}"


def wrong_hash(label: str, expected: str, got: str, lock: Path | str) -> TtCondaError:
    """The error for a file other than the pinned one."""
    return TtCondaError(
        f"{label}: wrong hash\n  expected sha256 {expected}\n  got      sha256 {got}",
        "The file was not used. Either the server has another file than the pinned one, or the pin is wrong: compare\n"
        f"both with the project's page, then pin the current file: {refresh_command(lock)}",
    )


def _add_want(lock: Lock) -> str:
    return f"Add a [[want]] table for it to {lock.path}, then run: {refresh_command(lock.path)}"


def load(path: Path) -> Lock:
    """Read a lock file."""
    try:
        lock = Lock.model_validate(read_toml(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise TtCondaError(f"{path}: there is no such lock file", "Check the path.") from None
    except (DocumentError, UnicodeDecodeError) as error:
        raise TtCondaError(f"{path}: not valid TOML: {error}", "Correct the file by hand.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise TtCondaError(f"{path}: {where}: {first['msg']}", "Correct the file by hand.") from error
    lock._path = path
    return lock


def _table(kind: str, item: BaseModel) -> str:
    lines = [f"[[{kind}]]"]
    for key, value in item.model_dump().items():
        if value in ("", ()):
            continue
        text = json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
        lines.append(f"{key} = {text}")
    return "\n".join(lines) + "\n"


def dumps(lock: Lock) -> str:
    """The text of a lock file: wants in their given order, pins sorted."""
    head = (
        "# What is wanted stands first and is yours to edit; the pins below it are written by\n"
        "# `tt-conda lock-inputs` on this file.\n"
        f"format = {lock.format}\n"
    )
    blocks = [head, *(_table("want", want) for want in lock.want)]
    wheels = sorted(lock.wheel, key=lambda w: (w.name, Version(w.version), Version(w.python or "0")))
    debs = sorted(lock.deb, key=lambda d: (d.name, d.version))
    blocks += [_table("wheel", wheel) for wheel in wheels]
    blocks += [_table("deb", deb) for deb in debs]
    blocks += [_table("source", source) for source in sorted(lock.source, key=lambda s: (s.name, s.part))]
    return "\n".join(blocks)


def dump(lock: Lock, path: Path) -> None:
    """Write a lock file atomically."""
    write_atomically(path, dumps(lock))


def find_wheels(
    lock: Lock, name: str | None = None, version: str | None = None, python: str | None = None
) -> list[Wheel]:
    """All matching pinned wheels; a wheel for any Python matches every ``python``."""
    return [
        wheel
        for wheel in lock.wheel
        if (name is None or canonicalize_name(wheel.name) == canonicalize_name(name))
        and (version is None or wheel.version == version)
        and (python is None or wheel.python in ("", python))
    ]


def _wanted(kind: str, **criteria: str | None) -> str:
    return f"{kind} " + ", ".join(f"{key} {value}" for key, value in criteria.items() if value is not None)


def find_wheel(lock: Lock, name: str | None = None, version: str | None = None, python: str | None = None) -> Wheel:
    """The only matching pinned wheel."""
    found = find_wheels(lock, name, version, python)
    if len(found) != 1:
        wanted = _wanted("wheel", name=name, version=version, python=python)
        files = ", ".join(wheel.filename for wheel in found)
        problem = f"{len(found)} pins ({files}) for" if found else "no"
        raise TtCondaError(f"{lock.path}: {problem} {wanted}", _add_want(lock))
    return found[0]


def find_deb(lock: Lock, name: str) -> Deb:
    """The only pinned Debian package of that name."""
    found = [deb for deb in lock.deb if deb.name == name]
    if len(found) != 1:
        raise TtCondaError(f"{lock.path}: {len(found)} pins for deb {name}", _add_want(lock))
    return found[0]


def find_source(lock: Lock, name: str, part: str = "orig") -> Source:
    """The only pinned archive of that Debian source."""
    found = [source for source in lock.source if (source.name, source.part) == (name, part)]
    if len(found) != 1:
        raise TtCondaError(f"{lock.path}: {len(found)} pins for source {name} ({part})", _add_want(lock))
    return found[0]
