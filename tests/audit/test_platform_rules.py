"""Tag, owner and file are compared before anything else: system, machine, C library, Python, interpreter, mode."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from glibcs import this_glibc
from handmade import make_wheel
from toolchain import program
from tt_conda.audit.analysis import Analysis
from tt_conda.audit.audit import audit
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.targets import read_targets
from tt_conda.base.errors import TtCondaError
from tt_conda.carve import Rules, carve

Compile = Callable[..., Path]

ONE = "int one(void) { return 1; }"
MODULE = "int PyInit__x(void) { return 0; }"
USER = "int one(void); int PyInit__x(void) { return one(); }"
SUFFIX = "cpython-312-x86_64-linux-gnu.so"
TAG = "cp312-cp312-manylinux_2_28_x86_64"
AARCH64, PPC64, RISCV, I386 = 183, 21, 243, 3
MACHO, PE = b"\xcf\xfa\xed\xfe\x0c\0\0\1" + bytes(60), b"MZ" + bytes(80)


@pytest.fixture
def compile_library(compile_library: Compile) -> Compile:
    """Libraries whose segments fit the pages of every machine, as only their headers will be changed."""

    def build(name: str, source: str, *flags: str) -> Path:
        return compile_library(name, source, "-Wl,-z,max-page-size=65536,-z,common-page-size=4096", *flags)

    return build


def findings(*targets: Path, code: str = "TC") -> list[Finding]:
    return audit(read_targets(targets), [code]).findings


def on(machine: int, file: Path) -> bytes:
    """The file as for another machine."""
    data = bytearray(file.read_bytes())
    struct.pack_into("<H", data, 18, machine)
    if machine == I386:
        data[4] = 1
    return bytes(data)


def wheel(folder: Path, members: Mapping[str | zipfile.ZipInfo, str | bytes], tag: str = TAG, name: str = "x") -> Path:
    return make_wheel(folder, members, f"{name}-1.0-{tag}.whl")


def executable(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o100755 << 16
    return info


def one_finding(*targets: Path) -> Finding:
    """The one finding, which is this rule's: nothing follows from it."""
    found = findings(*targets)
    assert [finding.code for finding in found] == ["TC211"], found
    return found[0]


@pytest.mark.parametrize("machine", [AARCH64, PPC64, RISCV, I386])
def test_a_module_for_another_machine(compile_library: Compile, tmp_path: Path, machine: int) -> None:
    module = compile_library("x.so", MODULE, "-lc")
    finding = one_finding(wheel(tmp_path, {f"x/_x.{SUFFIX}": on(machine, module)}))
    assert (finding.severity, finding.places[0].path) == (Severity.ERROR, f"x/_x.{SUFFIX}")
    assert "x86_64 on Linux with glibc (the tags in its file name)" in finding.message


def test_the_machine_of_a_tag(compile_library: Compile, tmp_path: Path) -> None:
    module = compile_library("x.so", MODULE).read_bytes()
    tag = "cp312-cp312-manylinux_2_28_aarch64"
    assert (
        one_finding(wheel(tmp_path, {"x/_x.cpython-312-aarch64-linux-gnu.so": module}, tag)).severity is Severity.ERROR
    )
    file = compile_library("x.so", MODULE)
    fits = wheel(tmp_path, {"x/_x.cpython-312-aarch64-linux-gnu.so": on(AARCH64, file)}, tag)
    assert findings(fits) == []


@pytest.mark.parametrize("machine", [AARCH64, PPC64, I386])
def test_a_needed_library_for_another_machine(compile_library: Compile, tmp_path: Path, machine: int) -> None:
    library = compile_library("libone.so", ONE, "-Wl,-soname,libone.so")
    module = compile_library("x.so", USER, str(library), "-Wl,-rpath,$ORIGIN")
    members = {f"x/_x.{SUFFIX}": module.read_bytes(), "x/libone.so": on(machine, library)}
    finding = one_finding(wheel(tmp_path, members))
    assert [place.path for place in finding.places] == ["x/libone.so"]
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "_x.so").write_bytes(module.read_bytes())
    (folder / "libone.so").write_bytes(on(machine, library))
    assert one_finding(folder).places[0].path == "libone.so"
    assert "libone.so" in this_glibc().opens(folder / "_x.so")


