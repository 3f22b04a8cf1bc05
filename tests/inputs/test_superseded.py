"""Pinned Debian files that the archive has no longer, with a signed archive on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from debian_archive import LocalArchive, local_archive
from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import sha256_of
from tt_conda.inputs import debian
from tt_conda.inputs.lock import Deb, Lock, Source, Want, dump
from tt_conda.inputs.sources import unpack_sources
from tt_conda.inputs.store import Store

pytestmark = pytest.mark.debian


@pytest.fixture
def archive(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalArchive]:
    with local_archive(tmp_path / "archive", monkeypatch) as made:
        yield made


def gone(*pins: Deb) -> debian.GoneError:
    with pytest.raises(debian.GoneError) as error:
        debian.fetch_debs(pins, lock="inputs.lock")
    return error.value


def test_the_pinned_file_is_taken_while_it_is_there(archive: LocalArchive, cache: Path) -> None:
    pin = archive.add("libx", "1:1-1", {"usr/x": b"1"})
    archive.add("libx", "1:1-2", {"usr/x": b"2"})
    archive.publish()
    path = debian.fetch_debs([pin])[pin.sha256]
    assert path.is_relative_to(cache) and sha256_of(path) == pin.sha256


def test_what_is_gone_is_named_with_what_is_there_and_two_ways_out(archive: LocalArchive) -> None:
    old, stays = archive.add("libx", "1-1", {"usr/x": b"1"}), archive.add("liby", "1", {"usr/y": b"1"})
    archive.remove("libx")
    archive.add("libx", "1-2", {"usr/x": b"2"})
    archive.publish()
    error = gone(old, stays)
    assert "libx 1-1: superseded by 1-2" in error.what and "liby" not in error.what
    assert "TT_CONDA_STORES" in error.way_out and "tt-conda lock-inputs inputs.lock" in error.way_out


def test_the_current_file_has_the_hash_of_the_signed_index(archive: LocalArchive) -> None:
    old = archive.add("libx", "1:1-1", {"usr/x": b"1"})
    archive.remove("libx")
    newer = archive.add("libx", "1:1-2", {"usr/x": b"2"})
    archive.publish()
    assert debian.successors(gone(old)) == {old.sha256: newer}
    assert sha256_of(debian.fetch_debs([newer])[newer.sha256]) == newer.sha256


def test_a_file_that_is_not_what_the_signed_index_says_is_refused(archive: LocalArchive) -> None:
    old = archive.add("libx", "1-1", {"usr/x": b"1"})
    archive.remove("libx")
    archive.add("libx", "1-2", {"usr/x": b"2"})
    archive.publish()
    (newer,) = debian.successors(gone(old)).values()
    file = archive.pool / newer.filename
    file.write_bytes(file.read_bytes()[::-1])
    with pytest.raises(TtCondaError, match="libx 1-2") as error:
        debian.fetch_debs([newer])
    assert not isinstance(error.value, debian.GoneError)
    assert Store.default().get(newer.sha256, newer.filename) is None


@pytest.mark.parametrize("permissive", [False, True], ids=["apt's defaults", "a machine that accepts anything"])
@pytest.mark.parametrize("known", [True, False], ids=["with older lists", "without lists"])
def test_an_archive_that_another_key_signed_is_not_believed(
    archive: LocalArchive, known: bool, permissive: bool
) -> None:
    """With lists of a time when the signature was good, apt goes by those: they are Debian's word."""
    old = archive.add("libx", "1-1", {"usr/x": b"1"})
    archive.publish()
    if known:
        debian.Suite("bookworm").update()
    archive.remove("libx")
    forged = archive.add("libx", "1-2", {"usr/x": b"forged"})
    archive.publish(signed=False)
    if permissive:
        conf = archive.root / "apt.conf"
        lines = ('Acquire::AllowInsecureRepositories "true";', 'APT::Get::AllowUnauthenticated "true";')
        conf.write_text("\n".join([conf.read_text(), *lines]))
    with pytest.raises(TtCondaError) as error:
        try:
            debian.fetch_debs([old])
        except debian.GoneError as superseded:
            debian.fetch_debs(list(debian.successors(superseded).values()))
    assert error.value.way_out
    assert not list(Store.default().folder.rglob("*.deb")) and forged.sha256 not in str(error.value)


def test_a_package_that_was_removed_has_no_successor(archive: LocalArchive) -> None:
    old, stays = archive.add("libx", "1-1", {"usr/x": b"1"}), archive.add("liby", "1-1", {"usr/y": b"1"})
    archive.remove("lib*")
    archive.add("liby", "1-2", {"usr/y": b"2"})
    archive.publish()
    error = gone(old, stays)
    assert "libx 1-1: the package was removed" in error.what and "liby 1-1: superseded by 1-2" in error.what
    with pytest.raises(debian.GoneError):
        debian.successors(error)


def test_an_older_file_is_no_successor(archive: LocalArchive) -> None:
    """As where the machine's apt does not know the archive of security updates."""
    pin = archive.add("libx", "1-9+deb12u2", {"usr/x": b"2"})
    archive.remove("libx")
    archive.add("libx", "1-9", {"usr/x": b"1"})
    archive.publish()
    with pytest.raises(debian.GoneError):
        debian.successors(gone(pin))


def test_another_file_of_the_same_version_is_a_wrong_hash(archive: LocalArchive) -> None:
    archive.add("libx", "1-1", {"usr/x": b"1"})
    pin = archive.add("libx", "1-1", {"usr/x": b"2"}).model_copy(update={"sha256": "ab" * 32})
    archive.publish()
    with pytest.raises(TtCondaError, match="wrong hash") as error:
        debian.fetch_debs([pin], lock="inputs.lock")
    assert not isinstance(error.value, debian.GoneError) and "lock-inputs inputs.lock" in error.value.way_out


def test_sources_are_never_replaced(archive: LocalArchive, tmp_path: Path) -> None:
    """Patches are written against them."""
    archive.add("libx", "1", {"usr/x": b""})
    archive.publish(source="1-2")
    pin = Source(name="thing", version="1-1", filename="thing_1.orig.tar.gz", size=1, sha256="ab" * 32)
    lock = tmp_path / "sources.lock"
    dump(Lock(want=(Want(source="thing", into="x"),), source=(pin,)), lock)
    with pytest.raises(debian.GoneError) as error:
        unpack_sources(lock, tmp_path / "tree")
    assert "thing 1-1: superseded by 1-2" in error.value.what
    assert f"tt-conda lock-inputs {lock}" in error.value.way_out
    with pytest.raises(debian.GoneError):
        debian.successors(error.value)
