"""The rules of the ABI, on the published pairs and on small libraries of both C++ standard libraries."""

from __future__ import annotations

import itertools
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from rattler_build import assemble_package

from glibcs import other_glibcs, this_glibc
from published import TORCH_020, TTNN_065, published
from toolchain import cxx_environment
from tt_conda.audit.audit import audit
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.flavour import flavour_of, undone
from tt_conda.audit.machine import policies
from tt_conda.audit.scene import Baseline
from tt_conda.audit.targets import read_targets
from tt_conda.elf.demangle import demangle

TTNN_062 = "ttnn-shutov-0.62.0.dev20250916-3.10"
TTNN_081 = "ttnn-0.81.1-3.10"
TORCH_010 = "torch-ttnn-shutov-0.1.0-3.10"
TORCH_CHECK_FAIL = "_ZN3c106detail14torchCheckFailEPKcS2_jRK"

Compile = Callable[..., Path]
CompileCxx = Callable[..., Path]


def findings(code: str, *targets: Path, once: bool = False) -> list[Finding]:
    return audit(read_targets(targets, once=once), [code]).findings


@pytest.fixture
def cxx(tmp_path: Path) -> CompileCxx:
    """Compile a C++ library: ``cxx("libc++", "lib/liba.so", source, flags…)``."""

    def make(library: str, path: str, source: str, *flags: str) -> Path:
        prefix = cxx_environment()
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        code = tmp_path / f"{target.name}.cpp"
        code.write_text(source)
        command = [
            f"{prefix}/bin/clang++", f"-stdlib={library}", "-std=c++20", "-O1", "-shared", "-fPIC", "-fuse-ld=lld",
            "-Wl,--allow-shlib-undefined", "-o", str(target), str(code), *flags, f"-L{prefix}/lib",
        ]  # fmt: skip
        environ = {"PATH": f"{prefix}/bin:/usr/bin:/bin", "CONDA_PREFIX": str(prefix)}
        done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
        assert done.returncode == 0, done.stderr
        return target

    return make


def test_the_pair_that_fits() -> None:
    assert findings("TC30", published(TTNN_065), published(TORCH_020), once=True) == []


def test_the_pair_that_lacks_one_symbol() -> None:
    [finding] = findings("TC301", published(TTNN_062), published(TORCH_010), once=True)
    assert finding.severity is Severity.ERROR
    assert finding.subject.startswith(
        "ttnn::operations::conv::conv_transpose2d::ConvTranpose2dOperation::invoke("
        "ttsl::StrongType<unsigned char, ttnn::QueueIdTag>, "
    )
    assert [place.path for place in finding.places] == ["torch_ttnn_cpp_extension/ttnn_device_extension"]


def test_the_pair_that_does_not_fit() -> None:
    found = findings("TC301", published(TTNN_081), published(TORCH_020), once=True)
    assert {finding.subject for finding in found} >= {"tt", "ttnn"}
    assert sum(len(finding.evidence) - 1 for finding in found) > 100
    assert not any("torch" in finding.subject or "c10" in finding.subject for finding in found)


@pytest.mark.parametrize("label", [TTNN_062, "ttnn-0.63.0-3.10", TTNN_081, TORCH_020])
def test_wheels_whose_symbols_are_all_there(label: str) -> None:
    assert findings("TC3", published(label)) == []


def test_python_counts_as_there(compile_library: Compile, tmp_path: Path) -> None:
    compile_library(
        "all/x.so", "void *Py_Some(void); void gone(void); void *PyInit_x(void) { gone(); return Py_Some(); }"
    )
    [finding] = findings("TC301", tmp_path / "all")
    assert (finding.subject, finding.severity) == ("gone", Severity.ERROR)


def test_a_symbol_that_the_opener_of_a_plugin_has(compile_library: Compile, tmp_path: Path) -> None:
    compile_library("all/plugin.so", "int host(void); int plugin(void) { return host(); }")
    [finding] = findings("TC301", tmp_path / "all")
    assert finding.severity is Severity.WARNING
    compile_library("all/libhost.so", "int host(void) { return 1; }")
    [finding] = findings("TC301", tmp_path / "all")
    assert finding.severity is Severity.WARNING
    assert "needs host, which none of its libraries has; libhost.so has it" in finding.message
    assert "Link plugin.so to libhost.so" in finding.remedy