def test_all_such_files_are_one_finding(compile_library: Compile, tmp_path: Path) -> None:
    first = compile_library("libone.so", ONE, "-Wl,-soname,libone.so")
    modules = {
        f"x/_{at}.{SUFFIX}": on(
            AARCH64, compile_library(f"{at}.so", f"{USER} int f{at}(void) {{ return {at}; }}", str(first))
        )
        for at in range(4)
    }
    finding = one_finding(wheel(tmp_path, {**modules, "x/libone.so": on(AARCH64, first)}))
    assert len(finding.places) == 5


def test_libraries_for_several_machines_that_say_so(compile_library: Compile, tmp_path: Path) -> None:
    module, library = compile_library("x.so", MODULE), compile_library("libone.so", ONE)
    members = {
        f"x/_x.{SUFFIX}": module.read_bytes(), "x/native/linux-arm64/libone.so": on(AARCH64, library),
        "x/native/linux-x64/libone.so": library.read_bytes(), "x/native/osx/libone.so": MACHO,
        "x/one.dll": PE, "x/libone.dylib": MACHO, "x/ppc64le/libone.so": on(PPC64, library),
    }  # fmt: skip
    assert findings(wheel(tmp_path, members), code="TC2") == []


@pytest.mark.parametrize(
    ("tag", "member", "content"),
    [("cp312-cp312-macosx_11_0_arm64", "x/_x.cpython-312-darwin.so", MACHO),
     ("cp312-cp312-win_amd64", "x/_x.cp312-win_amd64.pyd", PE)],
)  # fmt: skip
def test_a_wheel_for_another_system_is_not_damaged(tmp_path: Path, tag: str, member: str, content: bytes) -> None:
    finding = one_finding(wheel(tmp_path, {member: content}, tag))
    assert finding.severity is Severity.NOTE
    with pytest.raises(TtCondaError, match="is for") as error:
        carve([wheel(tmp_path, {member: content}, tag)], tmp_path / "prefix", Rules())
    assert error.value.way_out
    assert not (tmp_path / "prefix").exists()


def test_a_file_for_another_system(tmp_path: Path) -> None:
    for name in (f"x/_x.{SUFFIX}", "x/_x.so"):
        assert one_finding(wheel(tmp_path, {name: MACHO})).severity is Severity.ERROR


def test_a_linux_file_in_a_wheel_for_another_system(compile_library: Compile, tmp_path: Path) -> None:
    content = compile_library("x.so", MODULE).read_bytes()
    target = wheel(tmp_path, {"x/_x.cpython-312-darwin.so": content}, "cp312-cp312-macosx_11_0_arm64")
    assert one_finding(target).severity is Severity.ERROR


def test_two_wheels_for_two_machines(compile_library: Compile, tmp_path: Path) -> None:
    module = compile_library("x.so", MODULE)
    here = wheel(tmp_path, {f"x/_x.{SUFFIX}": module.read_bytes()})
    other = compile_library("y.so", "int PyInit__x(void) { return 7; }")
    there = wheel(tmp_path, {"y/_x.cpython-312-aarch64-linux-gnu.so": on(AARCH64, other)},
                  "cp312-cp312-manylinux_2_28_aarch64", "y")  # fmt: skip
    finding = one_finding(here, there)
    assert (finding.severity, finding.places[0].owner) == (Severity.ERROR, "y 1.0")


def musl(compile_library: Compile, name: str, code: str) -> Path:
    """Linked to a C library of musl's name."""
    libc = compile_library("libc.musl-x86_64.so.1", ONE, "-Wl,-soname,libc.musl-x86_64.so.1")
    source = libc.with_name(f"{name}.c")
    source.write_text(code)
    target = libc.with_name(name)
    subprocess.run(
        [program("gcc"), "-shared", "-fPIC", "-nostdlib", "-o", target, source, "-Wl,--no-as-needed", libc], check=True
    )
    return target


