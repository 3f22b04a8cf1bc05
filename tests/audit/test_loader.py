"""The resolver against the machine's own ld.so, on compiled fixtures; each test is named after its rule."""

from __future__ import annotations

import os
import posixpath
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from toolchain import program
from tt_conda.audit.loader import Closure, Loaded, System, this_system
from tt_conda.audit.loader import closure as follow
from tt_conda.audit.scene import Scene

Compile = Callable[..., Path]


@pytest.fixture
def compiled(tmp_path: Path) -> Compile:
    """Compile an object: ``needs`` are linked to it by their sonames, ``rpath`` goes in as the chosen tag."""

    def make(path: str, *needs: Path, rpath: str | None = None, tag: str = "rpath", soname: str | None = None) -> Path:
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shared = ".so" in target.name
        calls = "".join(f"extern int f_{_id(n)}(void); " for n in needs)
        total = " + ".join(["0", *(f"f_{_id(n)}()" for n in needs)])
        body = f"int f_{_id(target)}(void) {{ return {total}; }}" if shared else f"int main(void) {{ return {total}; }}"
        source = tmp_path / f"{target.name}.c"
        source.write_text(calls + body)
        command = [program("gcc"), "-o", str(target), str(source), "-Wl,--no-as-needed", "-Wl,--allow-shlib-undefined"]
        if shared:
            command += ["-shared", "-fPIC", f"-Wl,-soname,{soname or target.name}"]
        command += [str(n) for n in needs]
        if rpath is not None:
            flag = "--disable-new-dtags" if tag == "rpath" else "--enable-new-dtags"
            command += [f"-Wl,-rpath,{rpath}", f"-Wl,{flag}"]
        subprocess.run(command, check=True, capture_output=True)
        return target

    return make


def closure(start: Path, system: System, host: Sequence[Loaded] = ()) -> Closure:
    scene = Scene(system=system)
    found = scene.find(str(start))
    assert found
    return follow(found, system, scene, host=host)


def _id(path: Path) -> str:
    return path.name.replace(".", "_").replace("-", "_")


def real(program: Path, **environ: str) -> dict[str, str]:
    """What the machine's linker finds: NEEDED name → file, or "" where there is none."""
    base = {k: v for k, v in os.environ.items() if not k.startswith("LD_")}
    done = subprocess.run(["ldd", str(program)], capture_output=True, text=True, env=base | environ, check=False)
    found = {}
    for line in done.stdout.splitlines():
        name, arrow, rest = line.strip().partition(" => ")
        if arrow:
            found[name] = "" if "not found" in rest else os.path.normpath(rest.split(" (")[0])
    return found


def ours(found: Closure) -> dict[str, str]:
    told = {posixpath.basename(item.path): posixpath.normpath(item.path) for item in found.loaded[1:]}
    return told | {name: "" for name, _ in found.missing}


def agree(program: Path, library_path: str = "") -> dict[str, str]:
    """Compare both answers for everything that is not the C library, and return them."""
    system = replace(this_system(), library_path=tuple(p for p in library_path.split(":") if p))
    theirs = real(program, **({"LD_LIBRARY_PATH": library_path} if library_path else {}))
    mine = ours(closure(program, system))
    mine = {name: path for name, path in mine.items() if not name.startswith(("ld-linux", "linux-vdso"))}
    assert mine == {name: path for name, path in theirs.items() if not name.startswith(("ld-linux", "linux-vdso"))}
    return {name: path for name, path in mine.items() if name != "libc.so.6"}


def test_rpath_is_searched(compiled: Compile, tmp_path: Path) -> None:
    lib = compiled("lib/liba.so")
    assert agree(compiled("bin/main", lib, rpath="$ORIGIN/../lib")) == {"liba.so": str(lib)}


def test_runpath_is_searched(compiled: Compile) -> None:
    lib = compiled("lib/liba.so")
    assert agree(compiled("bin/main", lib, rpath="${ORIGIN}/../lib", tag="runpath")) == {"liba.so": str(lib)}


def test_what_is_nowhere_is_missing(compiled: Compile) -> None:
    lib = compiled("lib/liba.so")
    assert agree(compiled("bin/main", lib)) == {"liba.so": ""}


def test_rpath_comes_before_ld_library_path(compiled: Compile, tmp_path: Path) -> None:
    lib, other = compiled("lib/liba.so"), compiled("other/liba.so")
    main = compiled("bin/main", lib, rpath="$ORIGIN/../lib")
    assert agree(main, str(other.parent)) == {"liba.so": str(lib)}


def test_ld_library_path_comes_before_runpath(compiled: Compile) -> None:
    lib, other = compiled("lib/liba.so"), compiled("other/liba.so")
    main = compiled("bin/main", lib, rpath="$ORIGIN/../lib", tag="runpath")
    assert agree(main, str(other.parent)) == {"liba.so": str(other)}


def test_rpath_reaches_grandchildren(compiled: Compile) -> None:
    deep = compiled("deep/libdeep.so")
    lib = compiled("lib/liba.so", deep)
    main = compiled("bin/main", lib, rpath="$ORIGIN/../lib:$ORIGIN/../deep")
    assert agree(main) == {"liba.so": str(lib), "libdeep.so": str(deep)}


