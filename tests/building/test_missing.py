"""What keeps a package's tests from running: dependencies that no channel has, or not in a build that fits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tt_conda.base.errors import TtCondaError
from tt_conda.building.missing import missing_dependencies
from tt_conda.channel import index
from tt_conda.channel.serve import serving
from tt_conda.environment import solver

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
    assert missing_dependencies(package, [offered]) == ["nowhere"]


def test_a_build_that_the_package_keeps_away_is_lacking(offered: Path, make: Make) -> None:
    package = make("mine", depends=["torch", "plain"], constrains=["kind ==1.0 libstdcxx"])
    assert missing_dependencies(package, [offered]) == ["torch"]
    assert missing_dependencies(make("other", depends=["torch"], constrains=["kind ==1.0 libcxx"]), [offered]) == []


def test_a_channel_hides_what_later_ones_have_of_that_name(offered: Path, tmp_path: Path, make: Make) -> None:
    """As for the solver, whose channel priority is strict."""
    package, *_ = index.publish([
        make("mine", depends=["torch", "plain"], constrains=["kind ==1.0 libstdcxx"]),
        make("kind", build="libstdcxx"),
        make("torch", build="libstdcxx_0", depends=["kind ==1.0 libstdcxx"]),
    ], tmp_path / "more")  # fmt: skip
    for channels, expected in (([offered, tmp_path / "more"], ["torch"]), ([tmp_path / "more", offered], [])):
        assert missing_dependencies(package, channels) == expected
        if expected:
            with pytest.raises(TtCondaError, match="torch"):
                solver.solve(["mine"], channels)
        else:
            solver.solve(["mine"], channels)


def test_a_channel_elsewhere_is_asked(offered: Path, tmp_path: Path, make: Make) -> None:
    index.publish([make("far")], tmp_path / "more")
    package = make("mine", depends=["plain", "far", "nowhere", "torch"], constrains=["kind ==1.0 libstdcxx"])
    with serving([tmp_path / "more"]) as url:
        assert missing_dependencies(package, [offered, url]) == ["nowhere", "torch"]
    with pytest.raises(TtCondaError, match=r"cannot be read.*127\.0\.0\.1"):
        missing_dependencies(make("other", depends=["far"]), [url])