def test_a_weak_symbol_may_be_missing(compile_library: Compile, tmp_path: Path) -> None:
    compile_library("all/x.so", "__attribute__((weak)) int may(void); int PyInit_x(void) { return may ? may() : 0; }")
    assert findings("TC3", tmp_path / "all") == []


def test_a_symbol_in_another_version_is_another_symbol(compile_library: Compile, tmp_path: Path) -> None:
    (tmp_path / "v.map").write_text("V_1 { };\nV_2 { } V_1;\n")
    versioned = compile_library(
        "lib/libv.so", 'int new(void) { return 2; } __asm__(".symver new,b@@V_2"); int a(void) { return 1; }',
        "-Wl,-soname,libv.so", f"-Wl,--version-script={tmp_path}/v.map",
    )  # fmt: skip
    compile_library("all/x.so", "int b(void); int PyInit_x(void) { return b(); }", str(versioned), "-Wl,-rpath,$ORIGIN")
    compile_library(
        "all/libv.so", 'int old(void) { return 2; } __asm__(".symver old,b@V_1"); int d(void) { return 1; } '
        '__asm__(".symver d,c@@V_2");', "-Wl,-soname,libv.so", f"-Wl,--version-script={tmp_path}/v.map",
    )  # fmt: skip
    assert findings("TC208", tmp_path / "all") == []
    [finding] = findings("TC301", tmp_path / "all")
    assert finding.subject == "b"


C10 = """
#include <string>
namespace c10::detail {
__attribute__((visibility("default")))
void torchCheckFail(const char *, const char *, unsigned, const std::string &) %s
}
"""
EXTENSION = (
    C10 % ";" + 'extern "C" void *PyInit_ext() { c10::detail::torchCheckFail("", "", 1, "no"); return nullptr; }'
)


@pytest.mark.parametrize(("theirs", "ours"), [("libstdc++", "libc++"), ("libc++", "libstdc++")])
def test_the_other_standard_library(cxx: CompileCxx, tmp_path: Path, theirs: str, ours: str) -> None:
    """An extension that is compiled with libc++, and PyTorch, which is compiled with libstdc++."""
    c10 = cxx(theirs, "all/libc10.so", C10 % "{}", "-Wl,-soname,libc10.so")
    extension = cxx(ours, "all/ext.so", EXTENSION, str(c10), "-Wl,-rpath,$ORIGIN")
    assert any(name.startswith(TORCH_CHECK_FAIL) for name in read_targets([c10]).objects[str(c10)].elf.symbols.defined)
    [finding] = [f for f in findings("TC30", tmp_path / "all") if f.code != "TC304"]
    assert (finding.code, finding.subject, finding.severity) == ("TC302", "libc10.so", Severity.ERROR)
    assert f"ext.so was compiled with {ours} " in finding.message
    assert f"libc10.so with {theirs} " in finding.message
    assert "c10::detail::torchCheckFail(" in finding.message
    assert finding.evidence[0].startswith(f"needed: {TORCH_CHECK_FAIL}")
    # The same when both are compiled with one library: nothing to say.
    cxx(ours, "all/libc10.so", C10 % "{}", "-Wl,-soname,libc10.so")
    assert [f for f in findings("TC30", extension.parent) if f.code != "TC304"] == []


PLAIN = """
#include <iosfwd>
#include <optional>
#include <vector>
namespace lib {
__attribute__((visibility("default"))) void f(std::optional<long>) %s
__attribute__((visibility("default"))) void g(std::ostream &, std::vector<int> *) %s
}
"""


def test_types_that_one_library_has_in_std_itself(cxx: CompileCxx, tmp_path: Path) -> None:
    """libstdc++ has them in ``std``, libc++ in ``std::__1``: no mark says so but that the other one has them."""
    library = cxx("libc++", "all/lib.so", PLAIN % ("{}", "{}"), "-Wl,-soname,lib.so")
    code = 'extern "C" void *PyInit_ext(std::ostream *o) { lib::f({}); lib::g(*o, nullptr); return nullptr; }'
    cxx("libstdc++", "all/ext.so", PLAIN % (";", ";") + code, str(library), "-Wl,-rpath,$ORIGIN")
    [finding] = [f for f in findings("TC30", tmp_path / "all") if f.code != "TC304"]
    assert (finding.code, finding.subject) == ("TC302", "lib.so")
    assert "ext.so was compiled with libstdc++ and lib.so with libc++ (std::__1)" in finding.message
    assert [line.split()[0] for line in finding.evidence] == ["needed:", "there:"] * 2


