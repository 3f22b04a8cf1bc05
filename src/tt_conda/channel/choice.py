"""The channel that everything comes from which the suite does not build itself: conda-forge, or the embedded channel.

``TT_CONDA_CHANNELS`` names it. Where nothing does, it is conda-forge if that answers, and the embedded channel, made
from files of this machine, Debian and PyPI, otherwise. The decision is left in ``TT_CONDA_CHANNELS``, for this process
and its children: a build, its proof and its tests use one channel.
"""

from __future__ import annotations

import queue
import threading
import time
import urllib.request
from collections.abc import Sequence
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from tt_conda import network, settings
from tt_conda.channel.places import channel_url
from tt_conda.progress import console

EMBEDDED = "embedded"
"""The embedded channel's name, in ``TT_CONDA_CHANNELS`` and for ``--channel``."""

CONDA_FORGE = "conda-forge"

PATIENCE = 4.0
"""Seconds that conda-forge has for its answer, over all."""

_INDEXES = {"repodata.json.zst": b"\x28\xb5\x2f\xfd", "repodata.json": b"{"}
"""An index's file and its first bytes (RFC 8878, section 3.1.1; RFC 8259): a network's login page is neither."""


def names() -> list[str]:
    """The channels' names, decided now where nothing says them."""
    if not settings.channels():
        settings.set_channels([_choose()])
    return settings.channels()


def is_embedded(given: Sequence[str] | None = None) -> bool:
    """Whether the embedded channel is among ``given``, or else among those that count here."""
    return EMBEDDED in (given or names())


def others(given: Sequence[str] | None = None) -> list[str | Path]:
    """The channels ``given``, or else those that count here; the embedded one is made, where it is among them.

    Raises:
        TtCondaError: the embedded channel cannot be made.
    """
    return [_embedded() if name == EMBEDDED else name for name in (given or names())]


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
        request = urllib.request.Request(f"{subdir}/{name}", headers={"Range": f"bytes=0-{len(start) - 1}"})
        try:
            with urllib.request.urlopen(request, timeout=patience) as answer:
                if answer.read(len(start)) == start:
                    return ""
            trouble = f"{subdir}/{name} is no index of a channel"
        except HTTPError as error:
            if error.code == HTTPStatus.UNAUTHORIZED:
                return ""  # a mirror, whose key rattler sends
            trouble = f"{subdir}/{name}: {error.code} {error.reason}"
        except (OSError, HTTPException, ValueError) as error:
            trouble = f"{subdir}: {error.reason if isinstance(error, URLError) else error or type(error).__name__}"
    return trouble


def _choose() -> str:
    if trouble := why_not(network.mirrored(channel_url(CONDA_FORGE))):
        chosen, why, other = EMBEDDED, f"conda-forge does not answer: {trouble}", CONDA_FORGE
    else:
        chosen, why, other = CONDA_FORGE, "it answers", EMBEDDED
    console.print(
        f"Channel: {chosen} ({why}). Override with TT_CONDA_CHANNELS={other} or another channel.", markup=False
    )
    return chosen


def _embedded() -> Path:
    from tt_conda.seed.assemble import ensure_channel

    return ensure_channel()
