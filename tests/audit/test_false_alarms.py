"""What looks wrong and is not, on small compiled objects; the loader is asked where it has a word."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from real_loader import opened
from toolchain import program
from tt_conda.audit.audit import audit
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.loader import this_system
from tt_conda.audit.targets import read_targets

Compile = Callable[..., Path]


def findings(code: str, *targets: Path, pid: int | None = None) -> list[Finding]:
    return audit(read_targets(targets, pid=pid), [code]).findings


def wheel(folder: Path, *files: Path, tag: str = "manylinux_2_17_x86_64") -> Path:
    made = folder / f"x-1.0-cp312-cp312-{tag}.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for file in files:
            archive.write(file, f"x/{file.name}")
    return made


# ---- what every process with Python has


@pytest.mark.parametrize("call", ["sin", "dlopen", "pthread_create", "shm_open", "openpty"])
def test_what_every_python_brings_need_not_be_linked(compile_library: Compile, tmp_path: Path, call: str) -> None:
    # -nostdlib and a library that only has the name: the reference has no version, as of what was never linked
    code = f"int {call}(void); int PyInit_ext(void) {{ return {call}(); }}"
    named = compile_library("named/libnamed.so", f"int {call}(void) {{ return 0; }}", "-Wl,-soname,libc.so.6")
    file = compile_library("all/ext.so", code, str(named))
    assert opened(file) == ""
    assert findings("TC", tmp_path / "all") == []
    assert findings("TC", wheel(tmp_path, file)) == []


def test_what_no_python_brings_is_still_missing(compile_library: Compile, tmp_path: Path) -> None:
    file = compile_library("all/ext.so", "int cheese(void); int PyInit_ext(void) { return cheese(); }")
    assert "undefined symbol: cheese" in opened(file)
    [finding] = findings("TC", tmp_path / "all")
    assert (finding.code, finding.severity) == ("TC301", Severity.ERROR)


def test_a_program_brings_nothing_of_pythons(compile_library: Compile, tmp_path: Path) -> None:
    compile_library("all/ext.so", "int PyInit_ext(void) { return 1; }")
    named = compile_library("named/libnamed.so", "double sin(double x) { return x; }", "-Wl,-soname,libnamed.so")
    source, started = tmp_path / "start.c", tmp_path / "all/start"
    source.write_text("double sin(double); int main(int c, char **v) { return sin(c) > 2; }")
    command = [program("gcc"), "-fno-builtin", "-Wl,-z,now", "-o", started, source, named]
    subprocess.run(command, check=True)
    subprocess.run(["patchelf", "--remove-needed", "libnamed.so", started], check=True)
    done = subprocess.run([started], capture_output=True, text=True, check=False)
    assert "undefined symbol: sin" in done.stderr
    [finding] = findings("TC", tmp_path / "all")
    assert (finding.code, finding.subject, finding.severity) == ("TC301", "sin", Severity.ERROR)


@pytest.mark.parametrize("part", ["libdl.so.2", "libpthread.so.0", "librt.so.1", "libutil.so.1", "libanl.so.1"])
def test_parts_of_the_c_library_that_are_only_names_are_not_missing(
    compile_library: Compile, tmp_path: Path, part: str
) -> None:
    """Since glibc 2.34 the C library has them; what needs them loads without the files."""
    named = compile_library(f"named/{part}", "int x(void) { return 0; }", f"-Wl,-soname,{part}")
    code = "int puts(const char *); int x(void); int PyInit_ext(void) { return puts(0) + (x ? x() : 0); }"
    file = compile_library("all/ext.so", code.replace("int x", "__attribute__((weak)) int x"), "-Wl,--no-as-needed",
                           str(named))  # fmt: skip
    without = shutil.copy(file, tmp_path / "without.so")
    subprocess.run(["patchelf", "--remove-needed", part, without], check=True)
    assert opened(without) == ""
    libc = next(path for name, path in this_system().cache.items() if name == "libc.so.6")

    def found(cache: dict[str, str]) -> list[Finding]:
        scene = read_targets([tmp_path / "all"])
        scene.system = replace(this_system(), cache=cache, default=())
        return audit(scene).findings

    assert found({"libc.so.6": libc, "ld-linux-x86-64.so.2": "/lib64/ld-linux-x86-64.so.2"}) == []
    assert [each.code for each in found({})] == ["TC201"]


# ---- debug files


@pytest.fixture
def debug(compile_library: Compile, tmp_path: Path) -> Path:
    """A library with its debug information in a file beside it."""
    library = compile_library("all/libfoo.so", "int counter; int foo(void) { return ++counter; }", "-g",
                              "-Wl,-soname,libfoo.so,--build-id")  # fmt: skip
    apart = library.with_name("libfoo.so.debug")
    subprocess.run(["objcopy", "--only-keep-debug", library, apart], check=True)
    return apart


def test_a_debug_file_is_no_library(debug: Path, tmp_path: Path) -> None:
    assert opened(debug) != ""
    assert findings("TC", tmp_path / "all") == []


def test_a_debug_file_with_the_librarys_program_headers(debug: Path, tmp_path: Path) -> None:
    """As eu-strip and older binutils make them: sizes and offsets of what is not there."""
    library, data = debug.with_name("libfoo.so").read_bytes(), bytearray(debug.read_bytes())
    start, count = struct.unpack_from("<Q", library, 32)[0], struct.unpack_from("<H", library, 56)[0]
    data[start : start + 56 * count] = library[start : start + 56 * count]
    for name in ("libfoo.so.debug", "libfoo.so.1", ".build-id/ab/cdef.debug"):
        file = tmp_path / "all" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        assert opened(file) != ""
    assert findings("TC", tmp_path / "all") == []


# ---- alternatives


def missing(compile_library: Compile) -> Path:
    """A library that is nowhere when it is needed."""
    return compile_library("gone/libdriver.so.1", "int driver(void) { return 0; }", "-Wl,-soname,libdriver.so.1")


@pytest.mark.parametrize(
    ("works", "fails"),
    [("cpu/_C.so", "cuda/_C.so"), ("_C_cpu.so", "_C_cuda.so"), ("ext_avx2.so", "ext_avx512.so"),
     ("_C.cpython-312-x86_64-linux-gnu.so", "gpu/_C.cpython-312-x86_64-linux-gnu.so")],
)  # fmt: skip
def test_an_alternative_module_that_does_not_load_is_a_warning(
    compile_library: Compile, tmp_path: Path, works: str, fails: str
) -> None:
    (tmp_path / "env/conda-meta").mkdir(parents=True)
    init = [f"PyInit_{Path(each).name.partition('.')[0]}" for each in (works, fails)]
    one = compile_library(f"env/lib/{works}", f"int {init[0]}(void) {{ return 1; }}")
    gone = missing(compile_library)
    other = compile_library(
        f"env/lib/{fails}", f"int driver(void); int {init[1]}(void) {{ return driver(); }}", str(gone)
    )
    assert opened(one) == "" and "libdriver.so.1: cannot open" in opened(other)
    [finding] = [each for each in findings("TC", tmp_path / "env") if each.severity is not Severity.NOTE]
    assert (finding.code, finding.severity) == ("TC201", Severity.WARNING)
    one.unlink()
    [finding] = findings("TC201", tmp_path / "env")
    assert finding.severity is Severity.ERROR


def test_an_alternative_library_that_does_not_load_is_a_warning(compile_library: Compile, tmp_path: Path) -> None:
    """As MKL's threading layers: the same functions, over different runtimes."""
    (tmp_path / "env/conda-meta").mkdir(parents=True)
    body = "".join(f"int layer_{n}(void) {{ return {n}; }} " for n in range(3))
    one = compile_library("env/lib/libmk_sequential.so", body, "-Wl,-soname,libmk_sequential.so")
    code = f"int driver(void); {body} int start(void) {{ return driver(); }}"
    other = compile_library("env/lib/libmk_thread.so", code,
                            str(missing(compile_library)), "-Wl,-soname,libmk_thread.so")  # fmt: skip
    assert opened(one) == "" and opened(other) != ""
    [finding] = findings("TC201", tmp_path / "env")
    assert finding.severity is Severity.WARNING
    # what is loaded is no alternative
    compile_library("env/lib/ext.so", "int start(void); int PyInit_ext(void) { return start(); }", str(other),
                    "-Wl,-rpath,$ORIGIN")  # fmt: skip
    assert [each.severity for each in findings("TC201", tmp_path / "env")] == [Severity.ERROR]


