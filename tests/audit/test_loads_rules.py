"""The rules of loading, on the published wheels and on small compiled libraries."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from published import TORCH_020, TTNN_065, published
from toolchain import program
from tt_conda.audit.analysis import Analysis
from tt_conda.audit.audit import audit
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.targets import read_targets

TTNN_062 = "ttnn-shutov-0.62.0.dev20250916-3.10"

Compile = Callable[..., Path]


def findings(code: str, *targets: Path, once: bool = False) -> list[Finding]:
    return audit(read_targets(targets, once=once), [code]).findings


def symbol(name: str, *needs: str) -> str:
    """C code that defines a function which calls others."""
    return (
        "".join(f"int {n}(void); " for n in needs)
        + f"int {name}(void) {{ return 1 {''.join(f'+ {n}()' for n in needs)}; }}"
    )


@pytest.fixture(scope="module")
def without_tracy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel from which libtracy was deleted, as its users did."""
    wheel = published(TTNN_062)
    copy = tmp_path_factory.mktemp("wheels") / wheel.name
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(copy, "w") as new:
        for info in old.infolist():
            if "libtracy" not in info.filename and ".so" in info.filename:
                new.writestr(info, old.read(info))
    return copy


def test_the_missing_libtracy(without_tracy: Path) -> None:
    [finding] = findings("TC201", without_tracy)
    assert finding.severity is Severity.ERROR
    assert finding.subject.startswith("libtracy-") and finding.subject.endswith(".so.0.10.0")
    assert "_ttnn.cpython-310" in finding.message
    assert {place.path.rpartition("/")[2] for place in finding.places} >= {"_ttnncpp.so", "libtt_metal.so"}


@pytest.mark.parametrize("label", [TTNN_062, "ttnn-0.63.0-3.10", "ttnn-0.81.1-3.10", "ttnn-0.81.1-3.12"])
def test_wheels_that_load(label: str) -> None:
    assert findings("TC2", published(label)) == []


def test_the_libraries_of_torch_come_from_torch() -> None:
    [finding] = findings("TC201", published(TORCH_020))
    assert finding.severity is Severity.NOTE
    assert "torch" in finding.remedy
    assert all(name in finding.message for name in ("libc10.so", "libtorch_cpu.so", "libtorch_python.so"))


def test_what_065_opens_before_it_needs_it() -> None:
    # one more where this machine has no libatomic.so.1
    [inherited] = [f for f in findings("TC205", published(TTNN_065)) if f.subject == "libmpi.so.40"]
    assert "libopen-pal.so.80" in inherited.message and "libtt_metal.so" in inherited.message
    [first] = findings("TC203", published(TTNN_065))
    assert "libpmix.so.2" in first.message and "libhwloc.so.15" in first.message
    assert findings("TC201", published(TTNN_065)) == []


def test_the_build_machine_of_065() -> None:
    found = {finding.subject: finding for finding in findings("TC204", published(TTNN_065))}
    path = "/opt/openmpi-v5.0.7-ulfm/lib:/project/build_Release/lib:$ORIGIN"
    assert [place.path.rpartition("/")[2] for place in found[path].places] == ["libtt_metal.so"]
    assert found[path].remedy.endswith("patchelf --set-rpath '$ORIGIN'")


def test_the_working_folder_is_searched(compile_library: Compile, tmp_path: Path) -> None:
    compile_library("lib/liba.so", symbol("a"), "-Wl,-rpath,$ORIGIN:")
    compile_library("lib/libb.so", symbol("b"), "-Wl,-rpath,$ORIGIN/../lib")
    [finding] = findings("TC204", tmp_path / "lib")
    assert "(empty), searched in the working directory" in finding.message
    assert [place.path for place in finding.places] == ["liba.so"]


def test_what_to_do_about_a_build_path_keeps_what_is_needed(compile_library: Compile, tmp_path: Path) -> None:
    other = compile_library("all/other/libother.so", symbol("other"), "-Wl,-soname,libother.so")
    compile_library("all/here/user.so", symbol("user", "other"), str(other), "-Wl,-rpath,/project/build/lib")
    missed, path = findings("TC2", tmp_path / "all")
    assert (missed.code, path.code) == ("TC203", "TC204")
    assert path.remedy.endswith("patchelf --set-rpath '$ORIGIN/../other'")
    assert "patchelf --set-rpath '$ORIGIN/../other'" in missed.remedy


def test_the_environments_own_path_is_no_build_path(compile_library: Compile, tmp_path: Path) -> None:
    (tmp_path / "env/conda-meta").mkdir(parents=True)
    compile_library("env/lib/liba.so", symbol("a"), f"-Wl,-rpath,{tmp_path}/env/lib")
    assert findings("TC204", tmp_path / "env") == []


