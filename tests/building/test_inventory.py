"""What packages hold, read without installing them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import digests
from tt_conda.building import inventory
from tt_conda.building.inventory import duplicate_libraries, duplicate_paths, package_facts

Compile = Callable[..., Path]
Pack = Callable[..., Path]


def test_the_facts_of_a_package(compile_library: Compile, pack: Pack) -> None:
    one = compile_library("libone.so.1", "int one(void) { return 1; }", "-Wl,-soname,libone.so.1,--build-id=0xabcd")
    two = compile_library(
        "two.so", "int one(void); int two(void) { return one(); }", str(one),
        "-Wl,--disable-new-dtags,-rpath,$ORIGIN/../..",
    )  # fmt: skip
    text = one.with_name("libnot.so")
    text.write_text("INPUT(libone.so.1)")
    files = {"lib/libone.so.1": one, "lib/libone.so": "libone.so.1", "lib/x/y/two.so": two, "lib/t.so": text}
    package = pack("p", files)
    facts = package_facts(package)
    assert facts.paths == ["lib/libone.so", "lib/libone.so.1", "lib/t.so", "lib/x/y/two.so"]
    first, second = package_facts(package).objects
    assert (first.path, first.soname, first.build_id, first.machine) == (
        "lib/libone.so.1", "libone.so.1", "abcd", "x86_64",
    )  # fmt: skip
    assert (first.bytes, first.sha256) == (one.stat().st_size, digests(one)[0])
    assert (second.soname, second.rpath, second.runpath) == (None, "$ORIGIN/../..", None)
    assert "libone.so.1" in second.needed


def test_they_are_read_once(
    compile_library: Compile, pack: Pack, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = pack("p", {"lib/libone.so": compile_library("libone.so", "int one;")})
    first = package_facts(package)
    monkeypatch.setattr(inventory, "extract", None)
    assert package_facts(package) == first
    for kept in (own_cache / "facts").iterdir():
        kept.write_text("half")
    monkeypatch.undo()
    monkeypatch.setenv("TT_CONDA_CACHE", str(own_cache))
    assert package_facts(package) == first


def test_copies_are_found_by_soname_build_id_and_content(compile_library: Compile, pack: Pack) -> None:
    tracy = compile_library("libtracy.so.0.10.0", "int a;", "-Wl,-soname,libtracy.so.0.10.0,--build-id=0x01")
    hashed = compile_library("h.so", "int a; int b;", "-Wl,-soname,libtracy-b842b7dc.so.0.10.0,--build-id=0x02")
    rebuilt = compile_library("r.so", "int a;", "-Wl,-soname,libother.so,--build-id=0x01")
    packages = [
        package_facts(package)
        for package in (
            pack("one", {"lib/libtracy.so.0.10.0": tracy, "lib/libtracy.so": "libtracy.so.0.10.0"}),
            pack("two", {"lib/vendored/x.so": hashed}),
            pack("three", {"lib/libother.so": rebuilt}),
            pack("four", {"lib/copy.so": tracy}),
        )
    ]
    found = {(d.by, d.key[:17]): d.places for d in duplicate_libraries(packages)}
    assert found["soname", "libtracy.so.0.10."] == (
        "four: lib/copy.so", "one: lib/libtracy.so.0.10.0", "two: lib/vendored/x.so",
    )  # fmt: skip
    assert found["build-id", "01"] == ("four: lib/copy.so", "one: lib/libtracy.so.0.10.0", "three: lib/libother.so")
    assert found["content", digests(tracy)[0][:17]] == ("four: lib/copy.so", "one: lib/libtracy.so.0.10.0")
    assert len(found) == 3


def test_twice_in_one_package_is_a_copy_too(compile_library: Compile, pack: Pack) -> None:
    umd = compile_library("libtt-umd.so.0", "int a;", "-Wl,-soname,libtt-umd.so.0")
    (only,) = (d for d in duplicate_libraries([package_facts(pack("p", {"lib/a.so": umd, "lib/b.so": umd}))])
               if d.by == "content")  # fmt: skip
    assert str(only).endswith("p: lib/a.so, p: lib/b.so")


def test_builds_of_one_package_count_as_one(compile_library: Compile, pack: Pack) -> None:
    same = compile_library("libsame.so", "int a;", "-Wl,-soname,libsame.so")
    builds = [
        package_facts(pack("p", {f"lib/python{python}/site-packages/m.so": same}, "1.0", f"py{python}"))
        for python in ("3.10", "3.12")
    ]
    assert duplicate_libraries(builds) == duplicate_paths(builds) == []


def test_a_library_without_soname_goes_by_its_name(compile_library: Compile, pack: Pack) -> None:
    one, two = compile_library("1.so", "int a;"), compile_library("2.so", "int a, b;")
    three, four = compile_library("3.so", "int a, b, c;"), compile_library("4.so", "int a, b, c, d;")
    packages = [package_facts(pack(name, {"lib/_cpp.so": library, "lib/python3.10/site-packages/m.so": module}))
                for name, library, module in (("p", one, two), ("q", three, four))]  # fmt: skip
    assert [(d.by, d.key) for d in duplicate_libraries(packages)] == [("soname", "_cpp.so")]
    assert [d.key for d in duplicate_paths(packages)] == ["lib/_cpp.so", "site-packages/m.so"]


def test_one_place_for_two_packages(tmp_path: Path, pack: Pack) -> None:
    file = tmp_path / "m.py"
    file.write_text("1")
    packages = [
        package_facts(pack("pure", {"site-packages/m.py": file}, noarch="python")),
        package_facts(pack("compiled", {"lib/python3.12/site-packages/m.py": file})),
    ]
    assert [str(d) for d in duplicate_paths(packages)] == ["path site-packages/m.py: compiled, pure"]


def test_what_is_no_package_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "p-1-0.conda"
    broken.write_bytes(b"PK")
    for path in (broken, tmp_path / "gone-1-0.conda"):
        with pytest.raises(TtCondaError, match=path.name):
            package_facts(path)
