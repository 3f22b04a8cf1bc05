"""Trees of sources from Debian's archive: fetched by apt, verified, each archive unpacked into its place."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import sha256_of
from tt_conda.inputs.lock import Lock, Source, dump, find_source, load
from tt_conda.inputs.refresh import refresh
from tt_conda.inputs.sources import unpack_sources
from tt_conda.inputs.store import Store

PYTORCH = Path(__file__).parents[2] / "recipes/pytorch-libcxx/sources.lock"


def lock_of(tmp_path: Path, *wants: dict[str, str]) -> Path:
    path = tmp_path / "sources.lock"
    text = ["format = 1"]
    for want in wants:
        text += ["[[want]]", *(f'{key} = "{value}"' for key, value in want.items())]
    path.write_text("\n".join(text))
    return path


def pinned(tmp_path: Path, cache: Path, members: dict[str, str], **want: str) -> Path:
    """A lock file for one archive of these members, which is in the cache."""
    archive = tmp_path / "thing_1.orig.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name, text in members.items():
            (file := tmp_path / "member").write_text(text)
            tar.add(file, name)
    size, sha256 = archive.stat().st_size, sha256_of(archive)
    Store.default().put(archive, sha256)
    lock = load(lock_of(tmp_path, {"source": "thing", "into": "into/thing", **want}))
    pin = Source(name="thing", version="1-1", filename=archive.name, size=size, sha256=sha256)
    dump(Lock(want=lock.want, source=(pin,)), tmp_path / "sources.lock")
    return tmp_path / "sources.lock"


@pytest.mark.debian
def test_from_the_archive_into_an_empty_cache(cache: Path, tmp_path: Path) -> None:
    wants = [{"source": "fxdiv", "suite": "trixie", "into": "FXdiv"},
             {"source": "pytorch", "suite": "trixie", "part": "debian", "into": "debian", "folder": "debian"},
             {"deb": "libmd0", "into": "libmd0", "folder": "usr/lib"}]  # fmt: skip
    lock = lock_of(tmp_path, *wants)
    refresh(lock)
    pins = load(lock)
    assert [(pin.part, pin.suite) for pin in pins.source] == [("orig", "trixie"), ("debian", "trixie")]
    assert unpack_sources(lock, tmp_path / "tree") == [tmp_path / "tree" / want["into"] for want in wants]
    assert (tmp_path / "tree/FXdiv/include/fxdiv.h").is_file() and (tmp_path / "tree/debian/control").is_file()
    assert list((tmp_path / "tree/libmd0").rglob("libmd.so.0"))
    assert not list((tmp_path / "tree").glob(".*"))


@pytest.mark.debian
def test_a_wrong_hash_and_a_superseded_version_are_named(cache: Path, tmp_path: Path) -> None:
    pin = find_source(load(PYTORCH), "fxdiv")
    lock = tmp_path / "sources.lock"
    for wrong, said in ({"sha256": "ab" * 32}, "wrong hash"), ({"version": "0-1", "sha256": "0" * 64}, "fxdiv"):
        wants = load(lock_of(tmp_path, {"source": "fxdiv", "into": "x"})).want
        dump(Lock(want=wants, source=(pin.model_copy(update=wrong),)), lock)
        with pytest.raises(TtCondaError, match=said) as error:
            unpack_sources(lock, tmp_path / "tree")
        assert error.value.way_out
        assert not list(tmp_path.glob("tree/*"))


def test_two_archives_with_the_same_file_are_refused(cache: Path, tmp_path: Path) -> None:
    lock = pinned(tmp_path, cache, {"thing-1/a": "x", "thing-1/b": "y"})
    unpack_sources(lock, tmp_path / "tree")
    assert (tmp_path / "tree/into/thing/a").read_text() == "x"
    with pytest.raises(TtCondaError, match=r"thing_1\.orig\.tar\.gz: .*/into/thing/a already exists"):
        unpack_sources(lock, tmp_path / "tree")


@pytest.mark.parametrize(("members", "folder"), [({"a/x": "", "b/x": ""}, ""), ({"a/x": ""}, "c*"), ({"x": ""}, "")])
def test_a_folder_that_is_not_clear(cache: Path, tmp_path: Path, members: dict[str, str], folder: str) -> None:
    lock = pinned(tmp_path, cache, members, **({"folder": folder} if folder else {}))
    with pytest.raises(TtCondaError, match=r"sources\.lock: thing: [02] folders") as error:
        unpack_sources(lock, tmp_path / "tree")
    assert "folder" in error.value.way_out


def test_what_leaves_its_folder_and_what_is_no_archive(cache: Path, tmp_path: Path) -> None:
    lock = pinned(tmp_path, cache, {"thing-1/a": "x", "../outside": "y"})
    with pytest.raises(TtCondaError, match="not a readable archive"):
        unpack_sources(lock, tmp_path / "tree/deep")
    assert not list(tmp_path.rglob("outside"))


def test_every_pin_of_the_recipe_is_used(tmp_path: Path) -> None:
    lock = load(PYTORCH)
    wanted = {(want.source, want.part or "orig") for want in lock.want if want.source}
    assert wanted == {(pin.name, pin.part) for pin in lock.source}
    assert all(want.into for want in lock.want)
