"""The forms of a channel's index: what each says, that they agree, who may read them, and that readers do."""

from __future__ import annotations

import asyncio
import html.parser
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from rattler import Gateway, SourceConfig

from channel_forms import check_forms, unpack
from tt_conda.base.errors import TtCondaError
from tt_conda.channel import index, repodata
from tt_conda.channel.publish import publish
from tt_conda.channel.serve import serving

Make = Callable[..., Path]


@pytest.fixture
def several(tmp_path: Path, make: Make, make_placed: Make) -> Path:
    """A channel with two versions of ``lib``, a package of the older format, and one for every platform."""
    folder = tmp_path / "several"
    index.publish([
        make("lib", "1.0"), make("lib", "10.0", depends=["data"]), make_placed("placed", run_exports=["placed >=1"]),
        make("data", noarch="generic"),
    ], folder)  # fmt: skip
    return folder


def test_forms_agree_whatever_comes_and_goes(several: Path, make: Make) -> None:
    check_forms(several)
    info = unpack(several / "linux-64/repodata_shards.msgpack.zst")
    assert (info["version"], info["info"]["subdir"]) == (1, "linux-64")
    index.publish([make("lib", "1.0", files={"share/lib": "other"}), make("more")], several)
    check_forms(several)
    index.remove([several / "linux-64/lib-1.0-0.conda", several / "noarch/data-1.0-0.conda"], several)
    check_forms(several)
    channeldata = json.loads((several / "channeldata.json").read_text())
    assert set(channeldata["packages"]) == {"lib", "more", "placed"}
    assert "data" not in (several / "index.html").read_text()


@pytest.mark.parametrize("form", ["sharded", "zstd", "plain"])
def test_rattler_reads_each_form(several: Path, tmp_path: Path, form: str) -> None:
    """The others are taken away, so that it is this one that was read."""
    copy = tmp_path / "copy"
    shutil.copytree(several, copy)
    files = {"sharded": "repodata_shards.msgpack.zst", "zstd": "repodata.json.zst", "plain": "repodata.json"}
    for other in files.keys() - {form}:
        for subdir in index.SUBDIRS:
            (copy / subdir / files[other]).unlink()
    if form != "plain":
        (copy / "noarch/repodata.json").touch()  # or it is no channel
    config = SourceConfig(zstd_enabled=form == "zstd", bz2_enabled=False, sharded_enabled=form == "sharded")
    gateway = Gateway(cache_dir=tmp_path / "read", default_config=config)

    async def read(url: str) -> dict[str, Any]:
        found = await gateway.query([url], ["linux-64", "noarch"], ["lib", "placed"])
        return {record.file_name: json.loads(record.to_json()) for part in found for record in part}

    with serving([copy]) as url:
        records = asyncio.run(read(url))
    expected = {path.name: record for path, record in index.records(several).items()}
    assert records.keys() == expected.keys() and len(records) == 4
    for name, record in records.items():
        assert record["url"] == f"{url}/{record['subdir']}/{name}"
        assert {key: record[key] for key in expected[name]} == expected[name]


def test_what_others_wrote_does_not_stay_to_contradict(several: Path) -> None:
    for name in ("repodata.json.zst", "repodata_shards.msgpack.zst", "current_repodata.json", "repodata.json.bz2"):
        (several / "linux-64" / name).write_bytes(b"of others")
    index.publish([], several)
    check_forms(several)
    assert not (several / "linux-64/current_repodata.json").exists()
    assert not (several / "linux-64/repodata.json.bz2").exists()