def test_musl_and_glibc(compile_library: Compile, tmp_path: Path) -> None:
    theirs = musl(compile_library, "m.so", MODULE).read_bytes()
    ours = compile_library("g.so", 'int puts(const char *); int PyInit__x(void) { return puts(""); }').read_bytes()
    on_musl = "_x.cpython-312-x86_64-linux-musl.so"
    tag = "cp312-cp312-musllinux_1_2_x86_64"
    assert findings(wheel(tmp_path, {f"x/{on_musl}": theirs}, tag)) == []
    assert one_finding(wheel(tmp_path, {f"x/{on_musl}": ours}, tag)).severity is Severity.ERROR
    finding = one_finding(wheel(tmp_path, {f"x/_x.{SUFFIX}": theirs}))
    assert "x86_64 on Linux with musl" in finding.message


def test_musl_in_an_environment_with_glibc(compile_library: Compile, tmp_path: Path) -> None:
    (tmp_path / "env/conda-meta").mkdir(parents=True)
    theirs = musl(compile_library, "m.so", MODULE)
    site = tmp_path / "env/lib/python3.12/site-packages"
    site.mkdir(parents=True)
    (tmp_path / "env/bin").mkdir()
    (tmp_path / "env/bin/python").symlink_to(sys.executable)
    module = theirs.rename(site / f"_x.{SUFFIX}")
    assert one_finding(tmp_path / "env").severity is Severity.ERROR
    assert "libc.musl-x86_64.so.1" in this_glibc().opens(module)


@pytest.mark.parametrize(
    ("tag", "suffix", "fits"),
    [(TAG, "cpython-310-x86_64-linux-gnu.so", False), (TAG, "cpython-312-aarch64-linux-gnu.so", False),
     (TAG, "cpython-312-darwin.so", False), (TAG, "cpython-312t-x86_64-linux-gnu.so", False),
     (TAG, "pypy310-pp73-x86_64-linux-gnu.so", False), (TAG, "cpython-312-x86_64-linux-musl.so", False),
     (TAG, "so", True), (TAG, "abi3.so", True), (TAG, SUFFIX, True),
     ("cp313-cp313t-manylinux_2_28_x86_64", "cpython-313t-x86_64-linux-gnu.so", True),
     ("cp313-cp313t-manylinux_2_28_x86_64", "abi3.so", False),
     ("cp310-abi3-manylinux_2_28_x86_64", "cpython-310-x86_64-linux-gnu.so", False),
     ("py3-none-manylinux_2_28_x86_64", "cpython-310-x86_64-linux-gnu.so", False),
     ("cp37-cp37m-manylinux_2_28_x86_64", "cpython-37m-x86_64-linux-gnu.so", True),
     ("pp310-pypy310_pp73-manylinux_2_28_x86_64", "pypy310-pp73-x86_64-linux-gnu.so", True)],
)  # fmt: skip
def test_the_python_of_a_suffix(compile_library: Compile, tmp_path: Path, tag: str, suffix: str, fits: bool) -> None:
    content = compile_library("x.so", MODULE).read_bytes()
    target = wheel(tmp_path, {f"x/_x.{suffix}": content}, tag)
    if fits:
        assert findings(target) == []
    else:
        assert one_finding(target).severity is Severity.ERROR
        assert findings(wheel(tmp_path, {f"x/_x.{suffix}": content, f"x/_x.{SUFFIX}": content}), code="TC211") == []


def test_python_agrees_on_suffixes(compile_library: Compile, tmp_path: Path) -> None:
    """In an environment: what the audit says of each suffix is what the environment's Python says."""
    prefix = tmp_path / "env"
    venv.create(prefix, symlinks=True)
    major, minor = sys.version_info[:2]
    site = prefix / f"lib/python{major}.{minor}/site-packages"
    suffixes = {
        "right": f"cpython-{major}{minor}-x86_64-linux-gnu.so", "plain": "so", "stable": "abi3.so",
        "older": "cpython-36m-x86_64-linux-gnu.so", "elsewhere": f"cpython-{major}{minor}-aarch64-linux-gnu.so",
    }  # fmt: skip
    for name, suffix in suffixes.items():
        compile_library("x.so", f"int PyInit_{name}(void) {{ return 0; }}").rename(site / f"{name}.{suffix}")
    code = "import importlib.util, sys; print(*(n for n in sys.argv[1:] if importlib.util.find_spec(n)))"
    found = subprocess.run(
        [prefix / "bin/python", "-c", code, *suffixes], capture_output=True, text=True, check=True
    ).stdout.split()
    said = {
        place.path.rpartition("/")[2].partition(".")[0] for f in findings(prefix, code="TC211") for place in f.places
    }
    assert said == suffixes.keys() - set(found) == {"older", "elsewhere"}