def test_an_alternative_that_lacks_a_symbol_or_a_version_is_a_warning(compile_library: Compile, tmp_path: Path) -> None:
    one = compile_library("all/cpu/_C.so", "int PyInit__C(void) { return 1; }")
    other = compile_library("all/gpu/_C.so", "int driver(void); int PyInit__C(void) { return driver(); }")
    assert opened(one) == "" and "undefined symbol: driver" in opened(other)
    [finding] = findings("TC301", tmp_path / "all")
    assert finding.severity is Severity.WARNING
    (tmp_path / "new.map").write_text("V_1 { };\nV_2 { global: driver; } V_1;\n")
    (tmp_path / "old.map").write_text("V_1 { global: other; };\n")
    new = compile_library("new/libdriver.so.1", "int driver(void) { return 0; }", "-Wl,-soname,libdriver.so.1",
                          f"-Wl,--version-script={tmp_path}/new.map")  # fmt: skip
    compile_library("all/gpu/libdriver.so.1", "int other(void) { return 0; }", "-Wl,-soname,libdriver.so.1",
                    f"-Wl,--version-script={tmp_path}/old.map")  # fmt: skip
    other = compile_library("all/gpu/_C.so", "int driver(void); int PyInit__C(void) { return driver(); }", str(new),
                            "-Wl,-rpath,$ORIGIN")  # fmt: skip
    assert "version `V_2' not found" in opened(other)
    [finding] = findings("TC208", tmp_path / "all")
    assert finding.severity is Severity.WARNING


