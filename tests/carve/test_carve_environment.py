"""The libraries that the environment has already: known by soname, not by the name of the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tt_conda.carve.plan import environment_sonames

Compile = Callable[..., Path]


def test_a_library_is_known_by_its_soname(compile_library: Compile, tmp_path: Path) -> None:
    compile_library("lib/libnuma.so.1.0.0", "int a;", "-Wl,-soname,libnuma.so.1")
    compile_library("lib/_cpp.so", "int a;")
    compile_library("lib/libodd.so", "int a;", "-Wl,-soname,libodd.so.1")  # whose soname nobody could open
    (tmp_path / "lib/libnuma.so.1").symlink_to("libnuma.so.1.0.0")
    (tmp_path / "lib/libscript.so").write_text("INPUT(libnuma.so.1)")
    (tmp_path / "lib/libgone.so").symlink_to("nowhere")
    assert environment_sonames(tmp_path) == {
        "libnuma.so.1": "libnuma.so.1", "libnuma.so.1.0.0": "libnuma.so.1", "_cpp.so": "_cpp.so",
        "libodd.so": "libodd.so", "libscript.so": "libscript.so",
    }  # fmt: skip
    assert environment_sonames(tmp_path / "elsewhere") == {}
