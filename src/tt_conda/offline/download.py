"""A file from an address, with its progress."""

from __future__ import annotations

import urllib.error
from collections.abc import Callable
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from urllib.parse import urlsplit

from tt_conda import __version__
from tt_conda.base import process
from tt_conda.base.http import open_url
from tt_conda.inputs.store import is_plain_name

_ANSWER = 30.0
"""Seconds a server may take to connect, to answer, and between two pieces of a file."""
_PIECE = 1 << 20


class NotDownloaded(Exception):
    """An address gives no file; the message says why."""


def download(url: str, folder: Path, progress: Callable[[int, int], None]) -> Path:
    """Download a file into a folder.

    Args:
        url: of http or https; proxies are those of the environment (``https_proxy``).
        folder: where it is put, under the name that the server gives it, or the address's last part.
        progress: told MB done, and in all.

    Raises:
        NotDownloaded: there is no such file, the server cannot be reached, or it stops in the middle.
        OSError: the file cannot be written.
    """
    try:
        response = open_url(url, headers={"User-Agent": f"tt-conda/{__version__}"}, timeout=_ANSWER)
    except urllib.error.HTTPError as error:
        error.close()
        raise NotDownloaded(f"the server answers {error.code} {error.reason}") from None
    except (OSError, HTTPException, ValueError) as error:
        raise NotDownloaded(f"the server cannot be reached: {_reason(error)}") from None
    with response:
        file = folder / _name(response.headers, url)
        total, done = int(response.headers.get("Content-Length") or 0), 0
        with file.open("wb") as writer:
            while piece := _read(response):
                writer.write(piece)
                done += len(piece)
                progress(done // _PIECE, max(total, done) // _PIECE)
        if total and done != total:
            raise NotDownloaded(f"the server sent {done} of {total} bytes")
    return file


def _read(response: object) -> bytes:
    if process.stopped.is_set():
        raise NotDownloaded("stopped")
    try:
        piece: bytes = response.read1(_PIECE)  # type: ignore[attr-defined]
    except (OSError, HTTPException) as error:
        raise NotDownloaded(f"the server broke off: {_reason(error)}") from None
    return piece


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__


def _name(headers: HTTPMessage, url: str) -> str:
    """As the engine names it: by this it knows what to unpack."""
    given = Path(headers.get_filename() or "").name
    last = urlsplit(url).path.rpartition("/")[2]
    return next((name for name in (given, last) if is_plain_name(name)), "download")