def test_runpath_does_not_reach_grandchildren(compiled: Compile) -> None:
    deep = compiled("deep/libdeep.so")
    lib = compiled("lib/liba.so", deep)
    main = compiled("bin/main", lib, rpath="$ORIGIN/../lib:$ORIGIN/../deep", tag="runpath")
    assert agree(main) == {"liba.so": str(lib), "libdeep.so": ""}


def test_an_objects_own_runpath_hides_the_rpath_of_its_loaders(compiled: Compile) -> None:
    deep = compiled("deep/libdeep.so")
    lib = compiled("lib/liba.so", deep, rpath="$ORIGIN/nowhere", tag="runpath")
    main = compiled("bin/main", lib, rpath="$ORIGIN/../lib:$ORIGIN/../deep")
    assert agree(main) == {"liba.so": str(lib), "libdeep.so": ""}


def test_a_loaders_runpath_does_not_stop_the_rpath_above_it(compiled: Compile) -> None:
    deep = compiled("deep/libdeep.so")
    middle = compiled("lib/libmiddle.so", deep)
    lib = compiled("lib/liba.so", middle, rpath="$ORIGIN", tag="runpath")
    main = compiled("bin/main", lib, rpath="$ORIGIN/../lib:$ORIGIN/../deep")
    assert agree(main)["libdeep.so"] == str(deep)


def test_a_library_that_is_loaded_is_used_again(compiled: Compile) -> None:
    first, second = compiled("one/libx.so"), compiled("two/libx.so")
    user = compiled("lib/libuser.so", second, rpath="$ORIGIN/../two")
    main = compiled("bin/main", first, user, rpath="$ORIGIN/../one:$ORIGIN/../lib")
    assert agree(main)["libx.so"] == str(first)


def test_a_soname_matches_a_file_of_another_name(compiled: Compile) -> None:
    lib = compiled("lib/libreal.so.1", soname="libreal.so.1")
    shutil.copy(lib, lib.with_name("libalias.so"))
    user = compiled("lib/libuser.so", lib, rpath="$ORIGIN")
    main = compiled("bin/main", lib, user, rpath="$ORIGIN/../lib")
    assert agree(main) == {"libreal.so.1": str(lib), "libuser.so": str(user)}


def test_origin_is_where_the_link_is_not_what_it_points_to(compiled: Compile, tmp_path: Path) -> None:
    deep = compiled("there/libdeep.so")
    lib = compiled("store/liba.so", deep, rpath="$ORIGIN")
    (tmp_path / "there/liba.so").symlink_to(lib)
    main = compiled("bin/main", lib, rpath="$ORIGIN/../there")
    assert agree(main) == {"liba.so": str(tmp_path / "there/liba.so"), "libdeep.so": str(deep)}


def test_folders_are_searched_in_their_order(compiled: Compile) -> None:
    first, second = compiled("one/libx.so"), compiled("two/libx.so")
    main = compiled("bin/main", second, rpath="$ORIGIN/../nowhere:$ORIGIN/../one:$ORIGIN/../two")
    assert agree(main) == {"libx.so": str(first)}


def test_a_file_that_is_no_library_of_this_machine_is_passed_over(compiled: Compile, tmp_path: Path) -> None:
    lib = compiled("lib/libx.so")
    main = compiled("bin/main", lib, rpath="$ORIGIN/../foreign:$ORIGIN/../lib")
    data = bytearray(lib.read_bytes())
    data[18:20] = (183).to_bytes(2, "little")  # e_machine: AArch64
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/libx.so").write_bytes(data)
    assert agree(main) == {"libx.so": str(lib)}


def test_a_needed_name_with_a_slash_is_a_path(compiled: Compile, tmp_path: Path) -> None:
    lib = compiled("lib/libx.so", soname=str(tmp_path / "lib/libx.so"))
    found = closure(compiled_main(tmp_path, lib), System())
    assert next(item.how for item in found.loaded[1:]) == "path"


def compiled_main(tmp_path: Path, lib: Path) -> Path:
    source = tmp_path / "m.c"
    source.write_text("int main(void) { return 0; }")
    target = tmp_path / "m"
    command = [program("gcc"), "-o", str(target), str(source), "-Wl,--no-as-needed", str(lib)]
    subprocess.run(command, check=True, capture_output=True)
    return target


def test_dlopen_searches_the_rpath_of_the_program_too(compiled: Compile) -> None:
    deep = compiled("deep/libdeep.so")
    plugin = compiled("plugins/plugin.so", deep)
    main = compiled("bin/main", rpath="$ORIGIN/../deep")
    host = closure(main, this_system()).loaded
    assert ours(closure(plugin, this_system(), host=host[:1]))["libdeep.so"] == str(deep)


def test_real_programs_of_this_machine() -> None:
    for name in ("bash", "git", "tar", "xz"):
        if found := shutil.which(name):
            agree(Path(found).resolve())
