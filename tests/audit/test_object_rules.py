"""Rules about single objects that the linker refuses, each compared with real linkers: stack, alignment, TLS."""

from __future__ import annotations

import shlex
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from glibcs import other_glibcs, this_glibc
from handmade import make_wheel
from toolchain import program
from tt_conda.audit.audit import audit
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.targets import read_targets
from tt_conda.carve import Rules, carve
from tt_conda.elf.read import PT_GNU_STACK, PT_LOAD, read
from tt_conda.elf.rewrite import _patchelf_program

Compile = Callable[..., Path]

ONE = "int one(void) { return 1; }"


def findings(code: str, *targets: Path) -> list[Finding]:
    return audit(read_targets(targets), [code]).findings


def headers(path: Path, kind: int) -> list[int]:
    """Offsets in the file of the program headers of one kind."""
    data = path.read_bytes()
    (table,) = struct.unpack_from("<Q", data, 32)
    count = struct.unpack_from("<H", data, 56)[0]
    return [table + 56 * i for i in range(count) if struct.unpack_from("<I", data, table + 56 * i)[0] == kind]


def patch(path: Path, form: str, *edits: tuple[int, int]) -> Path:
    data = bytearray(path.read_bytes())
    for at, value in edits:
        struct.pack_into(form, data, at, value)
    path.write_bytes(data)
    return path


def without_stack_header(path: Path) -> Path:
    return patch(path, "<I", *((at, 0) for at in headers(path, PT_GNU_STACK)))


def assembled(tmp_path: Path, target: Path) -> Path:
    """As in ctranslate2: one assembler file that does not say what stack it needs."""
    source = tmp_path / "asm.S"
    source.write_text(".globl asm_one\n.type asm_one, @function\nasm_one: mov $1, %eax\nret\n")
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([program("gcc"), "-shared", "-nostdlib", "-o", target, source, "-z", "execstack"], check=True)
    return target


ASKING = {
    "the flag": lambda compile_library, tmp_path: compile_library("all/libx.so", ONE, "-z", "execstack"),
    "no header": lambda compile_library, tmp_path: without_stack_header(compile_library("all/libx.so", ONE)),
    "assembler": lambda compile_library, tmp_path: assembled(tmp_path, tmp_path / "all/libx.so"),
}


@pytest.mark.parametrize("how", ASKING)
def test_an_executable_stack(compile_library: Compile, tmp_path: Path, how: str) -> None:
    library = ASKING[how](compile_library, tmp_path)
    [finding] = findings("TC2", tmp_path / "all")
    assert (finding.code, finding.severity, finding.subject) == ("TC212", Severity.ERROR, "libx.so")
    command = shlex.split(finding.remedy.partition(": ")[2])
    assert command[0] == "patchelf"
    subprocess.run([_patchelf_program(), *command[1:]], check=True, cwd=library.parent)
    assert findings("TC2", tmp_path / "all") == []
    assert this_glibc().opens(library) == ""


def test_an_ordinary_stack(compile_library: Compile, tmp_path: Path) -> None:
    compile_library("all/libx.so", ONE)
    assert findings("TC2", tmp_path / "all") == []


@pytest.mark.parametrize("how", ASKING)
def test_linkers_refuse_an_executable_stack(compile_library: Compile, tmp_path: Path, how: str) -> None:
    library = ASKING[how](compile_library, tmp_path)
    for glibc in other_glibcs():
        refused = "cannot enable executable stack" in glibc.opens(library)
        assert refused == (glibc.version >= (2, 41)), glibc


def test_what_needs_it_is_named(compile_library: Compile, tmp_path: Path) -> None:
    bad = compile_library("all/libx.so", ONE, "-z", "execstack", "-Wl,-soname,libx.so")
    compile_library("all/m.so", "int one(void); int PyInit_m(void) { return one(); }", str(bad), "-Wl,-rpath,$ORIGIN")
    [finding] = findings("TC2", tmp_path / "all")
    assert finding.message.endswith("it cannot be opened, nor can m.so, which needs it.")


