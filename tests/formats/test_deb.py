"""Tar archives unpacked: the same on a Python whose tarfile has no filters, as Debian 12's 3.11.2."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from tt_conda.formats.archive import unpack_tar


@pytest.fixture(params=["with filters", "without filters"], autouse=True)
def filters(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "without filters" and hasattr(tarfile, "data_filter"):
        monkeypatch.delattr(tarfile, "data_filter")
        old = tarfile.TarFile.extractall  # such a Python knows no such argument
        monkeypatch.setattr(tarfile.TarFile, "extractall", lambda tar, path, members=None: old(tar, path, members))


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    info.uid, info.gid, info.uname, info.gname = 4711, 4711, "nobody-here", "nobody-here"
    return info


def unpack(dest: Path, *members: tarfile.TarInfo) -> None:
    """Each file says its name."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for info in members:
            content = info.name.encode() if info.isreg() else b""
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    data.seek(0)
    dest.mkdir()
    with tarfile.open(fileobj=data) as tar:
        unpack_tar(tar, dest)


def test_a_tree(tmp_path: Path) -> None:
    unpack(
        tmp_path / "dest",
        member("a", tarfile.DIRTYPE, mode=0o777),
        member("a/file", mode=0o666),
        member("a/program", mode=0o4775),
        member("a/again", tarfile.LNKTYPE, "a/file"),
        member("a/up", tarfile.SYMTYPE, "../b/c"),
        member("a/loop", tarfile.SYMTYPE, "../a"),
        member("b/c/file"),
        member("a/up/through"),
    )
    dest = tmp_path / "dest"
    assert (dest / "a/file").read_text() == (dest / "a/again").read_text() == "a/file"
    assert (dest / "a/again").samefile(dest / "a/file")
    assert (dest / "a/up").readlink() == Path("../b/c") and (dest / "a/up/file").read_text() == "b/c/file"
    assert (dest / "b/c/through").is_file()
    modes = {name: (dest / name).stat().st_mode & 0o7777 for name in ("a/file", "a/program")}
    assert modes == {"a/file": 0o644, "a/program": 0o755}
    assert not (dest / "a").stat().st_mode & 0o022
    assert (dest / "a/file").stat().st_uid == tmp_path.stat().st_uid


@pytest.mark.parametrize(
    "members",
    [
        [member("../outside")],
        [member("a/../../outside")],
        [member("a/../../outside", tarfile.DIRTYPE)],
        [member("link", tarfile.SYMTYPE, "..")],
        [member("link", tarfile.SYMTYPE, "/etc")],
        [member("a/link", tarfile.SYMTYPE, "../../outside")],
        [member("link", tarfile.LNKTYPE, "../outside")],
        [member("a", tarfile.DIRTYPE), member("b", tarfile.SYMTYPE, "a/.."), member("c", tarfile.SYMTYPE, "b/..")],
        [member("pipe", tarfile.FIFOTYPE)],
        [member("device", tarfile.CHRTYPE)],
    ],
    ids=lambda members: f"{members[-1].name}-{members[-1].linkname}",
)
def test_what_leaves_the_folder_or_is_no_file(tmp_path: Path, members: list[tarfile.TarInfo]) -> None:
    (tmp_path / "outside").write_text("untouched")
    with pytest.raises(tarfile.TarError):
        unpack(tmp_path / "dest", *members)
    assert (tmp_path / "outside").read_text() == "untouched"
    assert not any(path.is_symlink() and not path.resolve().is_relative_to(tmp_path) for path in tmp_path.rglob("*"))


def test_a_file_through_a_link_that_leads_out(tmp_path: Path) -> None:
    """Such a link may be there before: nothing is written through it."""
    (tmp_path / "dest").mkdir()
    (tmp_path / "dest/link").symlink_to(tmp_path)
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        tar.addfile(member("link/outside"), io.BytesIO())
    data.seek(0)
    with tarfile.open(fileobj=data) as tar, pytest.raises(tarfile.TarError):
        unpack_tar(tar, tmp_path / "dest")
    assert not (tmp_path / "outside").exists()
