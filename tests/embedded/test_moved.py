"""The embedded channel when Debian has superseded a pinned file, with a signed archive on this machine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from debian_archive import LocalArchive, local_archive
from tt_conda.base import settings
from tt_conda.base.errors import TtCondaError
from tt_conda.embedded import assemble, moved
from tt_conda.embedded.table import Table
from tt_conda.inputs.lock import Deb, Lock, dump

PACKAGES = """
[[package]]
name = "thing"
deb = ["libthing1"]
license = "MIT"
provides = ["libthing.so.1"]

[[package]]
name = "tool"
deb = ["tool"]
license = "MIT"
files = { "usr/bin/tool" = "bin/tool" }
"""
Compile = Callable[..., Path]


class Channel:
    """A channel of two packages, the archive that they come from, and what was said."""

    def __init__(self, archive: LocalArchive, library: bytes, capsys: pytest.CaptureFixture[str]) -> None:
        self.archive, self.library, self.capsys = archive, library, capsys
        self.pins = [self.thing("1.0-1"), self.tool("2.0-1")]
        archive.publish()

    def thing(self, version: str, path: str = "usr/lib/x86_64-linux-gnu/libthing.so.1") -> Deb:
        return self.archive.add("libthing1", version, {path: self.library})

    def tool(self, version: str, path: str = "usr/bin/tool") -> Deb:
        return self.archive.add("tool", version, {path: b"#!/bin/sh\n"})

    def supersede(self, make: Callable[..., Deb], version: str, *path: str) -> None:
        self.archive.remove("libthing1" if make == self.thing else "tool")
        make(version, *path)
        self.archive.publish()

    def packages(self) -> dict[str, tuple[str, str]]:
        """Name → file and version, of a channel that is made now."""
        moved.tell.cache_clear()
        content = json.loads((assemble.ensure_channel() / "linux-64/repodata.json").read_text())
        return {record["name"]: (file, record["version"]) for file, record in content["packages.conda"].items()}

    def said(self) -> list[str]:
        return [line for line in self.capsys.readouterr().err.splitlines() if "uperseded" in line]


@pytest.fixture
def channel(
    tmp_path: Path, compile_library: Compile, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Channel]:
    monkeypatch.setenv("TT_CONDA_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TT_CONDA_PINNED", raising=False)
    (tmp_path / "packages.toml").write_text(PACKAGES)
    library = compile_library("libthing.so.1", "int thing(void) { return 1; }", "-Wl,-soname,libthing.so.1")
    with local_archive(tmp_path / "archive", monkeypatch) as archive:
        made = Channel(archive, library.read_bytes(), capsys)
        dump(Lock(deb=tuple(made.pins)), tmp_path / "inputs.lock")
        table = Table.load(tmp_path / "packages.toml", tmp_path / "inputs.lock")
        monkeypatch.setattr(Table, "load", lambda: table)
        yield made


def test_the_pinned_files_while_they_are_there(channel: Channel) -> None:
    found = channel.packages()
    assert {name: version for name, (_, version) in found.items()} == {"thing": "1.0", "tool": "2.0"}
    assert not channel.said()


def test_the_current_file_stands_in_and_one_line_says_so(channel: Channel) -> None:
    channel.supersede(channel.thing, "1.0-2")
    found = channel.packages()
    (line,) = channel.said()
    assert "libthing1 1.0-1 → 1.0-2 (bookworm)" in line and "--pinned" in line and "tool" not in line
    assert channel.packages() == found and channel.said() == [line], "it is said again, and nothing is made again"
    assert {version for _, version in found.values()} == {"1.0", "2.0"}


def test_with_pinned_it_is_refused(channel: Channel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    channel.supersede(channel.thing, "1.0-2")
    monkeypatch.setenv("TT_CONDA_PINNED", "1")
    for _ in range(2):
        with pytest.raises(TtCondaError, match=r"libthing1 1\.0-1: superseded by 1\.0-2") as error:
            channel.packages()
        assert f"tt-conda lock-inputs {tmp_path}/inputs.lock" in error.value.way_out
        monkeypatch.setenv("TT_CONDA_PINNED", "0")
        channel.packages()  # and neither is a channel that was made without it
        monkeypatch.setenv("TT_CONDA_PINNED", "1")


def test_what_a_newer_file_became_is_not_taken_for_the_pinned_one(
    channel: Channel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same version and the same content: the file's hash tells them apart. A store has the pinned one."""
    pinned = channel.packages()
    shutil.move(settings.cache_dir(), tmp_path / "before")
    channel.supersede(channel.thing, "1.0-2")
    newer = channel.packages()
    assert newer["thing"] != pinned["thing"] and newer["tool"] == pinned["tool"]
    monkeypatch.setenv("TT_CONDA_PINNED", "1")
    monkeypatch.setenv("TT_CONDA_STORES", str(tmp_path / "before/inputs"))
    channel.said()
    assert channel.packages() == pinned and not channel.said()
    monkeypatch.setenv("TT_CONDA_PINNED", "0")
    assert channel.packages() == pinned, "the pinned file is here now"


def test_a_successor_that_is_superseded_too(channel: Channel) -> None:
    channel.supersede(channel.thing, "1.0-2")
    first = channel.packages()
    shutil.rmtree(settings.cache_dir() / "inputs")
    for path in (settings.cache_dir() / "channel/linux-64").glob("thing-*"):
        path.unlink()
    channel.supersede(channel.thing, "1.1-1")
    second = channel.packages()
    assert second["thing"][1] == "1.1" and first["tool"] == second["tool"]
    assert "libthing1 1.0-1 → 1.1-1" in channel.said()[-1]


@pytest.mark.parametrize("pinned", ["0", "1"])
def test_a_package_that_was_removed(channel: Channel, monkeypatch: pytest.MonkeyPatch, pinned: str) -> None:
    monkeypatch.setenv("TT_CONDA_PINNED", pinned)
    channel.archive.remove("tool")
    channel.archive.publish()
    with pytest.raises(TtCondaError, match=r"tool 2\.0-1: the package was removed") as error:
        channel.packages()
    assert "TT_CONDA_STORES" in error.value.way_out


@pytest.mark.parametrize(
    ("make", "path", "said"),
    [
        (Channel.thing, "usr/lib/x86_64-linux-gnu/libother.so.1", "libother.so.1"),
        (Channel.thing, "usr/share/thing", "no file that the table places"),
        (Channel.tool, "usr/bin/tool2", "no file for bin/tool"),
    ],
)
def test_a_newer_version_without_the_file_that_is_needed(
    channel: Channel, make: Callable[..., Deb], path: str, said: str
) -> None:
    """What the table names is looked for, and the error says that a newer file is why it is not there."""
    if "other" in path:
        channel.library = channel.library.replace(b"libthing.so.1", b"libother.so.1")
    bound = channel.thing if make is Channel.thing else channel.tool
    channel.supersede(bound, "9-1", path)
    with pytest.raises(TtCondaError, match=said) as error:
        channel.packages()
    assert "→ 9-1 (bookworm)" in error.value.what and "TT_CONDA_STORES" in error.value.way_out


def test_a_forged_archive_gives_no_successor(channel: Channel) -> None:
    channel.packages()
    shutil.rmtree(settings.cache_dir() / "inputs")
    shutil.rmtree(settings.cache_dir() / "channel")
    channel.archive.remove("libthing1")
    channel.thing("6.6-6")
    channel.archive.publish(signed=False)
    with pytest.raises(TtCondaError):
        channel.packages()
    assert not list((settings.cache_dir() / "inputs").rglob("libthing1_6.6*"))
