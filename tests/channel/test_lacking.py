"""What keeps a package's tests from running: dependencies that no channel has, or not in a build that fits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tt_conda.channel import index
from tt_conda.channel.lacking import lacking

Make = Callable[..., Path]


@pytest.fixture
def offered(tmp_path: Path, make: Make) -> Path:
    """PyTorch with libc++ alone."""
    folder = tmp_path / "offered"
    index.publish([
        make("kind", build="libcxx"),
        make("torch", build="libcxx_0", depends=["kind ==1.0 libcxx", "away"]),
        make("plain"),
    ], folder)  # fmt: skip
    return folder


def test_what_is_nowhere_is_lacking_and_a_wrong_pin_is_not(offered: Path, make: Make) -> None:
    package = make("mine", depends=["plain ==7", "nowhere", "__glibc >=2.17"])
    assert lacking(package, [offered]) == ["nowhere"]
    assert lacking(package, [offered, "https://example.org/channel"]) == []


def test_a_build_that_the_package_keeps_away_is_lacking(offered: Path, tmp_path: Path, make: Make) -> None:
    package = make("mine", depends=["torch", "plain"], constrains=["kind ==1.0 libstdcxx"])
    assert lacking(package, [offered]) == ["torch"]
    assert lacking(make("other", depends=["torch"], constrains=["kind ==1.0 libcxx"]), [offered]) == []
    index.publish([
        make("kind", build="libstdcxx"),
        make("torch", build="libstdcxx_0", depends=["kind ==1.0 libstdcxx"]),
    ], tmp_path / "more")  # fmt: skip
    assert lacking(package, [offered, tmp_path / "more"]) == []
