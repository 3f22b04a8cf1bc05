"""Where channels and packages are: folders, URLs, names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tt_conda.base.errors import TtCondaError


def local_path(location: str) -> Path | None:
    """The file or folder that a ``file://`` URL or plain path names; None for what is elsewhere."""
    parts = urlsplit(location)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return Path(location) if location.startswith((".", "/")) else None


def is_channel(folder: Path) -> bool:
    """Whether a folder is a channel of conda packages: clients take only one with ``noarch/repodata.json``."""
    return (folder / "noarch" / "repodata.json").is_file()


_PLAIN = re.compile(r"[A-Za-z0-9_][\w.+!~-]*", re.ASCII)


def is_below(url: str, channels: Iterable[str]) -> bool:
    """Whether ``url`` is that of a file in a subdir of one of these remote channels (URLs), whatever the URL tries.

    Scheme and host are compared, not only the beginning of the text, and no part after the channel is ``..``, escaped
    (``%2f``) or a query.
    """
    if not url.isprintable():  # urlsplit drops line breaks
        return False
    for channel in channels:
        home, parts = urlsplit(channel), urlsplit(url)
        rest = parts.path.removeprefix(home.path.rstrip("/") + "/")
        plain = len(names := rest.split("/")) == 2 and all(_PLAIN.fullmatch(name) for name in names)
        same = (parts.scheme, parts.netloc) == (home.scheme, home.netloc) and home.scheme in ("http", "https")
        if same and rest != parts.path and plain and not (parts.query or parts.fragment):
            return True
    return False


def file_name(url: str) -> str:
    """The last part of a URL's path, a plain file name; ValueError if it is none."""
    name = urlsplit(url).path.rpartition("/")[2] if url.isprintable() else ""
    if not _PLAIN.fullmatch(name):
        raise ValueError(f"{name!r} is no plain file name")
    return name


def channel_url(channel: str | Path) -> str:
    """The URL (no final slash) of a channel given as a folder, a URL or a name such as ``conda-forge``.

    Raises TtCondaError for a folder that is no channel.
    """
    from rattler import Channel
    from rattler.exceptions import InvalidChannelError, InvalidUrlError

    folder = local_path(str(channel)) or (Path(channel) if Path(channel).is_dir() else None)
    if folder is None and isinstance(channel, str):
        try:
            return Channel(channel).base_url.rstrip("/")
        except (InvalidChannelError, InvalidUrlError) as error:
            raise TtCondaError(f"{channel!r} is no channel: {error}", "Give a folder, a URL or a name.") from error
    folder = (folder or Path(channel)).expanduser().resolve()
    if not is_channel(folder):
        raise TtCondaError(
            f"There is no channel in {folder}.", "Build it (`tt-conda build`) or name another --channel."
        )
    return folder.as_uri()