def test_a_library_is_missing_from_an_environment(compile_library: Compile, tmp_path: Path) -> None:
    (tmp_path / "env/conda-meta").mkdir(parents=True)
    gone = compile_library("libgone.so", symbol("gone"), "-Wl,-soname,libgone.so")
    compile_library("env/lib/libuser.so", symbol("user", "gone"), str(gone), "-Wl,-soname,libuser.so")
    [finding] = findings("TC201", tmp_path / "env")
    assert (finding.severity, finding.subject) == (Severity.ERROR, "libgone.so")
    assert findings("TC301", tmp_path / "env") == []  # said once


def test_what_a_compiler_links_for_is_not_loaded_here(compile_library: Compile, tmp_path: Path) -> None:
    (tmp_path / "env/conda-meta").mkdir(parents=True)
    gone = compile_library("libgone.so", symbol("gone"), "-Wl,-soname,libgone.so")
    compile_library("env/x86_64-conda-linux-gnu/sysroot/usr/lib/libuser.so", symbol("user", "gone"), str(gone))
    assert audit(read_targets([tmp_path / "env"])).findings == []


def test_a_plugin_that_cannot_be_opened_is_a_warning(compile_library: Compile, tmp_path: Path) -> None:
    (tmp_path / "env/conda-meta").mkdir(parents=True)
    gone = compile_library("libgone.so", symbol("gone"), "-Wl,-soname,libgone.so")
    compile_library("env/lib/plugins/user.so", symbol("user", "gone"), str(gone))
    [finding] = findings("TC201", tmp_path / "env")
    assert finding.severity is Severity.WARNING


def test_outside_of_a_conda_environment(compile_library: Compile, tmp_path: Path) -> None:
    (tmp_path / "env/conda-meta").mkdir(parents=True)
    outside = compile_library("opt/liboutside.so", symbol("outside"), "-Wl,-soname,liboutside.so")
    compile_library(
        "env/lib/libuser.so", symbol("user", "outside"), str(outside), f"-Wl,-soname,libuser.so,-rpath,{tmp_path}/opt"
    )
    [finding] = findings("TC202", tmp_path / "env")
    assert "liboutside.so" in finding.message
    assert finding.evidence == [f"lib/libuser.so: liboutside.so => {outside}"]


def test_the_c_library_may_come_from_outside(compile_library: Compile, tmp_path: Path) -> None:
    (tmp_path / "env/conda-meta").mkdir(parents=True)
    compile_library("env/lib/liba.so", "#include <math.h>\ndouble a(double x) { return sin(x); }", "-lm")
    assert findings("TC2", tmp_path / "env") == []


def test_found_when_something_else_was_loaded_first(compile_library: Compile, tmp_path: Path) -> None:
    other = compile_library("all/other/libother.so", symbol("other"), "-Wl,-soname,libother.so")
    compile_library("all/here/user.so", symbol("user", "other"), str(other))
    [finding] = findings("TC203", tmp_path / "all")
    assert finding.evidence == ["here/user.so needs libother.so, which is other/libother.so"]


def test_a_program_finds_nothing_that_was_loaded_first(compile_library: Compile, tmp_path: Path) -> None:
    other = compile_library("all/lib/libother.so", symbol("other"), "-Wl,-soname,libother.so")
    (tmp_path / "all/bin").mkdir()
    started, code = tmp_path / "all/bin/start", tmp_path / "start.c"
    code.write_text(symbol("main", "other"))
    subprocess.run([program("gcc"), "-o", started, code, other], check=True)
    assert subprocess.run([started], check=False, capture_output=True).returncode == 127
    [finding] = findings("TC2", tmp_path / "all")
    assert (finding.code, finding.severity, finding.subject) == ("TC201", Severity.ERROR, "libother.so")
    assert "libother.so, which start needs, is in lib, which is not searched: start does not start." in finding.message
    assert "--set-rpath '$ORIGIN/../lib'" in finding.remedy


def test_a_private_library_that_is_loaded_by_its_module_is_healthy(compile_library: Compile, tmp_path: Path) -> None:
    deep = compile_library("all/x.libs/libdeep.so", symbol("deep"), "-Wl,-soname,libdeep.so")
    mid = compile_library("all/x.libs/libmid.so", symbol("mid", "deep"), str(deep), "-Wl,-soname,libmid.so")
    compile_library(
        "all/x/x.so", symbol("PyInit_x", "mid"), str(mid), "-Wl,-rpath,$ORIGIN/../x.libs,--disable-new-dtags"
    )
    scene = read_targets([tmp_path / "all"])
    alone = next(item for item in scene if item.name == "libmid.so")
    assert [name for name, _ in Analysis(scene).closure(alone).missing] == ["libdeep.so"]
    assert audit(scene, ["TC2"]).findings == []


def test_a_runpath_is_not_inherited(compile_library: Compile, tmp_path: Path) -> None:
    deep = compile_library("all/x.libs/libdeep.so", symbol("deep"), "-Wl,-soname,libdeep.so")
    mid = compile_library("all/x.libs/libmid.so", symbol("mid", "deep"), str(deep), "-Wl,-soname,libmid.so")
    compile_library(
        "all/x/x.so", symbol("PyInit_x", "mid"), str(mid), "-Wl,-rpath,$ORIGIN/../x.libs,--enable-new-dtags"
    )
    [finding] = findings("TC2", tmp_path / "all")
    assert (finding.code, finding.subject) == ("TC205", "libmid.so")
    assert [place.path for place in finding.places] == ["x.libs/libmid.so", "x/x.so"]


