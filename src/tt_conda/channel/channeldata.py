"""``channeldata.json``: what a channel says of its packages by name.

CEP 38, https://github.com/conda/ceps/blob/main/cep-0038.md; where packages of a name differ, the newest decides, and
the first of several that are equally new, as in conda-index.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from typing import Any

from rattler import Version

from tt_conda.base.documents import read_json

NAME = "channeldata.json"
MEMBERS = ("info/about.json", "info/paths.json")
"""Files in a package that `describe` reads."""
_TEXTS = ("dev_url", "doc_url", "home", "license", "summary")
_FLAGS = {
    "activate.d": "etc/conda/activate.d*", "deactivate.d": "etc/conda/deactivate.d*",
    "pre_link": "*/.*-pre-link.*", "post_link": "*/.*-post-link.*", "pre_unlink": "*/.*-pre-unlink.*",
}  # fmt: skip
"""Flag and the paths (CEP 34) that set it."""
_MILLISECONDS = 253_402_300_799
"""A timestamp after the year 9999 in seconds is one in milliseconds."""


def describe(files: Mapping[str, bytes | None]) -> dict[str, Any]:
    """Extract what `channeldata` needs from a package's `MEMBERS`.

    Raises:
        ValueError: one of them holds something else than it should.
    """
    about = read_json(files["info/about.json"] or b"{}")
    paths = read_json(files["info/paths.json"] or b"{}")
    try:
        texts = {key: next(iter(value), None) if isinstance(value, list) else value  # several URLs: CEP 34, not CEP 38
                 for key in _TEXTS if (value := about.get(key))}  # fmt: skip
        names = [path["_path"] for path in paths.get("paths", [])]
        modes = {path.get("file_mode") for path in paths.get("paths", []) if path.get("prefix_placeholder")}
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"info/about.json or info/paths.json: {error!r}") from error
    flags = {flag: bool(fnmatch.filter(names, pattern)) for flag, pattern in _FLAGS.items()}
    return {**texts, **flags, "binary_prefix": "binary" in modes, "text_prefix": "text" in modes}


def channeldata(
    packages: Iterable[tuple[Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]]], subdirs: Iterable[str]
) -> dict[str, Any]:
    """Make the content of ``channeldata.json``.

    Args:
        packages: for each its record in ``repodata.json``, its description (`describe`) and its run exports.
        subdirs: of the channel.
    """
    found: dict[str, dict[str, Any]] = {}
    newest_first = sorted(
        packages, key=lambda package: (Version(package[0]["version"]), _seconds(package[0])), reverse=True
    )
    for record, about, exports in reversed(newest_first):
        data = found.setdefault(record["name"], {"run_exports": {}, "subdirs": [], "timestamp": 0})
        data |= {key: value for key in _TEXTS if (value := record.get(key) or about.get(key))}
        data |= {flag: bool(data.get(flag) or about.get(flag)) for flag in (*_FLAGS, "binary_prefix", "text_prefix")}
        data["version"] = record["version"]
        data["subdirs"] = sorted({*data["subdirs"], record["subdir"]})
        data["timestamp"] = max(data["timestamp"], _seconds(record))
        if exports:
            data["run_exports"][record["version"]] = exports
    return {"channeldata_version": 1, "packages": found, "subdirs": sorted(subdirs)}


def _seconds(record: Mapping[str, Any]) -> int:
    timestamp = int(record.get("timestamp", 0))
    return timestamp // 1000 if timestamp > _MILLISECONDS else timestamp
