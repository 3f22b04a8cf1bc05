"""Additional places for pinned files: folders or URLs with the store's layout, listed in ``$TT_CONDA_STORES``.

They are searched before the package index and Debian's archive. A pin has the file's name and sha256, so mirrors need
no trust: a file with another hash is reported and not used. An unreachable mirror is tried only once.
"""

from __future__ import annotations

import time
import urllib.error
from collections.abc import Collection, Iterable, Iterator
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import quote

from tt_conda.base import process, settings
from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import disk_errors, sha256_of
from tt_conda.base.http import open_url
from tt_conda.base.progress import Stage, console
from tt_conda.inputs.store import Store

LISTING = "store.json"
"""List of a store's files at its root, for access by URL, as servers do not list folders."""

_ANSWER = 10.0
"""Seconds allowed to connect, to answer, and between two chunks of a file."""
_SLOWEST = 50_000
"""Bytes per second; a slower server counts as hanging."""
_PIECE = 1 << 20


class FileToFetch(Protocol):
    """A pinned file: a wheel, a Debian package, a source archive, or an entry of a store's listing."""

    @property
    def filename(self) -> str:
        """Plain name."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def sha256(self) -> str:
        """In hexadecimal."""


F = TypeVar("F", bound=FileToFetch)


class NotReached(Exception):
    """A mirror does not work at all; the message has the reason."""


class Mirror:
    """One additional place, a folder or a URL."""

    def __init__(self, location: str) -> None:
        self.location = location.removeprefix("file://").rstrip("/") or "/"
        self.is_url = "://" in self.location
        self.down = ""
        """The reason it is no longer used."""
        self.said: dict[str, str] = {}
        """Sha256 → the reason it did not provide that file."""
        if self.is_url and not self.location.startswith(("http://", "https://")):
            raise TtCondaError(
                f"{location} is neither a folder nor an http(s) URL", "Correct it, for example in TT_CONDA_STORES."
            )

    def fetch(self, file: FileToFetch, store: Store) -> Path | None:
        """Copy a file into the store, verified; None if the mirror does not have it, with the reason in ``said``.

        Raises:
            TtCondaError: the store's disk is full, or the pin's file name is not a plain name.
        """
        place = store.path(file.sha256, file.filename).relative_to(store.folder)
        if self.down:
            self.said[file.sha256] = self.down
            return None
        try:
            pieces = self._read(str(place), file.size)
            first = next(pieces, b"")  # opened before a folder is created for it
            with store.scratch() as scratch:
                part = scratch / file.filename
                with disk_errors(store.folder), part.open("wb") as writer:
                    writer.write(first)
                    for piece in pieces:
                        writer.write(piece)
                if (got := sha256_of(part)) == file.sha256:
                    return store.put(part, file.sha256)
        except FileNotFoundError:
            self.said[file.sha256] = "does not have it"
            return None
        except NotReached as error:
            if not self.down:
                self.down = str(error)
                console.print(f"{self.location}: {error}; not asked again", markup=False)
            self.said[file.sha256] = self.down
            return None
        self.said[file.sha256] = f"has a different file under its name (sha256 {got}), which was not used"
        console.print(f"{self.location}: {place}: {self.said[file.sha256]}", markup=False)
        return None

    def read_listing(self) -> bytes:
        """The listing of a store at a URL.

        Raises:
            TtCondaError: it cannot be fetched.
        """
        try:
            return b"".join(self._read(LISTING, 64 << 20))
        except FileNotFoundError:
            why = f"there is no {LISTING}"
        except NotReached as error:
            why = str(error)
        raise TtCondaError(
            f"{self.location}: {why}",
            "Serve a folder made by `tt-conda store export`, or name the files to fetch with --lock.",
        )

    def _read(self, place: str, most: int) -> Iterator[bytes]:
        """The chunks of a file, up to one byte more than ``most``.

        Raises:
            FileNotFoundError: the mirror works and does not have the file.
            NotReached: the mirror does not work, or is too slow.
        """
        return _download(f"{self.location}/{quote(place)}", most) if self.is_url else self._copy(place, most)

    def _copy(self, place: str, most: int) -> Iterator[bytes]:
        root = Path(self.location).expanduser()
        if not root.is_dir():
            raise NotReached("there is no such folder")
        path = root / place
        try:
            if not path.is_file():
                raise FileNotFoundError(path)
            reader = path.open("rb")
        except FileNotFoundError:
            raise
        except OSError as error:
            raise NotReached(f"cannot be read ({error.strerror})") from error
        with reader:
            while most >= 0:
                try:
                    piece = reader.read(min(_PIECE, most + 1))
                except OSError as error:
                    raise NotReached(f"cannot be read ({error.strerror})") from error
                if not piece:
                    return
                most -= len(piece)
                yield piece


def _download(url: str, most: int) -> Iterator[bytes]:
    start = time.monotonic()
    done = 0
    try:
        with open_url(url, timeout=_ANSWER) as response:
            while done <= most and (piece := response.read1(min(_PIECE, most + 1 - done))):
                done += len(piece)
                yield piece
                if process.stopped.is_set():
                    raise NotReached("stopped")
                if (took := time.monotonic() - start) > _ANSWER and done / took < _SLOWEST:
                    raise NotReached(f"too slow ({done / took / 1000:.1f} kB/s)")
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (403, 404, 410):  # 403: S3's answer for a missing file
            raise FileNotFoundError(url) from error
        raise NotReached(f"answers with HTTP {error.code}") from error
    except TimeoutError as error:
        raise NotReached(f"does not answer within {_ANSWER:.0f} s") from error
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, TimeoutError):
            raise NotReached(f"does not answer within {_ANSWER:.0f} s") from error
        raise NotReached(f"cannot be reached ({getattr(reason, 'strerror', None) or reason})") from error


@lru_cache
def _mirrors(locations: tuple[str, ...]) -> list[Mirror]:
    return [Mirror(location) for location in locations]


def configured() -> list[Mirror]:
    """The mirrors in ``$TT_CONDA_STORES``, the same objects for the whole process."""
    return _mirrors(tuple(settings.stores()))


def collect(files: Collection[F], store: Store, progress: Stage | None = None) -> tuple[dict[str, Path], list[F]]:
    """Take files from the store, else from the first mirror that has them.

    Returns:
        The files found, by sha256, and the files not found.

    Raises:
        TtCondaError: the store's disk is full, or a file's name is not a plain name.
    """
    unique = {file.sha256: file for file in files}
    here = {sha256: store.get(sha256, file.filename, file.size) for sha256, file in unique.items()}
    found = {sha256: path for sha256, path in here.items() if path}
    absent = [file for file in unique.values() if file.sha256 not in found]
    if mirrors := configured() if absent else []:
        with process.Pool(4) as pool:
            jobs = {file.sha256: pool.submit(_from_first, mirrors, file, store) for file in absent}
            found |= {sha256: path for sha256, job in jobs.items() if (path := job.result())}
    if progress:
        progress.advance(len(found))
    return found, [file for file in absent if file.sha256 not in found]


def _from_first(mirrors: Iterable[Mirror], file: FileToFetch, store: Store) -> Path | None:
    return next((path for mirror in mirrors if (path := mirror.fetch(file, store))), None)


def tried(files: Iterable[FileToFetch]) -> str:
    """Lines for an error: each mirror's reason for the first of these files that it did not provide."""
    lines = ""
    for mirror in configured():
        if said := next((mirror.said[file.sha256] for file in files if file.sha256 in mirror.said), ""):
            lines += f"\n  {mirror.location}: {said}"
    return lines


WAY_OUT = "set TT_CONDA_STORES to a folder or URL that has it (made with `tt-conda store export`)"
"""How to get a file that its usual place no longer has; the middle of a sentence."""
