from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from handmade import unpack_wheel
from tt_conda.base.errors import TtCondaError
from tt_conda.formats.archive import extract, open_wheel, safe_members


def _zip(path: Path, *members: str | zipfile.ZipInfo) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zf:
        for member in members:
            zf.writestr(member, "x" * 5000)
    return path


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/etc/evil", "a\\..\\evil", "C:/evil", "..", "a/..", "./../evil"]
)
def test_a_member_that_escapes_is_named_and_nothing_is_unpacked(tmp_path: Path, name: str) -> None:
    wheel = _zip(tmp_path / "bad-1.0-py3-none-any.whl", "good.py", name)
    with pytest.raises(TtCondaError) as error:
        unpack_wheel(wheel, tmp_path / "out")
    assert "bad-1.0" in str(error.value) and repr(name) in str(error.value)
    assert "The wheel was not unpacked" in error.value.way_out
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.rglob("evil*"))


def test_a_symlink_member_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("lib/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    wheel = _zip(tmp_path / "bad.whl", link)
    with pytest.raises(TtCondaError, match="symbolic link"):
        unpack_wheel(wheel, tmp_path / "out")


def test_a_member_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        wheel = _zip(tmp_path / "bad.whl", "a", "a")
    with zipfile.ZipFile(wheel) as zf, pytest.raises(TtCondaError, match="twice"):
        safe_members(zf)


def test_a_truncated_wheel_is_named(tmp_path: Path) -> None:
    wheel = _zip(tmp_path / "cut-1.0-py3-none-any.whl", "a.py", "b.py")
    wheel.write_bytes(wheel.read_bytes()[:-60])
    with pytest.raises(TtCondaError, match=r"cut-1\.0.*truncated"):
        open_wheel(wheel)


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    wheel = tmp_path / "flip.whl"
    with zipfile.ZipFile(wheel, "w") as zf:
        zf.writestr("a.py", "hello world")
    wheel.write_bytes(wheel.read_bytes().replace(b"hello world", b"hello WORLD"))
    with pytest.raises(TtCondaError, match=r"'a\.py' is damaged"):
        unpack_wheel(wheel, tmp_path / "out")
    assert not (tmp_path / "out/a.py").exists()


def test_modes_and_renaming(tmp_path: Path) -> None:
    program = zipfile.ZipInfo("bin/p")
    program.external_attr = (stat.S_IFREG | 0o755) << 16
    with open_wheel(_zip(tmp_path / "w.whl", program, "lib/x.py", "doc/y")) as zf:
        extract(zf, tmp_path / "out", lambda name: None if name.startswith("doc/") else f"in/{name}")
    assert (tmp_path / "out/in/bin/p").stat().st_mode & 0o111
    assert not (tmp_path / "out/in/lib/x.py").stat().st_mode & 0o111
    assert not (tmp_path / "out/in/doc").exists()
