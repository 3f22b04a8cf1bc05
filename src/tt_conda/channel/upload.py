"""Upload one package to a conda server, in a process of its own: ``python -m … KIND URL CHANNEL FILE``.

rattler-build's upload holds the interpreter until it is done, so the process that listens to ^C must be another one.
The key is in the environment: what is in arguments, everybody on the machine can read.

Exit codes: 0 done, ``REFUSED``, ``AGAIN`` if another try may help; standard error says why, with HTTP's status. Any
other one is a crash.
"""

from __future__ import annotations

import itertools
import re
import secrets
import sys
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote

from rattler_build import (
    RattlerBuildError,
    upload_package_to_anaconda,
    upload_package_to_artifactory,
    upload_package_to_prefix,
    upload_package_to_quetz,
)

from tt_conda.base import settings
from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import sha256_of
from tt_conda.base.http import open_url
from tt_conda.base.secrets import hide

SECRETS = {
    "prefix": "PREFIX_API_KEY", "quetz": "QUETZ_API_KEY", "artifactory": "ARTIFACTORY_TOKEN",
    "anaconda": "ANACONDA_API_KEY",
}  # fmt: skip
"""Kind of server → the environment variable with its key. Without one, rattler's own store of keys is asked."""

REFUSED = 77
"""Exit code: the server does not take the package (EX_NOPERM of sysexits.h)."""
AGAIN = 75
"""Exit code: the connection was cut, or the server has trouble of its own (5xx) or too much to do (429) (EX_TEMPFAIL).

Neither is a code that Python or a shell ends with by itself."""

_ANSWER = 300.0
"""Seconds that a server has to answer after a package was sent."""

_CUT = "error sending request"
"""How rattler begins to say that the connection was cut."""


class UploadError(Exception):
    """The server did not take a package; says why."""


def reading_url(kind: str, server: str, channel: str) -> str | None:
    """Where a channel is read that is written through ``server``; None: that does not follow.

    Quetz: https://quetz.readthedocs.io; anaconda.org has another host for it; the others read where they write.
    """
    if kind == "quetz":
        return f"{server}/get/{channel}"
    if kind == "anaconda":
        return f"https://conda.anaconda.org/{channel}" if server == "https://api.anaconda.org" else None
    return f"{server}/{channel}"


def headers(kind: str) -> dict[str, str]:
    """What tells the server the key, where there is one; anaconda.org has it in the address, where it could be seen."""
    key = settings.secret(SECRETS[kind])
    if not key or kind == "anaconda":
        return {}
    return {"X-Api-Key": key} if kind == "quetz" else {"Authorization": f"Bearer {key}"}


def upload(kind: str, server: str, channel: str, file: str) -> None:
    """Upload a package; never in the place of another one, as far as the server looks.

    Raises:
        UploadError, RattlerBuildError: it does not take it.
    """
    key = settings.secret(SECRETS[kind])
    if key and kind in ("quetz", "artifactory", "prefix"):
        _send(kind, server, channel, Path(file))
        return
    calls: Mapping[str, Callable[[], None]] = {
        "prefix": lambda: upload_package_to_prefix([file], server, channel, api_key=key),
        "quetz": lambda: upload_package_to_quetz([file], server, channel),
        "artifactory": lambda: upload_package_to_artifactory([file], server, channel),
        "anaconda": lambda: upload_package_to_anaconda([file], channel, api_key=key, url=server),
    }
    calls[kind]()


def _send(kind: str, server: str, channel: str, file: Path) -> None:
    """What rattler sends to these, but following no redirect; rattler does not tell one error from another either."""
    name, size, binary = quote(file.name), file.stat().st_size, "application/octet-stream"
    method, about, around = "POST", {"Content-Type": binary}, (b"", b"")
    if kind == "quetz":
        url = f"{server}/api/channels/{channel}/upload/{name}?force=false&sha256={sha256_of(file)}"
    elif kind == "artifactory":
        method, url = "PUT", f"{server}/{channel}/{file.parent.name}/{name}"
    else:  # multipart/form-data (RFC 7578) with one part
        url, mark = f"{server}/api/v1/upload/{channel}", secrets.token_hex(16)
        part = {
            "Content-Disposition": f'form-data; name="file"; filename="{name}"', "Content-Type": binary,
            "Content-Length": size, "X-File-Name": name, "X-File-SHA256": sha256_of(file),
        }  # fmt: skip
        lines = [f"--{mark}", *(f"{key}: {value}" for key, value in part.items()), "", ""]
        about = {"Content-Type": f"multipart/form-data; boundary={mark}"}
        around = "\r\n".join(lines).encode(), f"\r\n--{mark}--\r\n".encode()
    about["Content-Length"] = str(len(around[0]) + size + len(around[1]))
    with file.open("rb") as content:
        body = itertools.chain([around[0]], iter(lambda: content.read(1 << 20), b""), [around[1]])
        try:
            with open_url(url, method=method, headers=about, keys=headers(kind), body=body, timeout=_ANSWER):
                return
        except HTTPError as error:
            answer = error.read(500).decode(errors="replace").strip()
            raise UploadError(f"HTTP {error.code} {error.reason}: {answer}".rstrip(": ")) from error
        except (OSError, HTTPException) as error:
            raise UploadError(f"{_CUT}: {error or type(error).__name__}") from error


def _may_pass(said: str) -> bool:
    return "after retries" not in said and (_CUT in said or bool(re.search(r"HTTP (5\d\d|429)\b", said)))


if __name__ == "__main__":
    try:
        upload(*sys.argv[1:])
    except (UploadError, RattlerBuildError, TtCondaError) as failure:
        print(hide(str(failure)), file=sys.stderr)
        sys.exit(AGAIN if _may_pass(str(failure)) else REFUSED)
