"""Layouts that no published wheel has (yet), as wheels made by hand around compiled libraries."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from handmade import DIST_INFO, make_wheel, tree
from published import tags
from tt_conda.base.errors import TtCondaError
from tt_conda.carve import Rules, carve
from tt_conda.carve.rules import Edit
from tt_conda.providers import load_providers

Compile = Callable[..., Path]


@pytest.fixture
def library(compile_library: Compile) -> Callable[..., bytes]:
    def make(name: str, soname: str | None = None, value: int = 1) -> bytes:
        flags = [f"-Wl,-soname,{soname}"] if soname else []
        source = f"int value(void) {{ return {value}; }}"
        return compile_library(name, source, "-Wl,-rpath,/build/lib", "-Wl,--build-id", *flags).read_bytes()

    return make


def test_the_wheels_own_copy_is_preferred_to_the_vendored_one(tmp_path: Path, library: Callable[..., bytes]) -> None:
    """Two builds under one name: the report says so."""
    wheel = make_wheel(tmp_path, {
        "pkg.libs/libown-01234567.so.1.2": library("a.so", "libown-01234567.so.1.2", 1),
        "pkg/lib/libown.so.1": library("b.so", "libown.so.1", 2),
    })  # fmt: skip
    report = carve([wheel], tmp_path / "prefix", Rules(own=["libown.so.1"]))
    (kept,), (dropped,) = report.libraries, report.dropped
    assert kept.member.endswith("pkg/lib/libown.so.1")
    assert (kept.path, kept.links) == ("lib/libown.so.1.2", ["lib/libown.so.1"])
    assert "another build of it" in dropped.why
    assert tags(tmp_path / "prefix/lib/libown.so.1", "SONAME") == ["libown.so.1"]


def test_of_two_wheels_the_first_ones_copy_is_kept(tmp_path: Path, library: Callable[..., bytes]) -> None:
    first = make_wheel(tmp_path, {"pkg/libown.so": library("a.so", "libown.so", 1)})
    second = make_wheel(
        tmp_path, {"second/libown.so": library("b.so", "libown.so", 2)}, "second-1.0-cp310-cp310-linux_x86_64.whl"
    )
    for order in ([first, second], [second, first]):
        report = carve(order, tmp_path / order[0].stem, Rules(own=["libown.so"]))
        assert report.libraries[0].member.startswith(order[0].name)
        assert report.dropped[0].member.startswith(order[1].name)


def test_plugins_stay_where_they_are_and_find_lib(tmp_path: Path, compile_library: Compile) -> None:
    own = compile_library("libown-01234567.so", "int own(void) { return 41; }", "-Wl,-soname,libown-01234567.so")
    plugin = compile_library("plugin.so", "int own(void); int f(void) { return own() + 1; }", own)
    wheel = make_wheel(tmp_path, {
        "pkg/plugins/deep/plugin.so": plugin.read_bytes(), "pkg.libs/libown-01234567.so": own.read_bytes(),
        "pkg/program": plugin.read_bytes(),
    })  # fmt: skip
    carve([wheel], tmp_path / "prefix", Rules(own=["libown.so"]))
    moved = (tmp_path / "prefix").rename(tmp_path / "elsewhere")
    for path in ("plugins/deep/plugin.so", "program"):
        placed = moved / "lib/python3.10/site-packages/pkg" / path
        code = "import ctypes, sys; print(ctypes.CDLL(sys.argv[1]).f())"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LD_")}
        done = subprocess.run(
            [sys.executable, "-c", code, placed], env=clean, capture_output=True, text=True, check=True
        )
        assert done.stdout == "42\n"


def test_the_data_folders_of_a_wheel(tmp_path: Path) -> None:
    """PEP 427's NAME.data/."""
    wheel = make_wheel(tmp_path, {
        "pkg-1.0.data/scripts/tool": "#!python\nprint('hello')\n",
        "pkg-1.0.data/scripts/other": "#!/bin/sh\necho hello\n",
        "pkg-1.0.data/data/etc/pkg.conf": "x", "pkg-1.0.data/headers/pkg.h": "y",
        "pkg-1.0.data/purelib/pkg/__init__.py": "", "pkg-1.0.data/platlib/pkg/b.py": "",
    })  # fmt: skip
    carve([wheel], tmp_path / "prefix", Rules())
    found = {name: content for name, content in tree(tmp_path / "prefix").items() if ".dist-info" not in name}
    assert set(found) == {
        "bin/tool", "bin/other", "etc/pkg.conf", "include/python3.10/pkg/pkg.h",
        "lib/python3.10/site-packages/pkg/__init__.py", "lib/python3.10/site-packages/pkg/b.py",
    }  # fmt: skip
    assert found["bin/tool"].startswith(f"#!{tmp_path}/prefix/bin/python\n")
    assert found["bin/other"].startswith("#!/bin/sh\n")
    assert all(os.access(tmp_path / "prefix/bin" / name, os.X_OK) for name in ("tool", "other"))


