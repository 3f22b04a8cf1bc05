from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tt_conda.base.errors import TtCondaError
from tt_conda.cli import app
from tt_conda.inputs.lock import Lock, Want, Wheel, dump, load
from tt_conda.inputs.refresh import refresh
from tt_conda.inputs.wheels import fetch_all, fetch_wheel

MakeWheel = Callable[..., tuple[Path, Wheel]]


def test_fetched_once_then_from_the_store(cache: Path, make_wheel: MakeWheel) -> None:
    source, entry = make_wheel("one")
    path = fetch_wheel(entry)
    assert path.is_relative_to(cache) and path.name == source.name
    source.unlink()
    assert fetch_wheel(entry) == path


def test_many_at_once_for_several_pythons_and_versions(cache: Path, make_wheel: MakeWheel) -> None:
    entries = [
        make_wheel("a")[1],
        make_wheel("a", "2.0")[1],
        make_wheel("b", tag="cp310-cp310-manylinux_2_35_x86_64")[1],
        make_wheel("b", tag="cp312-cp312-manylinux_2_28_x86_64")[1],
        make_wheel("c", tag="cp310-abi3-manylinux2014_x86_64")[1],
        make_wheel("d", tag="py3-none-manylinux_2_17_x86_64")[1],
    ]
    found = fetch_all(entries)
    assert {path.name for path in found.values()} == {entry.filename for entry in entries}


def test_a_wrong_hash_is_named(cache: Path, make_wheel: MakeWheel) -> None:
    good, wrong = make_wheel("good")[1], make_wheel("wrong")[1]
    expected = "ab" * 32
    with pytest.raises(TtCondaError) as error:
        fetch_all([good, wrong.model_copy(update={"sha256": expected})])
    text = str(error.value)
    assert wrong.filename in text and expected in text and wrong.sha256 in text
    assert "tt-conda lock-inputs" in error.value.way_out
    assert not [path for path in cache.rglob("*.whl") if path.name.startswith("wrong")]


def test_a_missing_wheel_is_named(cache: Path, make_wheel: MakeWheel) -> None:
    source, entry = make_wheel("gone")
    source.unlink()
    with pytest.raises(TtCondaError) as error:
        fetch_wheel(entry)
    assert entry.filename in str(error.value)


def test_refresh_of_a_version_that_does_not_exist(cache: Path, tmp_path: Path, make_wheel: MakeWheel) -> None:
    make_wheel("a", "1.0")
    path = tmp_path / "x.lock"
    dump(Lock(want=(Want(wheel="a", version="9.9", python=("3.12",)),)), path)
    before = path.read_bytes()
    with pytest.raises(TtCondaError, match=r"a==9\.9") as error:
        refresh(path)
    assert str(path) in error.value.way_out and "want" in error.value.way_out
    assert path.read_bytes() == before


def test_refresh_pins_what_is_there(cache: Path, tmp_path: Path, make_wheel: MakeWheel) -> None:
    entries = [
        make_wheel("a", "1.0")[1],
        make_wheel("b", tag="cp310-cp310-manylinux_2_35_x86_64")[1],
        make_wheel("b", tag="cp312-cp312-manylinux_2_28_x86_64")[1],
    ]
    path = tmp_path / "x.lock"
    dump(Lock(want=(Want(wheel="a"), Want(wheel="b", version="1.0", python=("3.10", "3.12")))), path)
    refresh(path)
    assert set(load(path).wheel) == set(entries)
    make_wheel("a", "1.1")
    done = CliRunner().invoke(app, ["lock-inputs", str(path)])
    assert done.stdout == f"{path}: 3 pins\n  a 1.0 → 1.1\n" and "Resolving x.lock" in done.stderr
    assert [wheel.version for wheel in load(path).wheel if wheel.name == "a"] == ["1.1"]
    assert load(path).want == (Want(wheel="a"), Want(wheel="b", version="1.0", python=("3.10", "3.12")))