def test_no_form_is_there_that_contradicts_while_the_index_changes(
    several: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked at before and after each file that is written."""
    looked = 0
    writes = repodata.write_atomically

    def look_and_write(*args: Any, **more: Any) -> None:
        nonlocal looked
        check_forms(several, all_there=False)
        writes(*args, **more)
        check_forms(several, all_there=False)
        looked += 1

    monkeypatch.setattr(repodata, "write_atomically", look_and_write)
    index.publish([make("lib", "1.0", files={"share/lib": "other"}), make("more")], several)
    index.remove([several / "linux-64/lib-10.0-0.conda"], several)
    assert looked > 20
    check_forms(several)


def test_an_index_that_does_not_change_is_left_alone(several: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in several.rglob("*") if path.is_file() and path.name[0] != "."}
    index.publish([], several)
    assert {path: path.stat().st_mtime_ns for path in before} == before and len(before) > 15


def test_a_shard_stays_a_week_for_readers_of_the_last_index(several: Path, make: Make) -> None:
    shards = several / "linux-64/shards"
    old = {name: sha256.hex() for name, sha256 in unpack(shards.parent / repodata.SHARDED)["shards"].items()}
    (superseded,) = shards.glob(f"{old['lib']}.*")
    os.utime(superseded, (0, 0))  # made long ago, named until now
    index.publish([make("lib", "11.0")], several)
    assert superseded.exists() and len(list(shards.iterdir())) == 3
    os.utime(superseded, (time.time() - 6 * 86400,) * 2)
    index.publish([], several)
    assert superseded.exists()
    os.utime(superseded, (time.time() - 8 * 86400,) * 2)
    index.publish([], several)
    assert not superseded.exists() and len(list(shards.iterdir())) == 2
    check_forms(several)


# --- who may read ---


@pytest.fixture
def umask_077() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_umask_077_makes_no_channel_unreadable(tmp_path: Path, make: Make, umask_077: None) -> None:
    made, late = make("lib"), make("late")
    made.chmod(0o600)
    output, target = tmp_path / "project/output", tmp_path / "srv/channels/ours"
    index.publish([made], output)
    publish(str(target), output)
    (output / "linux-64/repodata.json").chmod(0o600)  # as an earlier version left them
    (output / "linux-64/lib-1.0-0.conda").chmod(0o600)
    index.publish([late], output)
    for channel in (output, target):
        for path in [channel, *channel.rglob("*"), *channel.relative_to(tmp_path).parents]:
            path = tmp_path / path
            if path != tmp_path and path.name[0] != ".":
                wanted = 0o555 if path.is_dir() else 0o444
                assert path.stat().st_mode & wanted == wanted, path


def test_a_folder_that_is_there_keeps_its_rights(tmp_path: Path, make: Make) -> None:
    """Somebody's decision that only some may read a channel stands."""
    channel = tmp_path / "channel"
    channel.mkdir(mode=0o750)
    index.publish([make("lib")], channel)
    assert channel.stat().st_mode & 0o777 == 0o750


# --- channeldata.json ---


def test_channeldata(tmp_path: Path, make: Make, make_placed: Make) -> None:
    """CEP 38; the newest version decides, whatever its file is called."""

    def at(seconds: int) -> datetime:
        return datetime.fromtimestamp(seconds, timezone.utc)

    index.publish([
        make("lib", "9.0", summary="old", license="MIT", homepage="https://old.example", timestamp=at(1_700_000_000),
             files={"etc/conda/activate.d/lib.sh": "x"}),
        make("lib", "10.0", summary="new", license="Apache-2.0", timestamp=at(1_600_000_000)),
        make("lib", "0.1", noarch="generic", summary="oldest"),
        make_placed("placed", run_exports=["placed >=1"], path="bin/.placed-post-link.sh"),
    ], tmp_path)  # fmt: skip
    data = json.loads((tmp_path / "channeldata.json").read_text())
    assert (data["channeldata_version"], data["subdirs"]) == (1, ["linux-64", "noarch"])
    no = {"pre_link": False, "pre_unlink": False, "deactivate.d": False, "binary_prefix": False}
    assert data["packages"] == {
        "lib": {
            **no, "summary": "new", "license": "Apache-2.0", "home": "https://old.example/", "version": "10.0",
            "activate.d": True, "post_link": False, "text_prefix": False, "subdirs": ["linux-64", "noarch"],
            "timestamp": 1_700_000_000, "run_exports": {},
        },
        "placed": {
            **no, "version": "1.0", "activate.d": False, "post_link": True, "text_prefix": True,
            "subdirs": ["linux-64"], "timestamp": 0, "run_exports": {"1.0": {"weak": ["placed >=1"]}},
        },
    }  # fmt: skip


def test_a_package_that_describes_itself_wrongly_is_refused(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = index.channel_wide.describe

    def of_others(files: dict[str, bytes]) -> dict[str, Any]:
        return good({**files, "info/about.json": b"[]"})

    monkeypatch.setattr(index.channel_wide, "describe", of_others)
    with pytest.raises(TtCondaError, match=r"lib-1\.0-0\.conda cannot be read: info/about\.json"):
        index.publish([make("lib")], tmp_path / "channel")


# --- pages ---


class Links(html.parser.HTMLParser):
    """What a page refers to, and the names that can be referred to in it."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.names: set[str] = set()
        self.tags: set[str] = set()
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for key, value in attrs:
            assert key not in ("src", "srcset", "onclick", "onload"), "a page fetches and runs nothing"
            if key == "href":
                self.links.append(value or "")
            elif key == "id":
                self.names.add(value or "")


def test_pages_lead_to_what_is_there(several: Path) -> None:
    pages = {several / "index.html", several / "linux-64/index.html", several / "noarch/index.html"}
    followed = set()
    for page in pages:
        links = Links(page)
        assert links.links and not links.tags & {"script", "link", "img", "iframe"}
        for link in links.links:
            place, _, name = link.partition("#")
            target = (page.parent / unquote(place)).resolve()
            assert target.is_file(), link
            followed.add(target)
            assert not name or unquote(name) in Links(target).names
    assert followed >= pages | set(several.glob("*/*.conda")) | set(several.glob("*/*.tar.bz2"))


def test_what_packages_say_is_text(tmp_path: Path, make: Make) -> None:
    bad = '<script>alert("&")</script>'
    index.publish(
        [make("lib", summary=bad, license="MIT", homepage='javascript:alert("1")', depends=["<b> >=1"])], tmp_path
    )
    page = (tmp_path / "index.html").read_text()
    assert "&lt;script&gt;alert(&quot;&amp;&quot;)" in page
    for file in (tmp_path / "index.html", tmp_path / "linux-64/index.html"):
        links = Links(file)
        assert not links.tags & {"script", "b"} and not any(link.startswith("javascript") for link in links.links)


def test_a_page_over_http(several: Path) -> None:
    from urllib.request import urlopen

    with serving([several]) as url:
        with urlopen(f"{url}/") as answer:
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
            assert re.search(r"<h1>several</h1>", answer.read().decode())
        with urlopen(f"{url}/linux-64") as answer:
            assert answer.url == f"{url}/linux-64/" and b"lib-10.0-0.conda" in answer.read()