MARKED = """
#include <chrono>
#include <filesystem>
#include <string>
namespace lib {
__attribute__((visibility("default"))) std::string name(int) %s
__attribute__((visibility("default"))) void wait(std::chrono::milliseconds) %s
__attribute__((visibility("default"))) void open(const std::filesystem::path &) %s
}
"""


def test_names_that_only_one_library_marks(cxx: CompileCxx, tmp_path: Path) -> None:
    """GCC's tag for what returns a string, libc++'s namespace of file systems and its type of durations."""
    library = cxx("libstdc++", "all/lib.so", MARKED % ('{ return ""; }', "{}", "{}"), "-Wl,-soname,lib.so")
    code = 'extern "C" void *PyInit_ext() { lib::name(1); lib::wait({}); lib::open("."); return nullptr; }'
    cxx("libc++", "all/ext.so", MARKED % (";", ";", ";") + code, str(library), "-Wl,-rpath,$ORIGIN")
    [finding] = [f for f in findings("TC30", tmp_path / "all") if f.code != "TC304"]
    assert (finding.code, finding.subject) == ("TC302", "lib.so")
    assert [line.split()[0] for line in finding.evidence] == ["needed:", "there:"] * 3


def test_the_symbol_of_the_seed() -> None:
    wanted = TORCH_CHECK_FAIL + "NSt3__112basic_stringIcNS3_11char_traitsIcEENS3_9allocatorIcEEEE"
    given = TORCH_CHECK_FAIL + "NSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"
    old = TORCH_CHECK_FAIL + "Ss"
    assert len({demangle(name) for name in (wanted, given, old)}) == 3
    assert undone(wanted) == undone(given) == undone(old)


def test_two_runtimes_in_one_closure(cxx: CompileCxx, tmp_path: Path) -> None:
    prefix = cxx_environment()
    runpath = f"-Wl,-rpath,$ORIGIN:{prefix}/lib"
    head = "#include <iostream>\n"
    giver = head + 'namespace api { int plain(int x) { return x; } } extern "C" int one() { std::cout << 1; return 1; }'
    one = cxx("libstdc++", "all/libone.so", giver, "-Wl,-soname,libone.so", runpath)
    by_c = head + 'extern "C" int one(); extern "C" int PyInit_c() { std::cout << 1; return one(); }'
    cxx("libc++", "all/c.so", by_c, str(one), runpath)
    [apart] = findings("TC304", tmp_path / "all")
    assert apart.severity is Severity.NOTE
    assert apart.subject == "libc++.so.1 libstdc++.so.6"
    across = (
        head + 'namespace api { int plain(int); } extern "C" int PyInit_c() { std::cout << 1; return api::plain(0); }'
    )
    cxx("libc++", "all/c.so", across, str(one), runpath)
    [crossing] = findings("TC304", tmp_path / "all")
    assert crossing.severity is Severity.ERROR
    assert "api::plain(int)" in crossing.message
    flavours = {item.name: flavour_of(item) for item in read_targets([tmp_path / "all"])}
    assert flavours == {"libone.so": "libstdc++", "c.so": "libc++"}


def wheel(folder: Path, tag: str, *files: Path) -> Path:
    path = folder / f"x-1.0-cp310-cp310-{tag}_x86_64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file in files:
            archive.write(file, f"x/{file.name}")
    return path


def test_newer_than_the_platform_tag(compile_library: Compile, tmp_path: Path) -> None:
    source = "#include <stdlib.h>\nvoid *PyInit_x(void) { return aligned_alloc(8, 8); }"  # GLIBC_2.16
    module = compile_library("x.so", source)
    assert findings("TC303", wheel(tmp_path, "manylinux_2_17", module)) == []
    [finding] = findings("TC303", wheel(tmp_path, "manylinux_2_12", module))
    assert "GLIBC_2.16 (for aligned_alloc)" in finding.message
    assert "GLIBC_2.12 (the platform tag in its file name)" in finding.message


