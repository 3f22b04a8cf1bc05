"""Mirrors and credentials of conda channels, from the configuration of pixi and rattler; and whether a channel answers.

The files are pixi's (https://pixi.sh/latest/reference/pixi_configuration/; pixi v0.77.0, crates/pixi_config/src/lib.rs,
lines 1714 to 1795 and 2521 to 2552) and the ones that all tools built on rattler share. Credentials come from
``$RATTLER_AUTH_FILE``, the configured ``authentication-override-file``, or the store that `pixi auth login` writes.
"""

from __future__ import annotations

import queue
import threading
import time
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from rattler import Gateway, SourceConfig
from rattler.config import Config
from rattler.exceptions import ConfigError
from rattler.networking import (
    AuthenticationMiddleware,
    Client,
    GCSMiddleware,
    MirrorMiddleware,
    OciMiddleware,
    RetryMiddleware,
    S3Middleware,
)

from tt_conda.base import settings
from tt_conda.base.errors import TtCondaError
from tt_conda.base.http import open_url
from tt_conda.base.location import local_path

PATIENCE = 4.0
"""Seconds that conda-forge has for its answer, over all."""

_INDEXES = {"repodata.json.zst": b"\x28\xb5\x2f\xfd", "repodata.json": b"{"}
"""An index's file and its first bytes (RFC 8878, section 3.1.1; RFC 8259): a network's login page is neither."""


def configuration() -> Config:
    """The merged configuration; the defaults where there is none.

    Without ``$PIXI_NO_CONFIG``: the file in ``$PIXI_CONFIG_FILE``, else the machine's and the user's; then, in either
    case, ``.pixi/config.toml`` of the workspace, which wins.

    Raises:
        TtCondaError: a file is missing, is not TOML, or has a wrong value.
    """
    files: list[tuple[Path, bool]] = []
    if named := settings.pixi_config_file():
        files = [(named, False)]
    elif not settings.pixi_no_config():
        files = [(file, shared) for file, shared in Config.config_search_paths("pixi") if file.is_file()]
    if (own := settings.workspace_file().parent / ".pixi" / "config.toml").is_file():
        files.append((own, False))
    try:
        return Config.load_from_locations(list(files))
    except ConfigError as error:
        names = ", ".join(str(file) for file, _ in files)
        raise TtCondaError(
            f"The configuration of pixi and rattler cannot be read ({names}):\n{error}",
            "Correct the file, name another one in PIXI_CONFIG_FILE, or set PIXI_NO_CONFIG=1.",
        ) from error


def client() -> Client:
    """An HTTP client that goes through the configured mirrors and proxies, with the configured credentials.

    Its layers are pixi's (crates/pixi_utils/src/reqwest.rs, lines 203 to 255): credentials come after mirrors, so that
    a mirror gets its own key. ``Client.from_config`` of py-rattler 0.28 sends it the key of the original channel.
    """
    mirrors = {f"{url}/": [f"{place}/" for place in places] for url, places in _mirrors().items()}
    with settings.default_variables(environ()):  # read when the layers are made
        return Client([
            RetryMiddleware(), MirrorMiddleware(mirrors), OciMiddleware(), GCSMiddleware(), S3Middleware(),
            AuthenticationMiddleware(),
        ])  # fmt: skip


def gateway(cache: Path, folders: list[str]) -> Gateway:
    """A reader of channel indexes.

    Args:
        cache: the folder that indexes are kept in.
        folders: URLs of channels on this machine, whose indexes are read anew each time.
    """
    options = configuration().repodata_config
    per_channel = {url: _source(values) for url, values in options.items() if isinstance(values, dict)}
    per_channel |= {url: SourceConfig(cache_action="no-cache") for url in folders}
    return Gateway(
        cache_dir=cache, default_config=_source(options), per_channel_config=per_channel, client=client()
    )  # fmt: skip


def mirrored(url: str) -> str:
    """The address that a channel is read from: its first mirror's, or its own where it has none.

    For rattler-build, whose Python interface takes no mirrors. The longest configured URL counts, as for rattler
    (rattler_networking 0.30.3, src/mirror_middleware.rs, lines 62 to 67 and 145 to 168).
    """
    mirrors = _mirrors()
    fitting = [upstream for upstream in mirrors if f"{url}/".startswith(f"{upstream}/")]
    if not fitting:
        return url
    upstream = max(fitting, key=len)
    return mirrors[upstream][0] + url[len(upstream) :]


def environ() -> dict[str, str]:
    """The configured credentials and proxies as variables, for what is built on rattler and reads no configuration."""
    config = configuration()
    named = {
        "RATTLER_AUTH_FILE": config.authentication_override_file,
        "HTTPS_PROXY": config.proxy_https,
        "HTTP_PROXY": config.proxy_http,
        "NO_PROXY": ",".join(config.proxy_non_proxy_hosts),
    }
    return {name: str(value) for name, value in named.items() if value}


def _mirrors() -> dict[str, list[str]]:
    """URL of a channel → its mirrors; none with a final slash."""
    found = configuration().mirrors
    return {url.rstrip("/"): [place.rstrip("/") for place in places] for url, places in found.items() if places}


def _source(options: dict[str, object]) -> SourceConfig:
    """The table ``repodata-config``, of all channels or of one."""
    return SourceConfig(
        zstd_enabled=not options.get("disable-zstd"),
        bz2_enabled=not options.get("disable-bzip2"),
        sharded_enabled=not options.get("disable-sharded"),
    )


def why_not(url: str, patience: float = PATIENCE) -> str:
    """Why a channel does not answer; empty where it does.

    Args:
        url: of the channel, or of a mirror of it.
        patience: seconds until the answer is that it does not; name servers and servers that hang included.
    """
    if urlsplit(url).scheme not in ("http", "https", "file"):
        return ""  # oci:// and s3:// are rattler's own; somebody has configured such a mirror
    end = time.monotonic() + patience
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()
    subdirs = ("linux-64", "noarch")
    for subdir in subdirs:  # threads that nobody waits for: looking up a name cannot be interrupted
        ask = lambda place=f"{url}/{subdir}": answers.put(_trouble_with(place, patience))  # noqa: E731
        threading.Thread(target=ask, daemon=True).start()
    for _ in subdirs:
        try:
            if trouble := answers.get(timeout=max(0.0, end - time.monotonic())):
                return trouble
        except queue.Empty:
            return f"no answer from {url} in {patience:g} s"
    return ""


def _trouble_with(subdir: str, patience: float) -> str:
    trouble = ""
    for name, start in _INDEXES.items():
        try:
            if folder := local_path(subdir):
                with (folder / name).open("rb") as file:
                    head = file.read(len(start))
            else:
                part = {"Range": f"bytes=0-{len(start) - 1}"}
                with open_url(f"{subdir}/{name}", headers=part, timeout=patience) as answer:
                    head = answer.read(len(start))
            if head == start:
                return ""
            trouble = f"{subdir}/{name} is no index of a channel"
        except HTTPError as error:
            if error.code == HTTPStatus.UNAUTHORIZED:
                return ""  # a mirror, whose key rattler sends
            trouble = f"{subdir}/{name}: {error.code} {error.reason}"
        except (OSError, HTTPException, ValueError) as error:
            trouble = f"{subdir}: {error.reason if isinstance(error, URLError) else error or type(error).__name__}"
    return trouble