# ---- what an opener loads first


def opener(compile_library: Compile, *names: str, flags: str = "RTLD_NOW | RTLD_GLOBAL") -> Path:
    """A library that opens others, found in its own folder, in this order."""
    calls = " ".join(f'if (!dlopen("{name}", {flags})) return 1;' for name in names)
    code = f"#define _GNU_SOURCE\n#include <dlfcn.h>\nint start(void) {{ {calls} return 0; }}"
    return compile_library("all/libopener.so", code, "-Wl,-soname,libopener.so", "-Wl,-rpath,$ORIGIN")


def started(library: Path) -> str:
    """What the library's function returns."""
    code = "import ctypes, sys; sys.exit(ctypes.CDLL(sys.argv[1]).start())"
    done = subprocess.run([sys.executable, "-I", "-c", code, library], capture_output=True, text=True, check=False)
    return "loads" if done.returncode == 0 else "fails"


def test_a_symbol_of_what_the_opener_loads_first(compile_library: Compile, tmp_path: Path) -> None:
    compile_library("all/libkernels.so", "int kernel(void) { return 1; }", "-Wl,-soname,libkernels.so")
    plugin = compile_library("all/libplugin.so.2", "int kernel(void); int plugin(void) { return kernel(); }",
                             "-Wl,-soname,libplugin.so.2")  # fmt: skip
    library = opener(compile_library, "libkernels.so", "libplugin.so.2")
    assert "undefined symbol: kernel" in opened(plugin) and started(library) == "loads"
    [finding] = findings("TC301", tmp_path / "all")
    assert finding.severity is Severity.NOTE
    assert "libopener.so opens libkernels.so, which has it, and libplugin.so.2" in finding.message


