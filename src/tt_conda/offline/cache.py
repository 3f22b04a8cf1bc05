"""rattler-build's cache of sources: what is in it, and sources put there so that it need not fetch them.

Its form is that of the crate rattler_build_source_cache (rattler-build 0.73, src/index.rs and src/cache.rs): an entry
``.metadata/KEY.json`` names, relative to the cache, an archive and the folder it was unpacked to, or a checkout. The
key is a hash that Rust's library makes as it likes, so the engine is asked for it: the lock that it takes first is
called after the key.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from tt_conda.base import process, settings
from tt_conda.base.documents import read_json
from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import digests, write_atomically
from tt_conda.inputs.store import Store
from tt_conda.offline.pins import Archive, Repository

_LOCK = re.compile(r"\.locks/(\w+)\.lock")


def folder() -> Path:
    """The cache that all builds share."""
    return settings.cache_dir() / "sources"


def find_archive(pin: Archive) -> Path | None:
    """An archive in the cache, with the pinned hash."""
    for entry in _entries():
        file = folder() / str(entry.get("cache_path"))
        if entry.get("url") in pin.urls and file.is_file() and is_pinned(file, pin):
            return file
    return None


def is_pinned(file: Path, pin: Archive) -> bool:
    """Whether a file has the hash of the recipe, or both of them."""
    sha256, md5 = digests(file)
    return pin.sha256 in ("", sha256) and pin.md5 in ("", md5)


def find_repositories(pin: Repository) -> list[Path]:
    """Repositories in the cache that came from a pin's address, each once."""
    checkouts = [Path(str(entry.get("cache_path"))).parts for entry in _entries() if entry.get("url") == pin.url]
    names = [parts[2] for parts in checkouts if parts[:2] == ("git", "checkouts")]  # git/checkouts/REPOSITORY/COMMIT
    return [folder() / "git" / "db" / name for name in dict.fromkeys(names)]


def _entries() -> Iterator[dict[str, Any]]:
    for file in sorted(folder().glob(".metadata/*.json")):
        if entry := _read(file):
            yield entry


def _read(file: Path) -> dict[str, Any]:
    try:
        entry = read_json(file.read_text())
    except (OSError, ValueError):
        return {}
    return entry if isinstance(entry, dict) else {}


def keys(pins: Sequence[Repository | Archive]) -> list[str]:
    """The engine's key of each pin.

    Raises:
        TtCondaError: it does not tell them.
    """
    if not pins:
        return []
    with Store(folder()).scratch() as scratch:
        cache = scratch / "cache"
        cache.mkdir()
        (cache / ".locks").write_text("")  # a file in the place of the folder of locks: it goes no further
        said = _ask(cache, [_source(pin) for pin in pins], scratch)
    found = [match[1] if (match := _LOCK.search(line)) else "" for line in said]
    if "" in found:
        raise TtCondaError(
            f"rattler-build does not tell its cache's key of {pins[found.index('')].name}: {said[found.index('')]}",
            "Use a version of py-rattler-build that docs/maintaining.md lists, or build without --sources.",
        )
    return found


def is_there(key: str, commit: str = "") -> bool:
    """Whether the engine has a source and would not fetch it."""
    entry = _read(folder() / ".metadata" / f"{key}.json")
    path = entry.get("extracted_path") or entry.get("cache_path")
    return bool(path) and (folder() / str(path)).exists() and entry.get("git_commit") == (commit or None)


def put_archive(pin: Archive, key: str, file: Path) -> None:
    """Have the engine verify and unpack an archive, and put it where it would have downloaded it to.

    Raises:
        TtCondaError: it does not take it: another hash, not an archive that it can unpack, a full disk.
    """
    with Store(folder()).scratch() as scratch:
        cache = scratch / "cache"
        cache.mkdir()
        (said,) = _ask(cache, [{**_source(pin), "url": file.absolute().as_uri()}], scratch)
        written = sorted(cache.glob(".metadata/*.json"))
        if said or len(written) != 1:
            raise TtCondaError(f"{file}: {said.strip() or 'rattler-build did not take it'}", "Fetch it again.")
        entry = _read(written[0])
        entry |= {"url": pin.urls[0], "lock_file": None}
        for field in ("cache_path", "extracted_path"):
            if name := entry.get(field):
                entry[field] = str(name).replace(written[0].stem, key, 1)
                _move(cache / str(name), folder() / entry[field])
        _write(key, entry)


def put_checkout(pin: Repository, key: str, tree: Path, commit: str) -> None:
    """Put a repository's files where the engine takes them from.

    Args:
        pin: what they are.
        key: rattler-build's.
        tree: a checkout on the disk of the cache, which is moved.
        commit: the one that is checked out.
    """
    now = datetime.now(timezone.utc).isoformat()
    _move(tree, folder() / f"{key}_{commit}")
    _write(key, {
        "source_type": "git", "url": pin.url, "checksum": None, "checksum_type": None, "actual_filename": None,
        "git_commit": commit, "git_rev": pin.tag or pin.commit, "cache_path": f"{key}_{commit}", "extracted_path": None,
        "last_accessed": now, "created": now, "lock_file": None, "attestation_verified": False,
    })  # fmt: skip


def _move(source: Path, target: Path) -> None:
    """Move a file or folder into the place of what another process, or one that was killed, left there."""
    if target.is_dir():
        shutil.rmtree(target)
    source.replace(target)


def _write(key: str, entry: dict[str, Any]) -> None:
    (folder() / ".metadata").mkdir(exist_ok=True)
    write_atomically(folder() / ".metadata" / f"{key}.json", json.dumps(entry, indent=2))


def _source(pin: Repository | Archive) -> dict[str, Any]:
    if isinstance(pin, Archive):
        named = {"sha256": pin.sha256, "md5": pin.md5, "file_name": pin.file_name}
        return {"url": pin.urls[0], **{name: value for name, value in named.items() if value}}
    return {"git": pin.url, "tag": pin.tag} if pin.tag else {"git": pin.url, "rev": pin.commit}


def _ask(cache: Path, sources: list[dict[str, Any]], scratch: Path) -> list[str]:
    (scratch / "sources.json").write_text(json.dumps(sources))
    files = (cache.absolute(), scratch.absolute() / "sources.json", scratch.absolute() / "said")
    command = process.python("tt_conda.offline.ask", *map(str, files))
    done = process.run(command, env=settings.worker_environ(), cwd=scratch, merge=True)
    try:
        said: list[str] = read_json((scratch / "said").read_text())
    except (OSError, ValueError):
        raise TtCondaError(
            f"rattler-build ended with {done.returncode} instead of reading sources:\n{done.stdout[-2000:].rstrip()}",
            "Install py-rattler-build anew and run the command again.",
        ) from None
    return said
