"""HTTP with safe defaults: where keys may go, which redirects are followed, how long an answer may take.

Keys go over https, or to this machine, and to the one origin that they were given for. Uploads follow no redirect;
downloads follow one, from https to https, without keys.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from http.client import HTTPMessage, HTTPResponse
from typing import IO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from tt_conda.base.errors import TtCondaError
from tt_conda.base.secrets import hide

PATIENCE = 30.0
"""Seconds for a connection, and for each part of an answer."""


def is_private(url: str) -> bool:
    """Whether nobody on the way can read what is sent to ``url``: https, or this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname or ""))


def require_private(url: str, what: str) -> None:
    """Raise TtCondaError if ``what``, a secret, could be read on the way to ``url``."""
    if not is_private(url):
        raise TtCondaError(
            f"{hide(url)}: {what} would be sent unencrypted", "Use the server's https address, or one on this machine."
        )


def open_url(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    keys: Mapping[str, str] | None = None,
    body: IO[bytes] | Iterable[bytes] | None = None,
    timeout: float = PATIENCE,
) -> HTTPResponse:
    """Send a request.

    Args:
        url: of http or https.
        method: GET and HEAD follow a redirect, as far as it is safe.
        headers: sent to whatever serves the file.
        keys: headers with secrets, for the origin of ``url`` alone.
        body: what is uploaded.
        timeout: seconds for a connection, and for each part of the answer.

    Raises:
        TtCondaError: a key would be sent unencrypted.
        HTTPError: the server refuses, or redirects where this does not follow.
        OSError, HTTPException, ValueError: it cannot be reached, answers nonsense, or the address is none.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"{hide(url)} is no address of http or https")
    if keys:
        require_private(url, "a key")
    request = Request(url, body, dict(headers or {}), method=method)
    for name, value in (keys or {}).items():
        request.add_unredirected_header(name, value)
    answer: HTTPResponse = _OPENER.open(request, timeout=timeout)
    return answer


def may_follow(old: str, new: str) -> bool:
    """Whether a download may be redirected: from https to https, or within this machine."""
    return urlsplit(old).scheme == urlsplit(new).scheme and is_private(old) and is_private(new)


class _Redirects(HTTPRedirectHandler):
    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        why = ""
        if req.get_method() not in ("GET", "HEAD"):
            why = "uploads are not redirected"
        elif hasattr(req, "redirect_dict"):  # HTTPRedirectHandler's mark of a request that was redirected
            why = "more than one redirect"
        elif not may_follow(req.full_url, newurl):
            why = "not from https to https"
        if why:
            raise HTTPError(
                req.full_url, code, f"redirects to {hide(newurl)}, which is not followed: {why}", headers, fp
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = build_opener(_Redirects)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")  # RFC 6761, section 6.3
