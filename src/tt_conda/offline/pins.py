"""What packages are made of that comes from elsewhere: repositories, archives, and the pins of lock files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from tt_conda.building.build import CARVER
from tt_conda.building.variants import Output
from tt_conda.inputs.lock import Deb, Lock, Source, Wheel, load

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Repository:
    """A git repository at a commit, or at a tag."""

    url: str
    commit: str = ""
    tag: str = ""
    expected_commit: str = ""
    """The commit that the recipe says a tag is; empty: it does not say."""
    submodules: bool = False

    @property
    def name(self) -> str:
        """For people: address and pin."""
        return f"{self.url} {self.commit or self.tag}"

    @property
    def place(self) -> Path:
        """Where a folder of sources has it: ``git/HOST/OWNER/NAME/PIN.bundle``."""
        address = urlsplit(self.url)
        host = quote(address.netloc.rpartition("@")[2].lower(), safe="") or "localhost"
        parts = [quote(part, safe="") for part in address.path.split("/") if part not in ("", ".", "..")]
        name = [part.removesuffix(".git") for part in parts[-1:]]
        return Path("git", host, *parts[:-1], *name, f"{self.commit or quote(self.tag, safe='')}.bundle")


@dataclass(frozen=True)
class Archive:
    """A file at one or several addresses, pinned by its hash."""

    urls: tuple[str, ...]
    sha256: str = ""
    md5: str = ""
    """Where there is no sha256, too."""
    file_name: str = ""
    """The name that the recipe gives it; the engine does not unpack it then."""

    @property
    def name(self) -> str:
        """For people: address and pin."""
        return f"{self.urls[0]} {f'sha256 {self.sha256}' if self.sha256 else f'md5 {self.md5}'}"

    @property
    def place(self) -> Path:
        """The folder that holds it, alone, in a folder of sources; by sha256 that is its place in a store."""
        return Path(self.sha256[:2], self.sha256) if self.sha256 else Path("md5", self.md5)


@dataclass(frozen=True)
class Listed:
    """A pin of a lock file."""

    entry: Wheel | Deb | Source
    lock: Path = field(compare=False)

    @property
    def name(self) -> str:
        """For people: file and pin."""
        return f"{self.entry.filename} sha256 {self.entry.sha256}"

    @property
    def place(self) -> Path:
        """The folder that holds it, in a folder of sources and in a store."""
        return Path(self.entry.sha256[:2], self.entry.sha256)


Pin = Repository | Archive | Listed


@dataclass(frozen=True)
class Fault:
    """A source that is not there, or is another one than the recipe pins."""

    name: str
    wanted_by: tuple[str, ...]
    why: str


@dataclass
class Wanted:
    """Every source of some packages, once, with the recipes that name it."""

    pins: dict[Pin, tuple[str, ...]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    """Sources that cannot be in a folder, since nothing says what they are."""

    def fault(self, pin: Pin, why: str) -> Fault:
        """What is wrong with one of the pins."""
        return Fault(pin.name, self.pins[pin], why)


class _NoPin(Exception):
    """A source does not say what it is; the message says what it lacks."""


def wanted(outputs: Iterable[Output]) -> Wanted:
    """The sources of packages; files of the project itself are not among them.

    Raises:
        TtCondaError: a lock file cannot be read.
    """
    found = Wanted()
    for output in outputs:
        recipe = output.recipe.parent.name
        for source in [source.to_dict() for source in output.rendered.recipe.sources]:
            try:
                pins: list[Pin] = [pin] if (pin := _pin(source)) else []
            except _NoPin as problem:
                fault = Fault(str(source.get("git") or source.get("url")), (recipe,), str(problem))
                found.faults += [fault] if fault not in found.faults else []
                continue
            for pin in pins:
                _add(found, pin, recipe)
        for pin in _listed(output):
            _add(found, pin, recipe)
    return found


def _add(found: Wanted, pin: Pin, recipe: str) -> None:
    found.pins[pin] = tuple(dict.fromkeys([*found.pins.get(pin, ()), recipe]))


def _pin(source: dict[str, Any]) -> Pin | None:
    """A rendered source's pin; None for files of this machine."""
    if "git" in source:
        return _repository(source)
    if "url" not in source:
        return None
    urls = [source["url"]] if isinstance(source["url"], str) else list(source["url"])
    if all(url.startswith("file:") for url in urls):
        return None
    if source.get("attestation"):
        raise _NoPin("its attestation can only be verified with a network")
    pin = Archive(tuple(urls), source.get("sha256") or "", source.get("md5") or "", source.get("file_name") or "")
    if not pin.sha256 and not pin.md5:
        raise _NoPin("the recipe has no hash of it: add its sha256")
    return pin


def _repository(source: dict[str, Any]) -> Repository | None:
    url, rev = str(source["git"]), str(source.get("rev", "HEAD"))
    if "://" not in url or url.startswith("file:"):
        return None
    if source.get("lfs"):
        raise _NoPin("its large files (lfs) are not in the repository: set `lfs: false`, or name them as sources")
    submodules = bool(source.get("submodules", True))
    if _COMMIT.fullmatch(rev):
        return Repository(url, commit=rev, submodules=submodules)
    if rev.startswith("refs/tags/"):
        expected = str(source.get("expected_commit") or "")
        return Repository(url, "", rev.removeprefix("refs/tags/"), expected, submodules)
    raise _NoPin(f"{rev} is no fixed state of it: name a commit, by all 40 digits, or a tag")


def _listed(output: Output) -> list[Listed]:
    """The pins that a package's script has tt-conda fetch: of the lock files beside the recipe that it names."""
    if CARVER not in output.requirements:
        return []
    script = _script(output)
    files = [file for file in sorted(output.recipe.parent.glob("*.lock")) if file.name in script]
    return [Listed(entry, file) for file in files for entry in _entries(load(file), output)]


def _entries(lock: Lock, output: Output) -> list[Wheel | Deb | Source]:
    """Of wheels, those of the package's version and Python, where there are any: a lock file holds several versions."""
    python = output.axes.get("python", "")
    wheels = [wheel for wheel in lock.wheel if wheel.version == output.version] or list(lock.wheel)
    if python:
        wheels = [wheel for wheel in wheels if wheel.python in ("", python)]
    elif wheels:  # whichever the script takes: the first that fits
        wheels = [next(w for w in wheels if w.name == name) for name in dict.fromkeys(w.name for w in wheels)]
    return [*wheels, *lock.deb, *lock.source]


def _script(output: Output) -> str:
    """The text of a package's build script, with the shell scripts beside one that is a file: it may call them."""
    script = output.rendered.recipe.to_dict().get("build", {}).get("script") or ""
    text = json.dumps(script)
    if isinstance(script, dict) and script.get("file"):
        file = output.recipe.parent / script["file"]
        text += "".join(part.read_text(errors="replace") for part in sorted(file.parent.glob("*.sh")))
    return text
