"""Fetch Debian packages and sources from the archive into the store, with the machine's apt and without root."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from tt_conda.base import process, settings
from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import disk_error_in, disk_errors, locked, sha256_of
from tt_conda.base.progress import Stage
from tt_conda.inputs import mirrors
from tt_conda.inputs.lock import Deb, Source, refresh_command, wrong_hash
from tt_conda.inputs.store import Store

Kind = Literal["deb", "deb-src"]
"""Type of a line in apt's sources: binary packages or sources."""

_INDEX: dict[Kind, str] = {"deb": "Packages", "deb-src": "Sources"}
_SIGNED = (
    "Acquire::AllowInsecureRepositories=false",
    "Acquire::AllowWeakRepositories=false",
    "Acquire::AllowDowngradeToInsecureRepositories=false",
    "APT::Get::AllowUnauthenticated=false",
)
"""Apt's defaults (apt-secure(8)), overriding the machine's configuration: the signature alone proves that an unpinned
file is Debian's."""
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def _run(command: Sequence[str], cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return process.run(command, env={**settings.environ(), "LC_ALL": "C.UTF-8"}, cwd=cwd)
    except FileNotFoundError:
        raise TtCondaError(
            f"{command[0]} is not on this machine: the embedded channel takes libraries from Debian's archive",
            "Use Debian (or a container of it), or build with conda-forge: tt-conda build --channel conda-forge.",
        ) from None


def _tail(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith(("E:", "Err:", "W:"))]
    return "".join(f"\n  apt: {line}" for line in lines[-6:])


def _sources(suite: str, kind: Kind, options: Sequence[str] = ()) -> list[str]:
    """Source lines for ``suite``, from this machine's mirrors."""
    form = "$(CREATED_BY)\t$(ORIGIN)\t$(CODENAME)\t$(RELEASE)\t$(COMPONENT)\t$(REPO_URI)"
    done = _run(["apt-get", "indextargets", *options, "--format", form])
    trust = f"[signed-by={_KEYRING}] " if _KEYRING.is_file() else ""
    exact: dict[str, None] = {}
    mirrors: dict[str, None] = {}
    for line in done.stdout.splitlines():
        created, origin, codename, release, component, uri = line.split("\t")
        if created != "Packages" or origin != "Debian" or component != "main":
            continue
        if codename == suite or codename.startswith(f"{suite}-"):
            exact[f"{kind} {trust}{uri} {release} main"] = None
        elif "-" not in codename:
            mirrors[f"{kind} {trust}{uri} {suite} main"] = None
    return list(exact or mirrors)


class Suite:
    """One suite of Debian's archive, with its lists in the cache folder."""

    def __init__(self, suite: str, kind: Kind = "deb") -> None:
        self.suite, self.kind = suite, kind
        self.folder = settings.cache_dir() / "apt" / (suite if kind == "deb" else f"{suite}-sources")
        self.options = [
            "-o", f"Dir::State::Lists={self.folder}/lists",
            "-o", f"Dir::Cache={self.folder}/cache",
            "-o", f"Dir::Etc::SourceList={self.folder}/sources.list",
            "-o", "Dir::Etc::SourceParts=/dev/null",
            "-o", "APT::Get::List-Cleanup=false",
            "-o", "Acquire::Languages=none",
            *(part for option in _SIGNED for part in ("-o", option)),
            "-o", "Acquire::Retries=3",
            "-o", "Debug::NoLocking=true",
            "-q",
        ]  # fmt: skip
        self._updated = False

    def update(self) -> None:
        """Fetch the lists (once per object)."""
        if self._updated:
            return
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            # apt's own lock is off, since it fails instead of waiting; concurrent updates lose the signatures
            with locked(self.folder / "lock"):
                self._update()
        self._updated = True

    def _update(self) -> None:
        with disk_errors(self.folder):
            for part in ("lists/partial", "cache/archives/partial"):
                (self.folder / part).mkdir(parents=True, exist_ok=True)
            sources = _sources(self.suite, self.kind)
            if not sources:  # the machine's own lists were deleted, as in images: read its sources into ours
                own = [
                    "-o",
                    f"Dir::State::Lists={self.folder}/lists",
                    "-o",
                    f"Dir::Cache={self.folder}/cache",
                ]
                _run(["apt-get", "update", "-q", "-o", "Debug::NoLocking=true", *own])
                sources = _sources(self.suite, self.kind, own)
            if not sources:
                raise TtCondaError(
                    f"apt's sources name no mirror of Debian's archive ({self.suite} is needed)",
                    "Add one to /etc/apt/sources.list.d, or build with conda-forge: "
                    "tt-conda build --channel conda-forge.",
                )
            (self.folder / "sources.list").write_text("\n".join(sources) + "\n")
        done = _run(["apt-get", "update", *self.options])
        if done.returncode:
            raise TtCondaError(
                f"apt-get could not fetch the package lists of {self.suite}:{_tail(done)}",
                "Check the network and apt's configuration, then run the command again.",
            )

    def versions(self, names: Collection[str]) -> dict[str, list[str]]:
        """The archive's versions of each package, newest first; empty for a missing package."""
        self.update()
        done = _run(["apt-cache", *self.options[:-1], "madison", *sorted(names)])
        found: dict[str, list[str]] = {name: [] for name in names}
        for line in done.stdout.splitlines():
            fields = [field.strip() for field in line.split("|")]
            if len(fields) == 3 and _INDEX[self.kind] in fields[2] and fields[0] in found:
                found[fields[0]].append(fields[1])
        return found

    def candidates(self, names: Collection[str]) -> dict[str, str]:
        """The archive's version of each package."""
        versions = self.versions(names)
        if missing := sorted(name for name in names if not versions[name]):
            what = "package" if self.kind == "deb" else "source package"
            raise TtCondaError(
                f"{self.suite} has no {what} {', '.join(missing)}", "Correct the name in the lock file's `want` table."
            )
        return {name: found[0] for name, found in versions.items()}

    def pins(self, versions: Mapping[str, str]) -> list[Deb]:
        """Pins for packages (name → version), with the hashes from the archive's signed indexes.

        Raises:
            TtCondaError: apt does not report them.
        """
        packages = [f"{name}={version}" for name, version in versions.items()]
        done = _run(["apt-get", "download", "--print-uris", *self.options, *packages])
        found = re.findall(r"^'[^']+' (([^_\s]+)_\S+\.deb) (\d+) SHA256:([0-9a-f]{64})$", done.stdout, re.M)
        pins = [
            Deb(name=name, version=versions[name], suite=self.suite, filename=file, size=int(size), sha256=sha256)
            for file, name, size, sha256 in found
            if name in versions
        ]
        if {pin.name for pin in pins} != set(versions):
            raise TtCondaError(
                f"apt-get does not report the hashes of {', '.join(packages)}:{_tail(done)}",
                "Check apt's configuration, then run the command again.",
            )
        return pins

    def download(self, packages: Sequence[str], folder: Path, part: str = "") -> subprocess.CompletedProcess[str]:
        """Download ``name=version`` packages into ``folder``; for sources, one part: ``orig`` or ``debian``."""
        self.update()
        if self.kind == "deb":
            return _run(["apt-get", "download", *self.options, *packages], cwd=folder)
        # Part by part: mirrors lack some parts that nobody here needs, and apt would fail for those.
        only = "--tar-only" if part == "orig" else "--diff-only"
        return _run(["apt-get", "source", "--download-only", "--only-source", only, *self.options, *packages], folder)


def _label(entry: Deb | Source) -> str:
    return f"{entry.name} {entry.version} ({entry.suite})"


def downloaded(folder: Path, entry: Deb | Source) -> Path | None:
    """The file of an entry among apt's downloads in a folder, if present."""
    if isinstance(entry, Source):
        patterns = [f"{entry.name}_*.{entry.part}.tar.*"]
    else:
        patterns = [f"{entry.name}_{entry.version}_{architecture}.deb" for architecture in ("amd64", "all")]
    files = {unquote(path.name): path for path in folder.iterdir()}
    found = [name for pattern in patterns for name in files if fnmatchcase(name, pattern)]
    return files[found[0]] if found else None


class GoneError(TtCondaError):
    """Pinned files that the archive no longer has: their packages were superseded or removed."""

    def __init__(
        self, suite: str, entries: Sequence[Deb | Source], versions: Mapping[str, Sequence[str]], lock: Path | str
    ) -> None:
        lines = [f"Debian's archive ({suite}) no longer has these pinned files:"]
        for entry in entries:
            now = f"superseded by {versions[entry.name][0]}" if versions[entry.name] else "the package was removed"
            lines.append(f"  {entry.name} {entry.version}: {now}")
        super().__init__(
            "\n".join(lines) + mirrors.tried(entries),
            f"For the pinned file, {mirrors.WAY_OUT}; or pin the current one: {refresh_command(lock)}",
        )
        self.suite, self.entries, self.versions, self.lock = suite, entries, versions, lock


def successors(gone: GoneError) -> dict[str, Deb]:
    """The suite's current replacements for missing files: sha256 of the pinned file → the newer pin.

    The hashes come from the archive's indexes, whose signature apt has verified.

    Raises:
        GoneError: ``gone``, if it names a source, a removed package, or one with only older versions (for example if
            the machine's apt lacks the security archive).
    """
    newest = {entry.name: next(iter(gone.versions[entry.name]), "") for entry in gone.entries}
    for entry in gone.entries:
        if isinstance(entry, Source) or not newest[entry.name] or not _is_newer(newest[entry.name], entry.version):
            raise gone
    pins = {pin.name: pin for pin in Suite(gone.suite).pins(newest)}
    return {entry.sha256: pins[entry.name] for entry in gone.entries}


def _is_newer(version: str, than: str) -> bool:
    return _run(["dpkg", "--compare-versions", version, "gt", than]).returncode == 0


def _download(
    store: Store, archive: Suite, entries: Sequence[Deb | Source], lock: Path | str, progress: Stage | None
) -> None:
    with store.scratch() as folder:
        folder.chmod(0o755)
        part = getattr(entries[0], "part", "")
        done = archive.download([f"{entry.name}={entry.version}" for entry in entries], folder, part)
        output = done.stderr + done.stdout
        with disk_errors(folder):
            if error := disk_error_in(output, "enough free space"):
                raise error
        files = {entry.sha256: downloaded(folder, entry) for entry in entries}
        if not all(files.values()):
            versions = archive.versions({entry.name for entry in entries})
            if gone := [entry for entry in entries if entry.version not in versions[entry.name]]:
                raise GoneError(archive.suite, gone, versions, lock)
        for entry in entries:
            file = files[entry.sha256]
            if file is None:
                raise TtCondaError(
                    f"apt-get could not fetch {_label(entry)}:{_tail(done)}{mirrors.tried(entries)}",
                    "Check the network and apt's configuration, then run the command again.",
                )
            digest = sha256_of(file)
            if digest != entry.sha256:
                raise wrong_hash(_label(entry), entry.sha256, digest, lock)
            store.put(file, entry.sha256, entry.filename)
            if progress:
                progress.advance()


def fetch_debs(
    entries: Collection[Deb | Source],
    progress: Stage | None = None,
    store: Store | None = None,
    *,
    lock: Path | str = "FILE",
) -> dict[str, Path]:
    """Every package or source by its sha256: from the store, a mirror, or the archive through apt.

    Args:
        entries: the pins.
        progress: advanced by one per file.
        store: default: the one in the cache folder.
        lock: the lock file with the pins, for messages.

    Raises:
        GoneError: the archive no longer has a pinned version.
        TtCondaError: a file cannot be fetched, or is not the pinned one; the disk is full.
    """
    store = store or Store.default()
    found, missing = mirrors.collect(entries, store, progress)
    groups: dict[tuple[str, str], list[Deb | Source]] = {}
    for entry in missing:
        groups.setdefault((entry.suite, getattr(entry, "part", "")), []).append(entry)
    for (suite, part), wanted in groups.items():
        _download(store, Suite(suite, "deb-src" if part else "deb"), wanted, lock, progress)
        found |= {entry.sha256: store.path(entry.sha256, entry.filename) for entry in wanted}
    return found