def test_only_a_program_starts_with_it(compile_library: Compile, tmp_path: Path) -> None:
    bad = compile_library("all/libx.so", ONE, "-z", "execstack", "-Wl,-soname,libx.so")
    code = tmp_path / "start.c"
    code.write_text("int one(void); int main(void) { return one() - 1; }")
    start = tmp_path / "all/start"
    subprocess.run([program("gcc"), "-o", start, code, bad, "-Wl,-rpath,$ORIGIN"], check=True)
    [finding] = findings("TC2", tmp_path / "all")
    assert (finding.code, finding.severity) == ("TC212", Severity.WARNING)
    assert this_glibc().starts(start) == ""


def test_aarch64_has_another_default(compile_library: Compile, tmp_path: Path) -> None:
    library = without_stack_header(compile_library("all/libx.so", ONE))
    patch(library, "<H", (18, 183))
    assert findings("TC212", tmp_path / "all") == []


@pytest.mark.parametrize("how", ASKING)
def test_carving_clears_it_and_says_so(compile_library: Compile, tmp_path: Path, how: str) -> None:
    library = ASKING[how](compile_library, tmp_path)
    wheel = make_wheel(tmp_path, {"pkg/libx.so": library.read_bytes()}, "pkg-1.0-py3-none-manylinux_2_34_x86_64.whl")
    report = carve([wheel], tmp_path / "prefix", Rules(own=["libx.so"]), python="3.12")
    [carved] = report.libraries
    assert carved.stack_cleared
    made = tmp_path / "prefix" / carved.path
    assert not read(made).wants_executable_stack
    assert this_glibc().opens(made) == ""
    assert findings("TC212", tmp_path / "prefix") == []


def shifted(path: Path) -> Path:
    """The last segment eight bytes off its page, as `strip` left files that patchelf had rewritten."""
    at = headers(path, PT_LOAD)[-1]
    offset, address = struct.unpack_from("<QQ", path.read_bytes(), at + 8)
    return patch(path, "<Q", (at + 8, offset + 8), (at + 16, address))


def aligned(path: Path, alignment: int) -> Path:
    return patch(path, "<Q", *((at + 48, alignment) for at in headers(path, PT_LOAD)))


def tagged(folder: Path, library: Path, platform: str) -> Path:
    return make_wheel(folder, {"pkg/libx.so": library.read_bytes()}, f"pkg-1.0-py3-none-{platform}.whl")


def test_segments_off_their_pages(compile_library: Compile, tmp_path: Path) -> None:
    library = shifted(compile_library("all/libx.so", ONE))
    for target in (library.parent, tagged(tmp_path, library, "manylinux_2_36_x86_64")):
        [finding] = findings("TC213", target)
        assert finding.severity is Severity.ERROR
        assert "no machine can load it" in finding.message
    assert "not page-aligned" in this_glibc().opens(library)


def test_linkers_agree_on_segments_off_their_pages(compile_library: Compile, tmp_path: Path) -> None:
    library = shifted(compile_library("all/libx.so", ONE))
    assert all("address/offset not" in glibc.opens(library) for glibc in other_glibcs())


STATED = (0, 1, 3, 0x200, 0x1800, 0x10000, 0x200000)


@pytest.mark.parametrize("alignment", STATED)
def test_the_stated_alignment(compile_library: Compile, tmp_path: Path, alignment: int) -> None:
    library = aligned(compile_library("all/libx.so", ONE), alignment)
    assert findings("TC213", tagged(tmp_path, library, "manylinux_2_35_x86_64")) == []
    [finding] = findings("TC213", tagged(tmp_path, library, "manylinux_2_34_x86_64"))
    assert (finding.severity, "before 2.35" in finding.message) == (Severity.ERROR, True)
    [unknown] = findings("TC213", library.parent)
    assert unknown.severity is Severity.WARNING
    assert (this_glibc().opens(library) == "") == (this_glibc().version >= (2, 35))


@pytest.mark.parametrize("alignment", STATED)
def test_linkers_agree_on_the_stated_alignment(compile_library: Compile, tmp_path: Path, alignment: int) -> None:
    library = aligned(compile_library("all/libx.so", ONE), alignment)
    for glibc in other_glibcs():
        assert (glibc.opens(library) == "") == (glibc.version >= (2, 35)), glibc