def test_a_file_that_is_not_called_after_its_soname(compile_library: Compile, tmp_path: Path) -> None:
    real = compile_library("all/lib/libreal.so.1.2", symbol("real"), "-Wl,-soname,libreal.so.1")
    compile_library("all/lib/libuser.so", symbol("user", "real"), str(real), "-Wl,-rpath,$ORIGIN,-soname,libuser.so")
    [finding] = findings("TC2", tmp_path / "all")
    assert (finding.code, finding.subject, finding.severity) == ("TC207", "libreal.so.1", Severity.ERROR)
    (tmp_path / "all/lib/libreal.so.1").symlink_to("libreal.so.1.2")
    assert findings("TC2", tmp_path / "all") == []


def test_a_hashed_soname_across_packages(compile_library: Compile, tmp_path: Path) -> None:
    vendored = compile_library("one/one.libs/libx-0123abcd.so.1", symbol("x"), "-Wl,-soname,libx-0123abcd.so.1")
    compile_library("two/two.so", symbol("two", "x"), str(vendored), "-Wl,-rpath,$ORIGIN/../one/one.libs")
    [finding] = findings("TC206", tmp_path / "one", tmp_path / "two")
    assert (finding.subject, [place.owner for place in finding.places]) == ("libx-0123abcd.so.1", ["two/", "one/"])


def test_a_version_that_the_library_lacks(compile_library: Compile, tmp_path: Path) -> None:
    (tmp_path / "new.map").write_text("V_1 { global: a; };\nV_2 { global: b; } V_1;\n")
    (tmp_path / "old.map").write_text("V_1 { global: a; };\n")
    new = compile_library(
        "new/libv.so.1", symbol("a") + symbol("b"), "-Wl,-soname,libv.so.1", f"-Wl,--version-script={tmp_path}/new.map"
    )
    compile_library("all/user.so", symbol("user", "b"), str(new), "-Wl,-rpath,$ORIGIN")
    old = compile_library(
        "old/libv.so.1", symbol("a"), "-Wl,-soname,libv.so.1", f"-Wl,--version-script={tmp_path}/old.map"
    )
    shutil.copy(old, tmp_path / "all")
    [finding] = findings("TC208", tmp_path / "all")
    assert finding.severity is Severity.ERROR
    assert "V_2" in finding.message and "user.so" in finding.message
    shutil.copy(new, tmp_path / "all")
    assert findings("TC208", tmp_path / "all") == []


def test_what_this_machine_has_does_not_count_for_a_wheel(compile_library: Compile, tmp_path: Path) -> None:
    """libgone is in ld.so.cache here, or not: the finding is the same."""
    gone = compile_library("libz.so.1", symbol("gone"), "-Wl,-soname,libz.so.1")
    bad = compile_library("libbz2.so.1.0", symbol("bad"), "-Wl,-soname,libbz2.so.1.0")
    user = compile_library("user.so", symbol("user", "gone", "bad"), str(gone), str(bad))
    wheel = tmp_path / "x-1.0-cp310-cp310-manylinux_2_17_x86_64.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(user, "x/user.so")
    [finding] = findings("TC2", wheel)
    assert (finding.code, finding.subject, finding.severity) == ("TC201", "libbz2.so.1.0", Severity.WARNING)


def test_a_version_table_that_names_what_is_not_needed_any_more(compile_library: Compile, tmp_path: Path) -> None:
    """As after a careless change of NEEDED; the real linker ends such a process."""
    (tmp_path / "v.map").write_text("V_1 { global: a; };\n")
    library = compile_library(
        "libv.so.1", symbol("a"), "-Wl,-soname,libv.so.1", f"-Wl,--version-script={tmp_path}/v.map"
    )
    user = compile_library("all/user.so", symbol("user", "a"), str(library), "-Wl,-rpath,$ORIGIN")
    data = bytearray(user.read_bytes())
    elf = next(iter(read_targets([user])))
    needed = next(entry for entry in elf.elf.entries if entry.tag == 1)
    data[needed.offset - 8 : needed.offset] = (0x6FFFFEF0).to_bytes(8, "little")  # a tag that nobody knows
    user.write_bytes(data)
    findings_ = [finding for finding in findings("TC208", tmp_path / "all") if finding.subject == "libv.so.1"]
    assert len(findings_) == 1
    opener = tmp_path / "open.c"
    opener.write_text("#include <dlfcn.h>\nint main(int c, char **v) { return !dlopen(v[1], RTLD_NOW); }")
    subprocess.run([program("gcc"), "-o", tmp_path / "open", opener, "-ldl"], check=True)
    done = subprocess.run([tmp_path / "open", user], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "needed != NULL" in done.stderr
