from __future__ import annotations

from pathlib import Path

import pytest

from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import sha256_of
from tt_conda.embedded.table import Table
from tt_conda.formats.deb import deb_control, unpack_deb
from tt_conda.inputs import debian
from tt_conda.inputs.lock import Deb, find_deb

SHA = "0" * 64


@pytest.fixture(scope="module")
def small() -> Deb:
    return find_deb(Table.load().lock, "libmd0")


@pytest.mark.debian
def test_from_the_archive_into_an_empty_cache(cache: Path, tmp_path: Path, small: Deb) -> None:
    path = debian.fetch_debs([small])[small.sha256]
    assert path.is_relative_to(cache) and sha256_of(path) == small.sha256
    unpack_deb(path, tmp_path / "out")
    assert list((tmp_path / "out").rglob("libmd.so.0"))
    assert deb_control(path)["Package"] == "libmd0"


@pytest.mark.debian
def test_a_wrong_hash_and_a_superseded_version_are_named(cache: Path, small: Deb) -> None:
    with pytest.raises(TtCondaError) as error:
        debian.fetch_debs([small.model_copy(update={"sha256": "ab" * 32})])
    assert "libmd0" in error.value.what and small.sha256 in error.value.what and "ab" * 32 in error.value.what
    with pytest.raises(TtCondaError, match=r"no longer has(.|\n)*libmd0 0\.0\.1: superseded by 1\.") as error:
        debian.fetch_debs([small.model_copy(update={"version": "0.0.1", "sha256": SHA})])
    assert "tt-conda lock-inputs" in error.value.way_out


def test_a_machine_without_apt(cache: Path, small: Deb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(TtCondaError, match="apt-get is not on this machine"):
        debian.fetch_debs([small])


def test_a_broken_deb_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad_1_amd64.deb"
    path.write_bytes(b"!<arch>\nnothing")
    with pytest.raises(TtCondaError, match="bad_1_amd64"):
        unpack_deb(path, tmp_path / "out")
