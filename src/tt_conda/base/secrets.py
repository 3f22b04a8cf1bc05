"""The one place that knows what a secret looks like, and hides it in whatever people, logs and records get to see."""

from __future__ import annotations

import re

from tt_conda.base import settings

HIDDEN = "***"

_IN_URLS = (
    re.compile(r"(?P<before>\b[A-Za-z][\w+.-]*://)[^\s/?#'\"<>@]*(?:@[^\s/?#'\"<>@]*)*@"),  # user:password@host
    re.compile(r"(?P<before>/t/)[^\s/?#'\"]+"),  # conda's tokens: https://host/t/TOKEN/channel
    re.compile(r"(?i)(?P<before>[?&](?:access_token|token|api_key|apikey|key|password|secret|sig|signature"
               r"|x-amz-[\w-]*|x-goog-[\w-]*)=)[^\s&#'\"]+"),
    re.compile(r"(?i)(?P<before>\b(?:bearer|basic|token|x-api-key:)\s+)[\w+/=.~-]{8,}"),  # headers
)  # fmt: skip


def hide(text: str) -> str:
    """``text`` without passwords and tokens in URLs and headers, and without the keys that the environment holds."""
    for value in settings.secrets():
        text = text.replace(value, HIDDEN)
    for pattern in _IN_URLS:
        text = pattern.sub(lambda found: found["before"] + HIDDEN + ("@" if found[0].endswith("@") else ""), text)
    return text


def in_url(url: str) -> bool:
    """Whether a URL holds a password or a token."""
    return any(pattern.search(url) for pattern in _IN_URLS[:3])
