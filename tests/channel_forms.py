"""What the forms of a channel's index have to say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgpack
from zstandard import ZstdDecompressor

from tt_conda.base.files import digests


def unpack(path: Path) -> Any:
    return msgpack.unpackb(ZstdDecompressor().decompress(path.read_bytes(), max_output_size=1 << 26))


def check_forms(channel: Path, *, all_there: bool = True) -> None:
    """Each form says what repodata.json says; after a kill some may be missing, and then they are not read."""
    for plain in channel.glob("*/repodata.json"):
        folder, tables = plain.parent, json.loads(plain.read_text())
        compressed, sharded = folder / "repodata.json.zst", folder / "repodata_shards.msgpack.zst"
        if all_there or compressed.exists():
            assert ZstdDecompressor().decompress(compressed.read_bytes()) == plain.read_bytes()
        if all_there or sharded.exists():
            found: dict[str, dict[str, Any]] = {"packages": {}, "packages.conda": {}}
            shard_index = unpack(sharded)
            for name, sha256 in shard_index["shards"].items():
                path = folder / shard_index["info"]["shards_base_url"] / f"{sha256.hex()}.msgpack.zst"
                assert digests(path)[0] == sha256.hex()
                shard = unpack(path)
                for kind, table in found.items():
                    for file, record in shard[kind].items():
                        assert record["name"] == name
                        table[file] = {**record, "md5": record["md5"].hex(), "sha256": record["sha256"].hex()}
            assert found == {kind: tables[kind] for kind in found}