def compiled_program(tmp_path: Path, name: str, interpreter: str = "") -> Path:
    code, target = tmp_path / "main.c", tmp_path / name
    code.write_text("int main(void) { return 0; }")
    target.parent.mkdir(parents=True, exist_ok=True)
    option = [f"-Wl,--dynamic-linker={interpreter}"] if interpreter else []
    subprocess.run([program("gcc"), "-o", target, code, *option], check=True)
    return target


@pytest.mark.parametrize("interpreter", ["/nix/store/abc-glibc-2.42/lib/ld-linux-x86-64.so.2", "ld.so", "/lib/ld.so.1"])
def test_an_interpreter_that_does_not_exist(tmp_path: Path, interpreter: str) -> None:
    target = compiled_program(tmp_path, "all/bin/tool", interpreter)
    finding = one_finding(target.parent)
    assert (finding.severity, finding.subject) == (Severity.ERROR, "bin interpreter")
    with pytest.raises(FileNotFoundError):
        subprocess.run([target], check=False)
    packed = wheel(tmp_path, {executable("x/tool"): target.read_bytes()}, "py3-none-manylinux_2_34_x86_64")
    assert one_finding(packed).subject == "x interpreter"
    command = finding.remedy.partition(": ")[2].split()
    from tt_conda.elf.rewrite import _patchelf_program

    assert command[0] == "patchelf"
    subprocess.run([_patchelf_program(), *command[1:]], check=True, cwd=target.parent)
    assert findings(target.parent) == []
    subprocess.run([target], check=True)


def test_a_program_that_is_not_executable(tmp_path: Path) -> None:
    target = compiled_program(tmp_path, "all/tool")
    target.chmod(0o644)
    finding = one_finding(target.parent)
    assert (finding.severity, finding.subject) == (Severity.WARNING, "all permissions")
    with pytest.raises(PermissionError):
        subprocess.run([target], check=False)
    tag, content = "py3-none-manylinux_2_34_x86_64", target.read_bytes()
    assert one_finding(wheel(tmp_path, {"x/tool": content}, tag)).subject == "x permissions"
    assert findings(wheel(tmp_path, {executable("x/tool"): content}, tag)) == []
    assert findings(wheel(tmp_path, {"x-1.0.data/scripts/tool": content}, tag)) == []


def test_files_for_a_platform_in_a_wheel_for_any(compile_library: Compile, tmp_path: Path) -> None:
    library = compile_library("libone.so", ONE)
    assert (
        one_finding(wheel(tmp_path, {"x/libone.so": library.read_bytes()}, "py3-none-any")).severity is Severity.WARNING
    )
    assert findings(wheel(tmp_path, {"x/linux-x86_64/libone.so": library.read_bytes()}, "py3-none-any")) == []


def test_the_simulated_linker_takes_nothing_of_another_machine(compile_library: Compile, tmp_path: Path) -> None:
    """Whatever it is called or however it was found: by name, loaded first, or as the only copy."""
    library = compile_library("all/libone.so", ONE, "-Wl,-soname,libone.so")
    compile_library("all/user.so", USER, str(library), "-Wl,-rpath,$ORIGIN")
    library.write_bytes(on(AARCH64, library))
    for once in (False, True):
        analysis = Analysis(read_targets([tmp_path / "all"], once=once))
        for item in analysis.scene:
            machines = {each.object.elf.machine for each in analysis.closure(item).loaded}
            assert machines == {item.elf.machine}