@pytest.mark.parametrize("size", [0x1000, 0x4000, 0x10000])
def test_pages_of_aarch64(compile_library: Compile, tmp_path: Path, size: int) -> None:
    """Only the headers are that machine's: that kernels map whole pages is all that matters."""
    library = compile_library("all/libx.so", ONE, f"-Wl,-z,max-page-size={size},-z,common-page-size=4096")
    patch(library, "<H", (18, 183))
    found = findings("TC213", tagged(tmp_path, library, "manylinux2014_aarch64"))
    expected = {0x1000: ["16 and 64 KiB"], 0x4000: ["64 KiB"], 0x10000: []}[size]
    assert [f.severity for f in found] == [Severity.ERROR] * len(expected)
    assert all(f"pages of {text} cannot" in f.message for f, text in zip(found, expected, strict=True))
    assert [f.severity for f in findings("TC213", library.parent)] == [Severity.WARNING] * len(expected)


def thread_local(compile_library: Compile, name: str, size: int, *flags: str, more: str = "") -> Path:
    model = 'tls_model("initial-exec")'
    variable = name.partition(".")[0].rpartition("/")[2]
    code = f"__thread char {variable}[{size}] __attribute__(({model} {more}));"
    code += f"char *f_{variable}(void) {{ return {variable}; }}"
    return compile_library(name, code, *flags)


@pytest.mark.parametrize(("size", "fits"), [(1600, True), (1664, True), (1700, False), (1800, False), (4000, False)])
def test_static_tls(compile_library: Compile, tmp_path: Path, size: int, fits: bool) -> None:
    library = thread_local(compile_library, "all/x.so", size)
    found = findings("TC2", library.parent)
    assert [f.code for f in found] == ([] if fits else ["TC214"])
    refused = "static TLS block" in this_glibc().opens(library)
    assert refused == (not fits) or 1664 < size <= 1728  # rounding may leave up to 64 bytes more
    code = (
        f'static __thread char x[{size}] __attribute__((tls_model("initial-exec"))); char *f(int i) {{ return x + i; }}'
    )
    hidden = compile_library("hidden/x.so", code)
    assert [f.code for f in findings("TC2", hidden.parent)] == ([] if fits else ["TC214"])
    dynamic = compile_library("dynamic/x.so", f"__thread char x[{size}]; char *f(void) {{ return x; }}",
                              "-ftls-model=global-dynamic")  # fmt: skip
    assert findings("TC2", dynamic.parent) == []
    assert this_glibc().opens(dynamic) == ""


@pytest.mark.parametrize("size", [1664, 1800])
def test_linkers_agree_on_static_tls(compile_library: Compile, tmp_path: Path, size: int) -> None:
    library = thread_local(compile_library, "all/x.so", size)
    for glibc in other_glibcs():
        assert ("static TLS block" in glibc.opens(library)) == (size > 1664), glibc


def test_static_tls_of_a_closure(compile_library: Compile, tmp_path: Path) -> None:
    first = thread_local(compile_library, "all/liba.so", 1000, "-Wl,-soname,liba.so")
    thread_local(compile_library, "all/b.so", 1000, "-Wl,--no-as-needed", str(first), "-Wl,-rpath,$ORIGIN")
    [finding] = findings("TC2", tmp_path / "all")
    assert (finding.code, finding.severity) == ("TC214", Severity.ERROR)
    assert "need 2,016 bytes" in finding.message
    assert "static TLS block" in this_glibc().opens(tmp_path / "all/b.so")


def test_static_tls_of_another_objects_variable(compile_library: Compile, tmp_path: Path) -> None:
    big = compile_library(
        "all/libbig.so", "__thread char big[3000]; char *f(void) { return big; }", "-Wl,-soname,libbig.so"
    )
    code = 'extern __thread char big[3000] __attribute__((tls_model("initial-exec"))); char *g(void) { return big; }'
    user = compile_library("all/user.so", code, str(big), "-Wl,-rpath,$ORIGIN")
    [finding] = findings("TC2", tmp_path / "all")
    assert (finding.code, finding.subject) == ("TC214", "libbig.so")
    assert "static TLS block" in this_glibc().opens(user)
    assert this_glibc().opens(big) == ""


