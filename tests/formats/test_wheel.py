"""Where a wheel's members go, and its commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from handmade import DIST_INFO, make_wheel
from tt_conda.base.errors import TtCondaError
from tt_conda.formats.wheel import OpenWheel, destination

PLACES = {
    "pkg/a.py": ("lib/python3.12/site-packages/pkg/a.py", "site-packages/pkg/a.py"),
    "pkg-1.0.data/purelib/a.py": ("lib/python3.12/site-packages/a.py", "site-packages/a.py"),
    "pkg-1.0.data/platlib/a.so": ("lib/python3.12/site-packages/a.so", "site-packages/a.so"),
    "pkg-1.0.data/scripts/tool": ("bin/tool", "python-scripts/tool"),
    "pkg-1.0.data/data/etc/a": ("etc/a", "etc/a"),
    "pkg-1.0.data/headers/sub/a.h": ("include/python3.12/pkg/sub/a.h", "include/pkg/sub/a.h"),
    "pkg.data/a.txt": ("lib/python3.12/site-packages/pkg.data/a.txt", "site-packages/pkg.data/a.txt"),
}


@pytest.mark.parametrize("member", PLACES)
def test_each_kind_of_member_has_one_place(member: str) -> None:
    assert (destination(member, "pkg", "3.12"), destination(member, "pkg", "")) == PLACES[member]


def open_wheel(folder: Path, points: str) -> OpenWheel:
    return OpenWheel.open(make_wheel(folder, {f"{DIST_INFO}/entry_points.txt": points}), None)


def test_commands_with_and_without_a_window(tmp_path: Path) -> None:
    points = "[gui_scripts]\nWindow=pkg.gui:main\n# a comment\n[console_scripts]\na-b = pkg:c.d [extra]\n[x]\ny=z:z\n"
    with (wheel := open_wheel(tmp_path, points)).archive:
        assert wheel.commands() == {"Window": ("pkg.gui", "main"), "a-b": ("pkg", "c.d")}


@pytest.mark.parametrize("points", ["[console_scripts]\nno equals sign\n", "[console_scripts]\na = :b\n"])
def test_damaged_entry_points_are_named(tmp_path: Path, points: str) -> None:
    with (wheel := open_wheel(tmp_path, points)).archive, pytest.raises(TtCondaError, match=r"entry_points\.txt"):
        wheel.commands()