def test_commands_of_entry_points(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, {
        "pkg/__init__.py": "class a:\n    @staticmethod\n    def main():\n        print('ran'); return 3\n",
        f"{DIST_INFO}/entry_points.txt": "[console_scripts]\nMy-Tool = pkg:a.main [extra]\n[other]\nx = y\n",
    })  # fmt: skip
    carve([wheel], tmp_path / "prefix", Rules())
    script = tmp_path / "prefix/bin/My-Tool"
    assert script.read_text().startswith(f"#!{tmp_path}/prefix/bin/python\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "prefix/lib/python3.10/site-packages")}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout) == (3, "ran\n")


def test_code_is_told_where_its_data_is(tmp_path: Path) -> None:
    members = {"pkg/data/a.txt": "a", "pkg/__init__.py": "root = 'here'\nother = 'there'\n"}
    wheel = make_wheel(tmp_path, members)
    edit = Edit(file="pkg/__init__.py", old="'here'", new="'share/pkg'", versions=">=1")
    rules = Rules(data={"pkg/data": "share/pkg"}, edit=[edit, Edit(file="absent.py", old="x", new="y")])
    carve([wheel], tmp_path / "prefix", rules)
    found = tree(tmp_path / "prefix")
    package = "lib/python3.10/site-packages/pkg"
    assert found[f"{package}/__init__.py"] == "root = 'share/pkg'\nother = 'there'\n"
    assert found["share/pkg/a.txt"] == "a"
    assert [name for name in found if name.startswith(f"{package}/")] == [f"{package}/__init__.py"]
    carve([wheel], tmp_path / "other", Rules(edit=[edit.model_copy(update={"versions": ">1"})]))
    assert tree(tmp_path / "other")[f"{package}/__init__.py"] == members["pkg/__init__.py"]
    carve([wheel], tmp_path / "part", rules, only=["share/*"])
    assert set(tree(tmp_path / "part")) == {"share/pkg/a.txt"}


@pytest.mark.parametrize(("old", "count"), [("nowhere", 0), ("here'", 2)])
def test_code_that_cannot_be_edited(tmp_path: Path, old: str, count: int) -> None:
    wheel = make_wheel(tmp_path, {"pkg/__init__.py": "root = 'here'\nother = 'there'\n"})
    rules = Rules(edit=[Edit(file="pkg/__init__.py", old=old, new="")])
    with pytest.raises(TtCondaError, match=rf"{wheel.name}: pkg/__init__\.py: .* occurs {count} times"):
        carve([wheel], tmp_path / "prefix", rules)
    assert not (tmp_path / "prefix").exists()


def test_licences_of_one_name_are_all_kept(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, {
        f"{DIST_INFO}/licenses/LICENSE": "1", f"{DIST_INFO}/licenses/third/LICENSE": "2", f"{DIST_INFO}/NOTICE": "3",
        "pkg/LICENSE": "4",
    })  # fmt: skip
    carve([wheel], tmp_path / "prefix", Rules(), licenses=tmp_path / "licenses")
    assert tree(tmp_path / "licenses") == {"LICENSE": "1", "third/LICENSE": "2", "NOTICE": "3"}


def test_wheels_for_any_python(tmp_path: Path) -> None:
    pure = make_wheel(tmp_path, {"pkg/__init__.py": ""}, "pkg-1.0-py3-none-any.whl")
    stable = make_wheel(tmp_path, {"pkg/__init__.py": ""}, "pkg-1.0-cp39-abi3-linux_x86_64.whl")
    for number, wheel in enumerate((pure, stable)):
        carve([wheel], tmp_path / str(number), Rules(), python="3.12")
        assert (tmp_path / f"{number}/lib/python3.12/site-packages/pkg/__init__.py").is_file()


def test_every_provider_is_named_by_a_soname() -> None:
    providers = load_providers()
    for soname, spec in providers.packages.items():
        assert ".so" in soname and spec.strip() == spec and spec
        assert providers.find(soname) == (soname, spec)
    found = providers.find("libmpi.so.40.40.7")
    assert found and found[0] == "libmpi.so.40" and found[1].startswith("openmpi >=5")
    assert providers.find("libc.so.6") == ("libc.so.6", None)
    assert providers.find("libssl.so.1.1") is None
    assert providers.find("libmpi.so.12") is None
