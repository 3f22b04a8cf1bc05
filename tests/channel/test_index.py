"""A channel folder is valid at every moment."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from channel_forms import check_forms
from stopping import stopped
from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import digests
from tt_conda.channel import index

Make = Callable[..., Path]


def records(channel: Path, subdir: str = "linux-64") -> dict[str, dict[str, object]]:
    repodata = json.loads((channel / subdir / "repodata.json").read_text())
    return {**repodata["packages"], **repodata["packages.conda"]}


def test_an_index_of_others(tmp_path: Path, make: Make) -> None:
    """Not everyone writes the table for packages of the older format."""
    index.publish([make("a")], tmp_path)
    for table in tmp_path.glob("*/repodata.json"):
        tables = json.loads(table.read_text())
        del tables["packages"]
        table.write_text(json.dumps(tables))
    package = tmp_path / "linux-64/a-1.0-0.conda"
    assert list(index.records(tmp_path)) == [listed.path for listed in index.listed(tmp_path)] == [package]
    index.validate(tmp_path)
    (tmp_path / "linux-64/repodata.json").write_text("[]")
    with pytest.raises(TtCondaError, match="it holds no tables of packages"):
        index.validate(tmp_path)


def flip(path: Path, at: int = -40) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_publish_moves_and_describes(tmp_path: Path, make: Make, make_placed: Make) -> None:
    made = [make("a"), make("n", noarch="generic"), make_placed("placed", run_exports=["placed >=1"])]
    there = index.publish(made, tmp_path / "channel")
    assert not any(path.exists() for path in made)
    assert [path.parent.name for path in there] == ["linux-64", "noarch", "linux-64"]
    found = records(tmp_path / "channel")
    assert set(found) == {"a-1.0-0.conda", "placed-1.0-0.tar.bz2"}
    assert found["a-1.0-0.conda"]["sha256"] == digests(there[0])[0]
    assert found["a-1.0-0.conda"]["size"] == there[0].stat().st_size
    exports = json.loads((tmp_path / "channel/linux-64/run_exports.json").read_text())
    assert exports["packages"]["placed-1.0-0.tar.bz2"] == {"run_exports": {"weak": ["placed >=1"]}}
    assert exports["packages.conda"]["a-1.0-0.conda"] == {"run_exports": {}}
    index.validate(tmp_path / "channel")


def test_publish_is_deterministic_and_leaves_unchanged_files_alone(tmp_path: Path, make: Make) -> None:
    channel = tmp_path / "channel"
    index.publish([make("b"), make("a")], channel, keep=True)
    repodata = channel / "linux-64/repodata.json"
    before, text = repodata.stat().st_mtime_ns, repodata.read_text()
    index.publish([tmp_path / "made/a-1.0-0.conda"], channel, keep=True)
    assert repodata.stat().st_mtime_ns == before
    index.publish([tmp_path / "made/a-1.0-0.conda", tmp_path / "made/b-1.0-0.conda"], tmp_path / "other", keep=True)
    assert (tmp_path / "other/linux-64/repodata.json").read_text() == text


def test_replacing_a_package(tmp_path: Path, make: Make) -> None:
    channel = tmp_path / "channel"
    index.publish([make("a")], channel)
    first = records(channel)["a-1.0-0.conda"]["sha256"]
    index.publish([make("a", files={"share/a": "other"})], channel)
    assert records(channel)["a-1.0-0.conda"]["sha256"] != first
    index.validate(channel)
    index.remove([channel / "linux-64/a-1.0-0.conda"], channel)
    assert records(channel) == {}
    assert not list(channel.glob("*/*.conda"))


def test_validate_names_each_wrong_package(tmp_path: Path, make: Make) -> None:
    channel = tmp_path / "channel"
    gone, short, other, _ = index.publish([make(name) for name in ("gone", "short", "other", "good")], channel)
    gone.unlink()
    short.write_bytes(short.read_bytes()[:-7])
    flip(other)
    with pytest.raises(TtCondaError) as error:
        index.validate(channel)
    assert "gone-1.0-0.conda: missing" in error.value.what
    assert "short-1.0-0.conda" in error.value.what and "bytes instead of" in error.value.what
    assert "other-1.0-0.conda: sha256" in error.value.what
    assert "good" not in error.value.what


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_damaged_package_is_refused_by_name(tmp_path: Path, make: Make, damage: str) -> None:
    channel = tmp_path / "channel"
    index.publish([make("good")], channel)
    bad = make("bad", files={"share/bad": "".join(map(chr, range(33, 120))) * 40})
    if damage == "flipped":
        flip(bad, bad.stat().st_size // 2)
    else:
        bad.write_bytes(bad.read_bytes()[: {"truncated": -100, "empty": 0}[damage]])
    with pytest.raises(TtCondaError, match=r"bad-1\.0-0\.conda"):
        index.publish([bad], channel)
    assert set(records(channel)) == {"good-1.0-0.conda"}
    index.validate(channel)


def test_a_package_in_the_wrong_place_is_refused(tmp_path: Path, make: Make) -> None:
    (tmp_path / "channel/noarch").mkdir(parents=True)
    shutil.copy(make("a"), tmp_path / "channel/noarch")
    with pytest.raises(TtCondaError, match=r"linux-64/a-1\.0-0"):
        index.publish([], tmp_path / "channel")


def test_leftovers_are_swept_and_never_indexed(tmp_path: Path, make: Make) -> None:
    channel = tmp_path / "channel"
    index.publish([make("a")], channel)
    (channel / "linux-64/.b-1.0-0.conda.partial").write_bytes(b"half")
    (channel / "linux-64/shards/.x.msgpack.zst.1.partial").write_bytes(b"half")
    (channel / ".channeldata.json.1.partial").write_bytes(b"half")
    index.publish([], channel)
    assert set(records(channel)) == {"a-1.0-0.conda"}
    assert not list(channel.rglob(".*.partial"))


def test_a_changed_file_is_seen(tmp_path: Path, make: Make) -> None:
    [path] = index.publish([make("a")], tmp_path / "channel")
    path.write_bytes(make("a", files={"share/a": "x"}).read_bytes())
    index.publish([], tmp_path / "channel")
    assert records(tmp_path / "channel")["a-1.0-0.conda"]["sha256"] == digests(path)[0]


def test_a_warm_index_reads_no_package_again(tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    channel = tmp_path / "channel"
    index.publish([make(f"p{number}", compression_level=1) for number in range(20)], channel)
    before = records(channel)
    time.sleep(0.03)  # younger files may change again under the same time, and are read again
    index.publish([], channel)

    def read(path: Path, subdir: str | None = None) -> None:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(index, "_entry", read)
    index.publish([], channel)
    assert records(channel) == before and len(before) == 20


PUBLISH = """
import sys
from pathlib import Path
from tt_conda.channel import index
made, channel = map(Path, sys.argv[1:])
index.publish(sorted(made.glob("*.conda")), channel, keep=True)
"""

MOMENTS = {
    r"write .*/\.tt-conda\.lock$": 1,
    r"remove .*/linux-64/repodata_shards\.msgpack\.zst$": 1,
    r"remove .*/linux-64/repodata\.json\.zst$": 1,
    r"rename .*/linux-64/run_exports\.json$": 2,
    r"rename .*/linux-64/repodata\.json$": 2,
    r"rename .*/linux-64/shards/[0-9a-f]{64}\.msgpack\.zst$": 2,
    r"rename .*/linux-64/repodata_shards\.msgpack\.zst$": 2,
    r"rename .*/linux-64/repodata\.json\.zst$": 2,
    r"rename .*/linux-64/index\.html$": 1,
    r"rename .*/linux-64/\.tt-conda-index\.json$": 2,
    r"link .*/\.a-1\.0-0\.conda\.partial$": 1,
    r"rename .*/linux-64/a-1\.0-0\.conda$": 1,
    r"link .*/\.b-1\.0-0\.conda\.partial$": 1,
    r"rename .*/linux-64/b-1\.0-0\.conda$": 1,
}
"""What the replacing of two packages does, and how often: first without them in the index, then with them."""


def test_killed_at_each_step_it_is_a_valid_channel(tmp_path: Path, make: Make) -> None:
    channel, made = tmp_path / "channel", tmp_path / "rounds"
    for number in range(2):  # the same names with other content: every publish replaces
        (made / str(number)).mkdir(parents=True)
        for name in "ab":
            shutil.move(make(name, files={f"share/{name}": f"{number}" * 20000}), made / str(number))
    index.publish(sorted((made / "0").glob("*.conda")), channel, keep=True)
    for event, times in MOMENTS.items():
        for at in range(1, times + 1):
            index.publish(sorted((made / "0").glob("*.conda")), channel, keep=True)
            stopped([sys.executable, "-c", PUBLISH, made / "1", channel], event, signal.SIGKILL, at=at)
            index.validate(channel)
            check_forms(channel, all_there=False)
    index.publish(sorted((made / "0").glob("*.conda")), channel, keep=True)
    index.validate(channel)
    assert len(records(channel)) == 2
    check_forms(channel)
    assert not list(channel.rglob(".*.partial"))