@pytest.mark.parametrize("machine", [AARCH64, PPC64])
def test_carve_refuses(compile_library: Compile, tmp_path: Path, machine: int) -> None:
    library = compile_library("libone.so", ONE, "-Wl,-soname,libone.so")
    module = compile_library("x.so", USER, str(library), "-Wl,-rpath,$ORIGIN")
    members = {f"x/_x.{SUFFIX}": module.read_bytes(), "x/libone.so": on(machine, library)}
    with pytest.raises(TtCondaError, match=r"x/libone\.so is for") as error:
        carve([wheel(tmp_path, members)], tmp_path / "prefix", Rules(own=["libone.so"]))
    assert error.value.way_out
    with pytest.raises(TtCondaError, match="musl"):
        carve([wheel(tmp_path, {}, "cp312-cp312-musllinux_1_2_x86_64")], tmp_path / "prefix", Rules())
    with pytest.raises(TtCondaError, match="never imports"):
        members = {"x/_x.cpython-310-x86_64-linux-gnu.so": module.read_bytes()}
        carve([wheel(tmp_path, members)], tmp_path / "prefix", Rules(own=["libone.so"]))
    assert not (tmp_path / "prefix").exists()


def test_an_installed_library_for_another_machine(compile_library: Compile, tmp_path: Path) -> None:
    (tmp_path / "env/conda-meta").mkdir(parents=True)
    (tmp_path / "env/bin").mkdir()
    (tmp_path / "env/bin/python").symlink_to(os.path.realpath(sys.executable))
    library = compile_library("env/lib/libone.so", ONE, "-Wl,-soname,libone.so")
    compile_library("env/lib/libuser.so", USER, str(library), "-Wl,-soname,libuser.so,-rpath,$ORIGIN")
    library.write_bytes(on(AARCH64, library))
    record = {"name": "one", "version": "1", "files": ["lib/libone.so"], "depends": []}
    (tmp_path / "env/conda-meta/one-1-0.json").write_text(json.dumps(record))
    finding = one_finding(tmp_path / "env")
    assert (finding.severity, finding.places[0].owner) == (Severity.ERROR, "one 1")


CALLS = "void *{name}(void); int PyInit__x(void) {{ return {name}() != 0; }}"


@pytest.mark.parametrize(
    ("tag", "name", "severity"),
    [("cp310-abi3", "PyList_GetItemRef", Severity.ERROR), ("cp313-abi3", "PyList_GetItemRef", None),
     ("cp38-abi3", "PyType_GetName", Severity.ERROR), ("cp311-abi3", "PyType_GetName", None),
     ("cp38-abi3", "PyList_New", None), ("cp310-abi3", "_PyObject_GetState", Severity.WARNING),
     ("cp310-cp310", "PyList_GetItemRef", None)],
)  # fmt: skip
def test_the_floor_of_the_stable_abi(
    compile_library: Compile, tmp_path: Path, tag: str, name: str, severity: Severity | None
) -> None:
    file_name = "_x.abi3.so" if tag.endswith("abi3") else "_x.so"
    module = compile_library("x.so", CALLS.format(name=name))
    target = wheel(tmp_path, {f"x/{file_name}": module.read_bytes()}, f"{tag}-manylinux_2_28_x86_64")
    assert [finding.severity for finding in findings(target, code="TC305")] == ([severity] if severity else [])
    if name == "PyList_GetItemRef":  # what this Python says: it is new in 3.13
        code = f"import ctypes, os; ctypes.CDLL({str(module)!r}, os.RTLD_NOW)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert (f"undefined symbol: {name}" in done.stderr) == (sys.version_info < (3, 13))


def test_a_weak_import_does_not_count(compile_library: Compile, tmp_path: Path) -> None:
    code = "__attribute__((weak)) void *PyList_GetItemRef(void); int PyInit__x(void) { return !!PyList_GetItemRef; }"
    module = compile_library("x.so", code)
    target = wheel(tmp_path, {"x/_x.abi3.so": module.read_bytes()}, "cp310-abi3-manylinux_2_28_x86_64")
    assert findings(target, code="TC305") == []
