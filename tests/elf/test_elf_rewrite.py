"""Compiled libraries get other names and another search path, load afterwards, and keep everything else."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from elf_files import agree, dynamic_mutations, mutations, strip_section_headers
from published import dynamic, tags
from toolchain import program
from tt_conda.base.errors import TtCondaError
from tt_conda.elf import ElfError, read, rewrite
from tt_conda.elf.rewrite import Change, apply, patch

Compile = Callable[..., Path]

BUILD = "-Wl,-rpath,/opt/openmpi-v5.0.7-ulfm/lib:/project/build_Release/lib:$ORIGIN,--enable-new-dtags"
USER = "int dep(void); int user(void) { return dep() + 1; }"


@pytest.fixture
def dep(compile_library: Compile) -> Path:
    """``libdep-0123abcd.so``, as auditwheel would name it; ``dep()`` is 41."""
    return compile_library(
        "libdep-0123abcd.so", "int dep(void) { return 41; }", "-Wl,-soname,libdep-0123abcd.so", BUILD
    )


def rename(dep: Path, change: Change | None = None) -> Path:
    """Give the dependency its plain name back."""
    plain = dep.with_name(dep.name.replace("-0123abcd", ""))
    dep.rename(plain)
    apply(plain, change or Change(plain.name, {}, "$ORIGIN"))
    return plain


PLAIN = {"libdep-0123abcd.so": "libdep.so"}


def call(path: Path, function: str = "user") -> int:
    """What the function returns in a process that was told of no other search path."""
    code = "import ctypes, os, sys; print(getattr(ctypes.CDLL(sys.argv[1], os.RTLD_NOW), sys.argv[2])())"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LD_")}
    done = subprocess.run([sys.executable, "-c", code, path, function], env=clean, capture_output=True, text=True,
                          cwd="/", check=False)  # fmt: skip
    assert not done.stderr, done.stderr
    return int(done.stdout)


def says(path: Path, soname: str | None, needed: list[str], rpath: str = "$ORIGIN") -> None:
    agree(path)
    assert tags(path, "SONAME") == ([soname] if soname else [])
    assert tags(path, "NEEDED") == needed
    assert (tags(path, "RPATH"), tags(path, "RUNPATH")) == ([rpath], [])
    text = strings(path)
    assert not [name for name in text if b"/" in name and name != rpath.encode()]
    assert not list(path.parent.glob(".*.part"))


def strings(path: Path) -> list[bytes]:
    start, size = read(path).strtab
    return path.read_bytes()[start : start + size].split(b"\0")


def test_shorter_names_are_written_in_place(compile_library: Compile, dep: Path) -> None:
    user = compile_library("libuser.so", USER, dep, BUILD, "-Wl,-soname,libuser-deadbeef.so", "-Wl,--build-id")
    user.chmod(0o640)
    before, others = read(user), [e for e in dynamic(user) if e[0] not in ("SONAME", "NEEDED", "RUNPATH")]
    size, symbols = user.stat().st_size, before.symbols
    assert apply(user, Change("libuser.so", PLAIN, "$ORIGIN")) == "in place"
    says(user, "libuser.so", ["libdep.so"])
    assert (user.stat().st_size, user.stat().st_mode & 0o777) == (size, 0o640)
    assert (read(user).build_id, read(user).symbols) == (before.build_id, symbols)
    assert [e for e in dynamic(user) if e[0] not in ("SONAME", "NEEDED", "RPATH")] == others
    rename(dep)
    assert call(user) == 42


def test_what_is_right_is_left_alone(compile_library: Compile, dep: Path) -> None:
    change = Change("libuser.so", PLAIN, "$ORIGIN")
    user = compile_library("libuser.so", USER, dep, BUILD, "-Wl,-soname,libuser-deadbeef.so")
    apply(user, change)
    before = user.read_bytes(), user.stat().st_mtime_ns, user.stat().st_ino
    assert apply(user, change) == "nothing"
    assert (user.read_bytes(), user.stat().st_mtime_ns, user.stat().st_ino) == before


@pytest.mark.parametrize(
    "flags",
    [(), ("-Wl,-rpath,/x",), ("-Wl,-rpath,/x,--disable-new-dtags",), (BUILD, "-Wl,--hash-style=sysv")],
    ids=["no search path", "a RUNPATH that is too short", "an RPATH that is too short", "SysV hash"],
)
def test_longer_names_need_patchelf(compile_library: Compile, dep: Path, flags: tuple[str, ...]) -> None:
    user = compile_library("libuser.so", USER, dep, *flags)  # and it has no soname yet
    before = read(user)
    symbols = before.symbols
    rpath = "$ORIGIN/../lib"
    assert apply(user, Change("libuser.so.1", PLAIN, rpath)) == "patchelf"
    says(user, "libuser.so.1", ["libdep.so"], rpath)
    assert read(user).symbols == symbols
    rename(dep)
    (user.parent / "lib").mkdir()
    (user.parent / "lib/libuser.so.1").symlink_to("../libuser.so")
    (user.parent / "lib/libdep.so").symlink_to("../libdep.so")
    assert call(user.parent / "lib/libuser.so.1") == 42


@pytest.mark.parametrize("style", ["gnu", "sysv", "both"])
def test_either_hash_table_works_afterwards(compile_library: Compile, dep: Path, style: str) -> None:
    user = compile_library("libuser.so", USER, dep, BUILD, f"-Wl,--hash-style={style}", "-Wl,-soname,libuser.so")
    assert apply(user, Change("libuser.so", PLAIN, "$ORIGIN")) == "in place"
    rename(dep)
    assert call(user) == 42


def test_without_section_headers_names_are_written_in_place(compile_library: Compile, dep: Path) -> None:
    user = compile_library("libuser.so", USER, dep, BUILD)
    strip_section_headers(user)
    assert apply(user, Change(None, PLAIN, "$ORIGIN")) == "in place"
    rename(dep)
    assert call(user) == 42


def test_what_patchelf_cannot_do_is_said_and_changes_nothing(compile_library: Compile, dep: Path) -> None:
    user = compile_library("libuser.so", USER, dep)
    strip_section_headers(user)
    before = user.read_bytes()
    with pytest.raises(TtCondaError, match=r"libuser\.so: patchelf could not rewrite it: .+"):
        apply(user, Change(None, PLAIN, "$ORIGIN"))
    assert user.read_bytes() == before
    assert not list(user.parent.glob(".*.part"))


@pytest.mark.parametrize("label", ["xlibdep_old.so", "libdep_old.so"])
def test_a_name_that_a_symbol_shares_does_not_rename_the_symbol(compile_library: Compile, label: str) -> None:
    """GNU ld keeps one string for both (or one as the other's tail), so it must not be written over."""
    dep = compile_library("libdep_old.so", "int dep(void) { return 41; }", "-Wl,-soname,libdep_old.so", BUILD)
    source = f'int shared(void) __asm__("{label}"); int shared(void) {{ return 7; }}'
    user = compile_library("libuser.so", USER + source, dep, BUILD)
    data, elf = bytearray(user.read_bytes()), read(user)
    (needed,) = [entry for entry in elf.entries if entry.tag == 1]
    place = data.index(label.encode() + b"\0", elf.strtab[0]) + len(label) - len("libdep_old.so")
    struct.pack_into("<Q", data, needed.offset, place - elf.strtab[0])  # lld does not, so it is done here
    user.write_bytes(data)
    assert read(user).needed == ("libdep_old.so",)
    assert apply(user, Change(None, {"libdep_old.so": "libdep.so"}, "$ORIGIN")) == "patchelf"
    says(user, None, ["libdep.so"])
    assert label in read(user).symbols.defined
    dep.rename(dep.with_name("libdep.so"))
    assert (call(user), call(user, label)) == (42, 7)


def test_a_name_that_is_the_tail_of_the_old_path_stays(compile_library: Compile, dep: Path) -> None:
    source = 'int dep(void); int user(void) { return dep() + 1; } int tail(void) __asm__("Release"); '
    user = compile_library(
        "libuser.so", source + "int tail(void) { return 7; }", dep, "-Wl,-rpath,/project/build_Release"
    )
    apply(user, Change(None, PLAIN, "$ORIGIN"))
    says(user, None, ["libdep.so"])
    assert not [name for name in strings(user) if b"project" in name]
    rename(dep)
    assert (call(user), call(user, "Release")) == (42, 7)


def test_a_stale_path_is_wiped_where_nothing_else_is_wrong(compile_library: Compile, dep: Path) -> None:
    """As a wheel's own patching leaves it: the search path is right, the old one is still in .dynstr."""
    user = compile_library("libuser.so", USER, dep, "-Wl,-rpath,/project/build/lib:$ORIGIN,--disable-new-dtags")
    data, (rpath,) = bytearray(user.read_bytes()), [e for e in read(user).entries if e.tag == 15]
    struct.pack_into("<Q", data, rpath.offset, rpath.value + len("/project/build/lib:"))
    user.write_bytes(data)
    assert read(user).rpath == "$ORIGIN"
    assert apply(user, Change(None, {}, "$ORIGIN")) == "in place"
    says(user, None, ["libdep-0123abcd.so"])
    assert call(user) == 42


@pytest.mark.parametrize("flags", [(BUILD,), ()], ids=["in place", "patchelf"])
@pytest.mark.parametrize("versioned", [False, True])
def test_two_copies_become_one(
    compile_library: Compile, flags: tuple[str, ...], versioned: bool, tmp_path: Path
) -> None:
    """The object needs both copies of a library, each with its symbol versions; afterwards it needs one, once."""
    script = tmp_path / "dep.script"
    script.write_text("DEP_1 { global: *; };")
    extra = [f"-Wl,--version-script={script}"] if versioned else []
    one = compile_library("libdep.so", "int dep(void) { return 41; }", "-Wl,-soname,libdep.so", *extra)
    two = compile_library("libdep-0123abcd.so", "int more(void) { return 1; } int dep2(void) { return 0; }",
                          "-Wl,-soname,libdep-0123abcd.so", *extra)  # fmt: skip
    source = "int dep(void); int more(void); int user(void) { return dep() + more(); }"
    user = compile_library("libuser.so", source, one, two, "-lm", "-Wl,--no-as-needed", *flags)
    assert len(tags(user, "NEEDED")) >= 2
    rest = [name for name in tags(user, "NEEDED") if not name.startswith("libdep")]
    assert apply(user, Change(None, PLAIN, "$ORIGIN")) == ("in place" if flags else "patchelf")
    says(user, None, ["libdep.so", *rest])
    assert not [name for name in read(user).version_needs if "0123abcd" in name]
    compile_library("libdep.so", "int dep(void) { return 41; } int more(void) { return 1; }", "-Wl,-soname,libdep.so",
                    *extra)  # fmt: skip
    assert call(user) == 42


@pytest.mark.parametrize("flags", [(BUILD,), ()], ids=["in place", "patchelf"])
def test_symbol_versions_follow_the_name(compile_library: Compile, flags: tuple[str, ...], tmp_path: Path) -> None:
    """ld.so stops at "no version information" or an assertion where they do not."""
    script = tmp_path / "dep.script"
    script.write_text("DEP_1 { global: dep; local: *; }; DEP_2 { global: dep2; } DEP_1;")
    dep = compile_library("libdep-0123abcd.so", "int dep(void) { return 40; } int dep2(void) { return 2; }",
                          "-Wl,-soname,libdep-0123abcd.so", f"-Wl,--version-script={script}", BUILD)  # fmt: skip
    source = "int dep(void); int dep2(void); int user(void) { return dep() + dep2(); }"
    user = compile_library("libuser.so", source, dep, *flags)
    needs = read(user).version_needs["libdep-0123abcd.so"]
    assert sorted(needs) == ["DEP_1", "DEP_2"]
    apply(user, Change(None, PLAIN, "$ORIGIN"))
    assert read(user).version_needs == {"libdep.so": needs}
    says(user, None, ["libdep.so"])
    plain = rename(dep)
    assert (
        "DEP_2" in subprocess.run([program("readelf"), "-VW", plain], capture_output=True, text=True, check=True).stdout
    )
    assert call(user) == 42


def test_an_object_that_exports_nothing_is_rewritten(compile_library: Compile, dep: Path) -> None:
    source = "int dep(void); static int __attribute__((constructor)) f(void) { return dep(); }"
    user = compile_library("libuser.so", source, dep, "-Wl,--hash-style=gnu")
    assert apply(user, Change("libuser.so", PLAIN, "$ORIGIN")) == "patchelf"
    rename(dep)
    assert call(user, "dep") == 41


def test_filters_keep_their_names(compile_library: Compile, dep: Path) -> None:
    """DT_AUXILIARY names a library too, here by its path."""
    user = compile_library("libuser.so", USER, dep, BUILD, "-Wl,--auxiliary,/usr/lib/libhelper.so")
    apply(user, Change(None, PLAIN, "$ORIGIN"))
    assert tags(user, "AUXILIARY") == ["/usr/lib/libhelper.so"]
    rename(dep)
    assert call(user) == 42


def test_a_program_is_rewritten(compile_library: Compile, dep: Path, tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text("int dep(void); int main(void) { return dep(); }")
    main = tmp_path / "main"
    subprocess.run([program("gcc"), "-o", main, tmp_path / "main.c", dep, BUILD], check=True)
    assert apply(main, Change(None, PLAIN, "$ORIGIN")) == "in place"
    rename(dep)
    assert subprocess.run([main], check=False).returncode == 41


def test_a_name_that_is_no_utf8_is_no_obstacle(compile_library: Compile, dep: Path) -> None:
    user = compile_library("libuser.so", USER, dep, "-Wl,-rpath,/b\udcffse/$ORIGIN:/project/lib")
    assert "\udcff" in (read(user).runpath or "")
    assert apply(user, Change(None, PLAIN, "$ORIGIN")) == "in place"
    says(user, None, ["libdep.so"])


def test_a_file_that_is_no_elf_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"#!/bin/sh\n", b"\x7fELF" + bytes(100)):
        path = tmp_path / "libbad.so"
        path.write_bytes(content)
        with pytest.raises(ElfError, match=r"libbad\.so"):
            apply(path, Change(None, {}, "$ORIGIN"))
        assert path.read_bytes() == content


def test_a_damaged_library_is_refused_unchanged_or_rewritten(compile_library: Compile, dep: Path) -> None:
    user = compile_library("libuser.so", USER, dep, BUILD, "-Wl,-soname,libuser-deadbeef.so", "-lm")
    change, refused = Change("libuser.so", PLAIN, "$ORIGIN"), 0
    damaged = user.with_name("damaged.so")
    data = user.read_bytes()
    for content in [
        *mutations(data, 250, 4),
        *dynamic_mutations(user, 250, 5),
        *(data[:n] for n in range(0, len(data), 599)),
    ]:
        damaged.write_bytes(content)
        try:
            apply(damaged, change)
        except (ElfError, TtCondaError):
            refused += 1
            assert damaged.read_bytes() == content
        else:
            assert read(damaged).rpath == "$ORIGIN"
        assert {path.name for path in user.parent.iterdir() if path.suffix == ".part"} == set()
    assert refused > 100


def test_two_search_paths_become_one(compile_library: Compile, dep: Path) -> None:
    """GNU ld of old wrote both tags."""
    user = compile_library("libuser.so", USER, dep, BUILD, "-Wl,-soname,libuser.so")
    data, elf = bytearray(user.read_bytes()), read(user)
    (soname,) = [entry for entry in elf.entries if entry.tag == 14]
    struct.pack_into("<Q", data, soname.offset - 8, 15)
    user.write_bytes(data)
    assert read(user).rpath is not None and read(user).runpath is not None
    assert apply(user, Change(None, PLAIN, "$ORIGIN")) == "in place"
    says(user, None, ["libdep.so"])
    rename(dep)
    assert call(user) == 42


def test_patchelf_alone_adds_renames_and_removes(compile_library: Compile, dep: Path) -> None:
    """As for the embedded channel: what is not asked for keeps its bytes, an unused string too."""
    user = compile_library("libuser.so", USER, dep, BUILD, "-Wl,-soname,libuser.so")
    rename(dep)
    patch(user, Change("libuser.so", PLAIN, "$ORIGIN", ("libz.so.1", "libdl.so.2")))
    assert tags(user, "NEEDED") == ["libdl.so.2", "libz.so.1", "libdep.so"]
    assert (tags(user, "RPATH"), tags(user, "RUNPATH")) == (["$ORIGIN"], [])
    before = user.read_bytes()
    patch(user, Change("libuser.so", PLAIN, "$ORIGIN", ("libz.so.1",)))
    assert user.read_bytes() == before, "nothing to change"
    patch(user, Change("libuser.so", {}, ""))
    assert (tags(user, "RPATH"), tags(user, "RUNPATH")) == ([], [])


def test_what_patchelf_did_not_do_is_found(
    compile_library: Compile, dep: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    user = compile_library("libuser.so", USER, dep, BUILD, "-Wl,-soname,libuser.so")
    before = user.read_bytes()
    liar = tmp_path / "patchelf"
    liar.write_text('#!/bin/sh\nfor last; do :; done\nwhile [ "$1" != --output ]; do shift; done\ncp "$last" "$2"\n')
    liar.chmod(0o755)
    monkeypatch.setattr(rewrite, "_patchelf_program", lambda: str(liar))
    with pytest.raises(TtCondaError, match=r"libuser\.so: the rewritten file \(patchelf\) has soname"):
        patch(user, Change("libuser.so", PLAIN, "$ORIGIN"))
    assert user.read_bytes() == before and not list(user.parent.glob(".*.part"))