def test_wheels_that_need_more_than_they_would_have_to_promise() -> None:
    scene = read_targets([published(TTNN_081)])
    scene.baselines = [Baseline("ttnn 0.81.1", (2, 28), "a test", manylinux=True)]
    found = {finding.subject: finding for finding in audit(scene, ["TC303"]).findings}
    assert "GLIBC_2.34" in found["ttnn GLIBC"].message
    assert "GLIBCXX_3.4.29" in found["ttnn GLIBCXX"].message


def test_the_policies_never_get_older() -> None:
    rows = [newest for _, newest in policies().versions]
    for older, newer in itertools.pairwise(rows):
        assert all(older[family] <= newer[family] for family in older)
    assert policies().newest((2, 33)) == policies().newest((2, 31))
    assert {"libstdc++.so.6", "libGL.so.1"} <= policies().sonames


def test_our_linker_agrees(cxx: CompileCxx, tmp_path: Path) -> None:
    """What is said of the other standard library is what the linker says."""
    prefix = cxx_environment()
    c10 = cxx("libstdc++", "all/libc10.so", C10 % "{}", "-Wl,-soname,libc10.so")
    extension = cxx("libc++", "all/ext.so", EXTENSION, str(c10), f"-Wl,-rpath,$ORIGIN:{prefix}/lib")
    code = f"import ctypes, os; ctypes.CDLL({str(extension)!r}, os.RTLD_NOW)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    [finding] = findings("TC302", tmp_path / "all")
    assert f"undefined symbol: {finding.evidence[0].removeprefix('needed: ')}" in done.stderr


@pytest.mark.parametrize("says_so", [True, False])
def test_a_named_version_of_glibc(compile_library: Compile, tmp_path: Path, says_so: bool) -> None:
    """Compact relocations: the linker adds GLIBC_ABI_DT_RELR where the library needs libc at all."""
    source = 'int puts(const char *); static int a; int *b = &a; void *PyInit_x(void) { puts(""); return b; }'
    if not says_so:
        source = "static int a; int *b = &a; void *PyInit_x(void) { return b; }"
    module = compile_library("x.so", source, "-Wl,-z,pack-relative-relocs")
    [object_] = read_targets([module])
    assert object_.elf.has_relr
    assert any("GLIBC_ABI_DT_RELR" in versions for versions in object_.elf.version_needs.values()) == says_so
    assert findings("TC303", wheel(tmp_path, "manylinux_2_36", module)) == []
    [finding] = findings("TC303", wheel(tmp_path, "manylinux_2_35", module))
    assert "GLIBC_ABI_DT_RELR, which is glibc 2.36" in finding.message
    assert "declares only GLIBC_2.35" in finding.message


@pytest.mark.parametrize(
    ("depends", "limit"),
    [(["__glibc >=2.28,<3.0.a0"], "2.28"), (["__glibc >=2.17,<3.0.a0", "__glibc >=2.28"], "2.28"),
     (["__glibc>=2.17"], "2.17"), (["conda-forge::__glibc >=2.17"], "2.17"), (["__glibc ==2.35"], "2.35"),
     (["__glibc 2.35.*"], "2.35"), (["__glibc >=2.36"], None), (["__glibc >=2.17", "__glibc >=2.36"], None),
     ([], None)],
)  # fmt: skip
def test_a_named_version_and_a_conda_package(
    compile_library: Compile, tmp_path: Path, depends: list[str], limit: str | None
) -> None:
    source = 'int puts(const char *); static int a; int *b = &a; void *PyInit_x(void) { puts(""); return b; }'
    module = compile_library("staged/lib/x.so", source, "-Wl,-z,pack-relative-relocs")
    package = assemble_package("x", "1.0", "linux-64", "0", tmp_path, files_dir=module.parents[1], depends=depends).path
    found = findings("TC303", package)
    assert [f"declares only GLIBC_{limit} " in finding.message for finding in found] == ([True] if limit else [])


def test_linkers_agree_on_the_named_version(compile_library: Compile, tmp_path: Path) -> None:
    source = 'int puts(const char *); static int a; int *b = &a; int *PyInit_x(void) { puts(""); return b; }'
    module = compile_library("x.so", source, "-Wl,-z,pack-relative-relocs")
    assert this_glibc().opens(module) == ""
    for glibc in other_glibcs():
        assert ("GLIBC_ABI_DT_RELR" in glibc.opens(module)) == (glibc.version < (2, 36)), glibc
