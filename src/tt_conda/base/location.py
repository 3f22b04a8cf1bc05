"""Where channels and packages are: folders, URLs, names."""

from __future__ import annotations

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
