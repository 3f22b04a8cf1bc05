"""Serve channel folders over HTTP, as conda, mamba and pixi read them.

Werkzeug answers (ranges and conditions of RFC 9110, and no path that leaves the folder), waitress speaks HTTP.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from waitress import wasyncore  # type: ignore[import-untyped]
from waitress.server import create_server  # type: ignore[import-untyped]
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound
from werkzeug.security import safe_join
from werkzeug.utils import redirect
from werkzeug.wrappers import Request, Response
from werkzeug.wsgi import wrap_file

from tt_conda.base import settings
from tt_conda.base.errors import TtCondaError
from tt_conda.base.location import channel_url, local_path
from tt_conda.base.process import call

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

PORT = 8000
"""TCP port that is listened on if none is named."""
URL_VARIABLE = "TT_CONDA_SERVED"
"""Environment variable in which the command that runs beside the server finds its URL, without a final slash."""
_TYPES = {".html": "text/html; charset=utf-8", ".json": "application/json", ".zst": "application/zstd"}
"""Content types by file name ending; packages and the rest are bytes. Never a Content-Encoding: clients unpack."""
_THREADS = 8
logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # no warning for each request that waits for a thread


def run_command(url: str, command: Sequence[str]) -> int:
    """Run `command` with ``$TT_CONDA_SERVED`` set to `url`; return its exit code, 128 + N if signal N ended it.

    Raises:
        TtCondaError: there is no such program.
    """
    if not shutil.which(command[0]):
        raise TtCondaError(f"{command[0]}: no such command", "Name a program in PATH or a path to one after --.")
    return call(command, {**settings.environ(), URL_VARIABLE: url})


@contextmanager
def serving(folders: Sequence[Path], host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve channel folders while the body runs; yield the URL (no final slash).

    Args:
        folders: one is served at ``/``, several each at ``/NAME/``, NAME being the folder's own.
        host: address or name to listen on.
        port: TCP port; 0 takes any free one.

    Raises:
        TtCondaError: a folder is no channel, two have the same name, or the address cannot be listened on.
    """
    app = _Channels(_named(folders))
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise TtCondaError(
            f"cannot listen on {host}, port {port}: {error}",
            "Choose another --port (0 takes any free one), or another --host.",
        ) from error
    # No request has a body worth keeping.
    server = create_server(app, sockets=[listening], threads=_THREADS, max_request_body_size=1 << 16)
    thread = threading.Thread(target=server.run, name="serve", daemon=True)
    thread.start()
    shown = socket.gethostname() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    try:
        yield f"http://{shown}:{listening.getsockname()[1]}"
    finally:
        # Who is answered at this moment is given a second, and then cut off without a traceback.
        server.task_dispatcher.shutdown(timeout=1)
        with _quiet():
            server.trigger.pull_trigger(lambda: wasyncore.close_all(server._map, ignore_all=True))  # in its thread
            thread.join(timeout=5)


@contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("waitress")
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = False


def channel_urls(url: str, folders: Sequence[Path]) -> list[str]:
    """The URL of each channel that a server at `url` serves."""
    return [f"{url}/{quote(name)}".rstrip("/") for name in _named(folders)]


def _named(folders: Sequence[Path]) -> dict[str, Path]:
    """Channel folders by the name in their URL; a single one has none."""
    found = [Path(str(local_path(channel_url(folder)))) for folder in folders]
    if len(found) == 1:
        return {"": found[0]}
    named = {folder.name: folder for folder in found}
    if len(named) < len(found):
        raise TtCondaError(
            "two of these folders have the same name: " + ", ".join(map(str, found)), "Serve them on two ports."
        )
    return named


class _Channels:
    """A WSGI application: one folder at ``/``, or several at ``/NAME/``."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = folders

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        try:
            response = self._answer(request)
            # rattler keeps an index for a tenth of its age where nothing says that it must ask again
            response.headers["Cache-Control"] = "no-cache"
        except HTTPException as error:
            return error(environ, start)
        return response(environ, start)

    def _answer(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(valid_methods=["GET", "HEAD"])
        path = request.path.removeprefix("/")
        if "" not in self._folders:
            if not path:
                return _list_channels(self._folders)
            name, slash, path = path.partition("/")
            if name in self._folders and not slash:
                return redirect(f"/{quote(name)}/", 301)
        else:
            name = ""
        folder = self._folders.get(name)
        # Locks, caches, logs and half-written files have names with a dot in front.
        found = safe_join(str(folder), path) if folder and not any(p.startswith(".") for p in path.split("/")) else None
        if found is None:
            raise NotFound
        file = Path(found)
        if path.endswith("/") or not path:
            file /= "index.html"
        elif file.is_dir():
            return redirect(f"{quote(request.path)}/", 301)
        return _send(file, request)


def _send(path: Path, request: Request) -> Response:
    try:
        file = path.open("rb")
    except (OSError, ValueError) as error:
        raise NotFound from error
    try:
        stat = os.fstat(file.fileno())  # of the open file: another one may take its name meanwhile
        response = Response(
            wrap_file(request.environ, file),
            mimetype=None,
            content_type=_TYPES.get(path.suffix, "application/octet-stream"),
            direct_passthrough=True,
        )
        response.content_length = stat.st_size
        response.last_modified = datetime.fromtimestamp(stat.st_mtime, timezone.utc)
        response.set_etag(f"{stat.st_ino:x}-{stat.st_size:x}-{stat.st_mtime_ns:x}")
        return response.make_conditional(request, accept_ranges=True, complete_length=stat.st_size)
    except BaseException:
        file.close()
        raise


def _list_channels(names: Iterable[str]) -> Response:
    links = "".join(f'<li><a href="{escape(quote(name))}/">{escape(name)}</a></li>\n' for name in names)
    page = f"<!DOCTYPE html>\n<title>Channels</title>\n<h1>Channels</h1>\n<ul>\n{links}</ul>\n"
    return Response(page, content_type=_TYPES[".html"])
