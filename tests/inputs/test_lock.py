from __future__ import annotations

from pathlib import Path

import pytest

from tt_conda.base.errors import TtCondaError
from tt_conda.inputs.lock import Deb, Lock, Want, Wheel, dump, dumps, find_deb, find_wheel, load

SHA = "0" * 64
LOCK = Lock(
    want=(Want(wheel="b", version="1.0", python=("3.10", "3.12")), Want(deb="libx")),
    wheel=(
        Wheel(name="b", version="1.0", python="3.12", filename="b-1.0-cp312-cp312-any.whl", size=2, sha256=SHA),
        Wheel(name="b", version="1.0", python="3.10", filename="b-1.0-cp310-cp310-any.whl", size=1, sha256=SHA),
        Wheel(name="a_x", version="10.0", filename="a_x-10.0-py3-none-any.whl", size=1, sha256=SHA),
        Wheel(name="a_x", version="9.0", filename="a_x-9.0-py3-none-any.whl", size=1, sha256=SHA),
    ),
    deb=(Deb(name="libx", version="1:2-3", filename="libx_2-3_amd64.deb", size=1, sha256=SHA),),
)


def test_round_trip_in_a_fixed_order(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    dump(LOCK, path)
    again = load(path)
    assert dumps(again) == path.read_text()
    assert [(w.name, w.version, w.python) for w in again.wheel] == [
        ("a_x", "9.0", ""), ("a_x", "10.0", ""), ("b", "1.0", "3.10"), ("b", "1.0", "3.12"),
    ]  # fmt: skip
    assert again.want == LOCK.want


def test_finding(tmp_path: Path) -> None:
    assert find_wheel(LOCK, "b", python="3.12").size == 2
    assert find_wheel(LOCK, "A-X", version="9.0", python="3.10").version == "9.0"
    assert find_deb(LOCK, "libx").version == "1:2-3"
    path = tmp_path / "x.lock"
    dump(LOCK, path)
    lock = load(path)
    for criteria in ({"name": "c"}, {"name": "a_x"}, {"name": "b", "python": "3.11"}):
        with pytest.raises(TtCondaError) as error:
            find_wheel(lock, **criteria)
        assert str(path) in error.value.what
        assert "[[want]]" in error.value.way_out and error.value.way_out.endswith(f"tt-conda lock-inputs {path}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("format = 1\n[[wheel]]\nname = 'a'\n", "version"),
        ("format = 2\n", "format"),
        ("[[whel]]\n", "whel"),
        ("[[want]]\nwheel = 'a'\ndeb = 'b'\n", "one of wheel, deb and source"),
        ("[[wheel\n", "TOML"),
        (f"[[deb]]\nname='a'\nversion='1'\nfilename='../a'\nsize=1\nsha256='{SHA}'\n", "filename"),
    ],
)
def test_a_bad_lock_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bad.lock"
    path.write_text(text)
    with pytest.raises(TtCondaError) as error:
        load(path)
    assert str(path) in error.value.what and said in error.value.what


def test_a_missing_lock_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TtCondaError, match="no such lock file"):
        load(tmp_path / "none.lock")
