"""The index of a subdir in the forms that clients ask for: ``repodata.json``, compressed and sharded.

- ``repodata.json`` and ``repodata.json.zst``: CEP 36, https://github.com/conda/ceps/blob/main/cep-0036.md
- ``repodata_shards.msgpack.zst`` and ``shards/``: CEP 16, https://github.com/conda/ceps/blob/main/cep-0016.md
- ``run_exports.json``: CEP 12, https://github.com/conda/ceps/blob/main/cep-0012.md

rattler's ``index_fs`` writes them too, but in place, with the time of day in the last one, and half a second slower.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped, unused-ignore]
from zstandard import ZstdCompressor, ZstdDecompressor, ZstdError

from tt_conda.base.files import make_shared_folder, write_atomically

PLAIN, COMPRESSED, SHARDED = "repodata.json", "repodata.json.zst", "repodata_shards.msgpack.zst"
_OTHERS = ("repodata.json.bz2", "current_repodata.json", "repodata.jlap")
"""Forms that other indexers write and some clients prefer: they would contradict ours from the next change on."""
_LEVEL = 12
_KEPT = 7 * 86400
"""Seconds that a shard stays after the last index that named it: a client may have that index still (CEP 16)."""

Tables = Mapping[str, Mapping[str, Any]]
"""``packages`` and ``packages.conda``: what is said of each package, by file name."""


def compact_json(content: object) -> str:
    """One line for each package, keys in order."""
    return json.dumps(content, sort_keys=True, separators=(",", ":")).replace('},"', '},\n"') + "\n"


def write_plain(folder: Path, tables: Tables, exports: Tables) -> None:
    """Write ``run_exports.json`` and ``repodata.json`` of the subdir `folder`, for readers on this machine."""
    info = {"info": {"subdir": folder.name}}
    write_atomically(folder / "run_exports.json", compact_json({**info, **exports}), shared=True)
    write_atomically(folder / PLAIN, _plain(folder.name, tables), shared=True)


def write(folder: Path, tables: Tables, exports: Tables) -> None:
    """Write all forms; at every moment those that are there say the same, also after a crash.

    Clients fall back to ``repodata.json`` where the others are missing, so they are missing while it changes.
    """
    text = _plain(folder.name, tables)
    compressed = ZstdCompressor(level=_LEVEL).compress(text.encode())
    shards = _shards(tables)
    sharded = _shard_index(folder.name, shards)
    named = _named_shards(folder / SHARDED)
    for name in _OTHERS:
        (folder / name).unlink(missing_ok=True)
    for name, content in ((SHARDED, sharded), (COMPRESSED, compressed)):
        if _read(folder / name) != content:
            (folder / name).unlink(missing_ok=True)
    write_plain(folder, tables, exports)
    make_shared_folder(folder / "shards")
    for content in shards.values():
        write_atomically(_shard(folder, hashlib.sha256(content).hexdigest()), content, shared=True)
    write_atomically(folder / SHARDED, sharded, shared=True)
    write_atomically(folder / COMPRESSED, compressed, shared=True)
    _sweep(folder, named, {hashlib.sha256(content).hexdigest() for content in shards.values()})


def _plain(subdir: str, tables: Tables) -> str:
    return compact_json({"info": {"subdir": subdir}, **tables, "removed": [], "repodata_version": 1})


def _shards(tables: Tables) -> dict[str, bytes]:
    """Each package name's part of the index, as it is stored."""
    parts: dict[str, dict[str, Any]] = defaultdict(lambda: {**{kind: {} for kind in tables}, "removed": []})
    for kind, table in tables.items():
        for file, record in sorted(table.items()):
            digests = {name: bytes.fromhex(record[name]) for name in ("md5", "sha256") if name in record}
            parts[record["name"]][kind][file] = dict(sorted({**record, **digests}.items()))
    return {name: _pack(part) for name, part in sorted(parts.items())}


def _shard_index(subdir: str, shards: Mapping[str, bytes]) -> bytes:
    info = {"subdir": subdir, "base_url": "", "shards_base_url": "./shards/"}  # relative to the index
    named = {name: hashlib.sha256(content).digest() for name, content in shards.items()}
    return _pack({"version": 1, "info": info, "shards": named})


def _shard(folder: Path, sha256: str) -> Path:
    return folder / "shards" / f"{sha256}.msgpack.zst"


def _pack(content: object) -> bytes:
    return ZstdCompressor(level=_LEVEL).compress(msgpack.packb(content))


def _named_shards(path: Path) -> set[str]:
    """Sha256 of the shards that a shard index names; none where it cannot be read."""
    try:
        index = msgpack.unpackb(ZstdDecompressor().decompress(_read(path), max_output_size=1 << 26))
        return {sha256.hex() for sha256 in index["shards"].values()}
    except (ZstdError, ValueError, KeyError, TypeError, AttributeError):
        return set()


def _sweep(folder: Path, before: set[str], now: set[str]) -> None:
    for path in (folder / "shards").iterdir():
        sha256 = path.name.split(".")[0]
        if sha256 in now:
            continue
        if sha256 in before:
            os.utime(path)  # its time counts from here
        elif time.time() - path.stat().st_mtime > _KEPT:
            path.unlink()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