def test_a_symbol_that_another_object_has_by_chance(compile_library: Compile, tmp_path: Path) -> None:
    compile_library("all/libkernels.so", "int kernel(void) { return 1; }", "-Wl,-soname,libkernels.so")
    plugin = compile_library("all/libplugin.so", "int kernel(void); int plugin(void) { return kernel(); }",
                             "-Wl,-soname,libplugin.so")  # fmt: skip
    library = opener(compile_library, "libplugin.so")
    assert "undefined symbol: kernel" in opened(plugin) and started(library) == "fails"
    [finding] = findings("TC301", tmp_path / "all")
    assert finding.severity is Severity.WARNING


def test_a_symbol_of_the_program_that_opens_a_plugin(compile_library: Compile, tmp_path: Path) -> None:
    plugin = compile_library("all/plugin.so", "int host(void); int plugin(void) { return host(); }")
    code = tmp_path / "app.c"
    code.write_text(
        '#include <dlfcn.h>\nint host(void) { return 1; }\nint main(void) { return !dlopen("./plugin.so", 2); }'
    )
    app = tmp_path / "all/app"
    subprocess.run([program("gcc"), "-rdynamic", "-o", app, code, "-ldl"], check=True)
    assert opened(plugin) != ""
    assert subprocess.run([app], cwd=app.parent, check=False).returncode == 0
    [finding] = findings("TC301", tmp_path / "all")
    assert finding.severity is Severity.NOTE
    assert "app opens plugin.so and has it" in finding.message


# ---- hard links


def test_hard_links_take_no_space(compile_library: Compile, tmp_path: Path) -> None:
    one = compile_library("all/a/libfoo.so", "int foo(void) { return 1; }", "-Wl,-soname,libfoo.so")
    (tmp_path / "all/b").mkdir()
    os.link(one, tmp_path / "all/b/libfoo.so")
    (finding,) = findings("TC101", tmp_path / "all")
    assert (finding.bytes, finding.severity) == (0, Severity.NOTE)
    assert "hard links" in finding.message
    (tmp_path / "all/c").mkdir()
    shutil.copy(one, tmp_path / "all/c/libfoo.so")
    (finding,) = findings("TC101", tmp_path / "all")
    assert (finding.bytes, finding.severity) == (one.stat().st_size, Severity.WARNING)


def test_hard_links_in_a_conda_package(compile_library: Compile, tmp_path: Path) -> None:
    one = compile_library("p/lib/a/libfoo.so", "int foo(void) { return 1; }", "-Wl,-soname,libfoo.so")
    (tmp_path / "p/lib/b").mkdir()
    os.link(one, tmp_path / "p/lib/b/libfoo.so")
    (tmp_path / "p/info").mkdir()
    (tmp_path / "p/info/index.json").write_text('{"name": "p", "version": "1", "depends": []}')
    file = tmp_path / "p-1-0.tar.bz2"
    with tarfile.open(file, "w:bz2") as archive:
        archive.add(tmp_path / "p/info", "info")
        archive.add(tmp_path / "p/lib", "lib")
    (finding,) = findings("TC101", file)
    assert (finding.bytes, finding.severity) == (0, Severity.NOTE)


# ---- a process whose files were replaced


@pytest.fixture
def process(compile_library: Compile, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    library = compile_library("all/libfoo.so", "int foo(void) { return 1; }", "-Wl,-soname,libfoo.so")
    code = "import ctypes, sys; ctypes.CDLL(sys.argv[1]); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-I", "-c", code, library], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout and child.stdin
        child.stdout.readline()
        yield child
        child.stdin.close()


@pytest.mark.parametrize("gone", [False, True])
def test_a_replaced_file_of_a_process_asks_for_a_restart(
    process: subprocess.Popen[str], tmp_path: Path, gone: bool
) -> None:
    file = tmp_path / "all/libfoo.so"
    if gone:
        file.unlink()
    else:
        shutil.copy(file, tmp_path / "new.so")
        (tmp_path / "new.so").replace(file)
    [finding] = findings("TC901", pid=process.pid)
    assert finding.subject == "libfoo.so"
    assert "Restart" in finding.remedy and str(process.pid) in finding.remedy
    assert ("deleted" if gone else "replaced") in finding.message
    assert finding.severity is Severity.WARNING
