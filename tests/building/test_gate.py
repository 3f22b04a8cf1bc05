"""What a build does not publish."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tt_conda.base.errors import TtCondaError
from tt_conda.building.gate import check_package
from tt_conda.channel.index import publish

Compile = Callable[..., Path]
Pack = Callable[..., Path]


@pytest.fixture
def base(compile_library: Compile, pack: Pack, tmp_path: Path) -> Path:
    """A channel with a library, libbase.so.1."""
    library = compile_library("libbase.so.1", "int base(void) { return 1; }", "-Wl,-soname,libbase.so.1")
    publish([pack("base", {"lib/libbase.so.1": library})], tmp_path / "channel")
    return tmp_path / "channel"


@pytest.fixture
def user(compile_library: Compile, base: Path, tmp_path: Path) -> Path:
    """A library that needs it."""
    source = "int base(void); int user(void) { return base(); }"
    return compile_library(
        "libuser.so.1", source, str(tmp_path / "libbase.so.1"), "-Wl,-soname,libuser.so.1,-rpath,$ORIGIN"
    )


def test_a_package_that_finds_what_it_needs(pack: Pack, user: Path, base: Path, tmp_path: Path) -> None:
    package = pack("user", {"lib/libuser.so.1": user}, depends=["base"])
    assert check_package(package, tmp_path, [base]) == []


def test_a_package_that_does_not_say_what_it_needs(pack: Pack, user: Path, base: Path, tmp_path: Path) -> None:
    package = pack("user", {"lib/libuser.so.1": user})
    with pytest.raises(TtCondaError, match=r"user-1\.0-0\.conda is not published(.|\n)*TC201.*libbase\.so\.1"):
        check_package(package, tmp_path, [base])
    (tmp_path / "audit.toml").write_text(
        'ignore = [{ code = "TC201", path = "libbase.so.1", reason = "the person brings it" }]\n'
    )
    assert check_package(package, tmp_path, [base]) == []


def test_a_dependency_that_is_in_no_channel_is_not_held_against_it(
    pack: Pack, user: Path, base: Path, tmp_path: Path
) -> None:
    package = pack("user", {"lib/libuser.so.1": user}, depends=["base", "nowhere"])
    assert check_package(package, tmp_path, [base]) == []


def test_a_dependency_that_is_there_only_in_a_build_that_does_not_fit_is_not_held_against_it(
    compile_library: Compile, pack: Pack, user: Path, tmp_path: Path
) -> None:
    """A torch-ttnn of one C++ standard library, where PyTorch has been built with the other."""
    other = compile_library("libbase.so.1", "int other(void) { return 1; }", "-Wl,-soname,libbase.so.1")
    (tmp_path / "text").write_text("x")
    publish([
        pack("kind", {"share/kind": tmp_path / "text"}, build="libcxx"),
        pack("base", {"lib/libbase.so.1": other}, build="libcxx_0", depends=["kind ==1.0 libcxx"]),
    ], tmp_path / "others")  # fmt: skip
    files = {"lib/libuser.so.1": user}
    package = pack("user", files, depends=["base"], constrains=["kind ==1.0 libstdcxx"])
    assert check_package(package, tmp_path, [tmp_path / "others"]) == []
    (said,) = check_package(pack("any", files, depends=["base"]), tmp_path, [tmp_path / "others"])
    assert said.startswith("TC301 ")


def test_the_findings_of_others_are_theirs(
    compile_library: Compile, pack: Pack, user: Path, base: Path, tmp_path: Path
) -> None:
    publish([pack("broken", {"lib/libuser.so.1": user})], base)
    mine = compile_library("libmine.so.1", "int mine(void) { return 2; }", "-Wl,-soname,libmine.so.1")
    package = pack("innocent", {"lib/libmine.so.1": mine}, depends=["broken"])
    assert check_package(package, tmp_path, [base]) == []


def test_a_package_without_objects(pack: Pack, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("x")
    assert check_package(pack("data", {"share/data": tmp_path / "text"}), tmp_path, []) == []