def test_static_tls_of_several_roots(compile_library: Compile, tmp_path: Path) -> None:
    files = [thread_local(compile_library, f"all/m{at}.so", 1000) for at in range(2)]
    [finding] = findings("TC2", tmp_path / "all")
    assert (finding.code, finding.severity) == ("TC214", Severity.NOTE)
    assert "static TLS block" in this_glibc().opens(*files)
    assert all(this_glibc().opens(file) == "" for file in files)


def test_static_tls_of_an_allocator(compile_library: Compile, tmp_path: Path) -> None:
    """It is preloaded, or linked to a program; what depends on it and is opened is another matter."""
    code = (
        'static __thread char x[4000] __attribute__((tls_model("initial-exec"))); char *f(int i) { return x + i; }'
        "void *malloc(unsigned long size) { return 0; }"
    )
    library = compile_library("all/libown.so", code, "-Wl,-soname,libown.so")
    [finding] = findings("TC2", tmp_path / "all")
    assert (finding.code, finding.severity) == ("TC214", Severity.NOTE)
    compile_library("all/module.so", "", "-Wl,--no-as-needed", str(library), "-Wl,-rpath,$ORIGIN")
    [finding] = findings("TC2", tmp_path / "all")
    assert (finding.code, finding.severity) == ("TC214", Severity.ERROR)


def test_static_tls_with_a_coarse_alignment(compile_library: Compile, tmp_path: Path) -> None:
    library = thread_local(compile_library, "all/x.so", 128, more=", aligned(128)")
    [finding] = findings("TC2", library.parent)
    assert "aligned to 128" in finding.message
    assert "static TLS block" in this_glibc().opens(library)


TEMPLATE = """
template <typename T> struct Registry { static T value; };
template <typename T> T Registry<T>::value;
struct Config { char data[%d]; };
extern "C" char *at(int i) { return Registry<Config>::value.data + i; }
extern "C" int PyInit_m%d() { return 0; }
"""


def cxx(target: Path, code: str, *flags: str) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    source = target.with_suffix(".cpp")
    source.write_text(code)
    subprocess.run([program("gcc"), "-x", "c++", "-shared", "-fPIC", "-O0", "-nostdlib", "-o", target, source, *flags],
                   check=True)  # fmt: skip
    source.unlink()
    return target


@pytest.mark.parametrize(
    ("sizes", "severity"), [((4, 40), Severity.ERROR), ((40, 4), Severity.ERROR), ((8, 8), Severity.NOTE)]
)
def test_unique_symbols(tmp_path: Path, sizes: tuple[int, int], severity: Severity) -> None:
    first, second = (cxx(tmp_path / f"p{at}/m{at}.so", TEMPLATE % (size, at)) for at, size in enumerate(sizes))
    [finding] = findings("TC403", first.parent, second.parent)
    assert (finding.severity, len(finding.places)) == (severity, 2)
    told = subprocess.run([sys.executable, "-c", TOGETHER, first, second], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "one"


TOGETHER = """
import ctypes, sys
first, second = (ctypes.CDLL(path) for path in sys.argv[1:])
for each in (first, second):
    each.at.restype = ctypes.c_void_p
print("one" if first.at(0) == second.at(0) else "two")
"""


@pytest.mark.parametrize("flag", ["-fvisibility=hidden", "-fno-gnu-unique"])
def test_symbols_that_are_not_unique(tmp_path: Path, flag: str) -> None:
    export = TEMPLATE.replace('extern "C" ', 'extern "C" __attribute__((visibility("default"))) ')
    first, second = (cxx(tmp_path / f"p{at}/m{at}.so", export % (size, at), flag) for at, size in enumerate((4, 40)))
    assert findings("TC403", first.parent, second.parent) == []
    told = subprocess.run([sys.executable, "-c", TOGETHER, first, second], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "two"


def test_unique_symbols_of_one_package(tmp_path: Path) -> None:
    for at, size in enumerate((4, 40)):
        cxx(tmp_path / f"p/m{at}.so", TEMPLATE % (size, at))
    assert findings("TC403", tmp_path / "p") == []
