"""Conda packages in both formats."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from tt_conda.formats import conda
from tt_conda.formats.conda import FILES, INFO, Entry

CONTENTS = {
    "info/index.json": b'{"name": "a"}',
    "info/paths.json": json.dumps({"paths": [
        {"_path": "site-packages/a.py", "path_type": "hardlink"}, {"_path": "empty", "path_type": "directory"},
    ]}).encode(),
    "info/link.json": b'{"noarch": {"type": "python", "entry_points": ["tool = a:main"]}}',
    "site-packages/a.py": b"x = 1" * 1000,
}  # fmt: skip


@pytest.fixture(params=[".conda", ".tar.bz2"])
def package(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"a-1.0-0{request.param}"
    if path.suffix == ".conda":
        made = [Entry(name, 0o644, content) for name, content in CONTENTS.items()]
        parts = {INFO: [e for e in made if e.name.startswith("info/")], FILES: made[-1:]}
        conda.write(path, parts, 0, 3)
    else:
        with tarfile.open(path, "w:bz2") as tar:
            for name, content in CONTENTS.items():
                item = tarfile.TarInfo(name)
                item.size = len(content)
                tar.addfile(item, io.BytesIO(content))
    return path


def test_both_formats_give_the_same_entries(package: Path) -> None:
    assert {entry.name: conda.content(tar, entry) for tar, entry in conda.entries(package)} == CONTENTS


def test_one_byte_less_is_noticed(package: Path) -> None:
    package.write_bytes(package.read_bytes()[:-1])
    with pytest.raises((OSError, *conda.DAMAGED)):
        list(conda.entries(package))


def test_its_lists_name_files_and_commands_and_no_folders(package: Path) -> None:
    lists = asyncio.run(conda.read_members(package, conda.LISTS))
    assert conda.installed_files(lists) == ["site-packages/a.py", "bin/tool"]


def test_older_lists_and_a_path_that_leaves_the_environment() -> None:
    assert conda.installed_files({"info/files": b"bin/a\nlib/b\n"}) == ["bin/a", "lib/b"]
    with pytest.raises(ValueError, match=r"\.\./a would leave"):
        conda.installed_files({"info/files": b"lib/../../a\n"})


def test_where_files_of_a_noarch_package_go() -> None:
    paths = ["site-packages/a.py", "python-scripts/b", "share/site-packages/c"]
    placed = [conda.installed_path(path, "lib/python3.12/site-packages") for path in paths]
    assert placed == ["lib/python3.12/site-packages/a.py", "bin/b", "share/site-packages/c"]


def test_more_info_leaves_what_is_installed_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a-1.0-0.conda"
    conda.write(path, {INFO: [Entry("info/index.json", 0o644, b"{}")], FILES: [Entry("a", 0o644, b"a")]}, 0, 3)
    before = zipfile.ZipFile(path).read("pkg-a-1.0-0.tar.zst")
    conda.add_info(path, {"info/run_exports.json": b"x" * 300_000}, 0)
    assert zipfile.ZipFile(path).read("pkg-a-1.0-0.tar.zst") == before
    with conda.opened(path) as parts:
        assert list(parts[INFO].entries) == ["info/index.json", "info/run_exports.json"]
        assert parts[INFO].read("info/run_exports.json") == b"x" * 300_000
    assert asyncio.run(conda.read_members(path, ["info/index.json"])) == {"info/index.json": b"{}"}
