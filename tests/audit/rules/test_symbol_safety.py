"""TC401 and TC402: what extensions export, and what takes over what."""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
from pathlib import Path

import pytest

from audit.rules.scenes import compile_library, found, functions, scene_of
from toolchain import program
from tt_conda.audit.finding import Severity
from tt_conda.audit.targets import read_targets

MANY = [f"ggml_{n}" for n in range(40)]


@pytest.mark.parametrize(
    ("label", "extension"),
    [("cyllama-0.2.18", "cyllama/llama/server/embedded"), ("cyllama-0.7.0", "cyllama/sd/stable_diffusion")],
)
def test_cyllama_is_graded(label: str, extension: str) -> None:
    """Its builds were called poor; the published ones hide ggml, and export something else."""
    (finding,) = found(scene_of(label), "TC401")
    assert "symbol safety is depends" in finding.message
    assert finding.severity is Severity.NOTE
    lines = {line.split(".")[0]: line for line in finding.evidence}
    assert ": good: exports nothing besides PyInit; bundles ggml" in lines["cyllama/llama/llama_cpp"]
    assert ": good: exports nothing besides PyInit; bundles ggml" in lines["cyllama/whisper/whisper_cpp"]
    assert ": depends: exports" in lines[extension]


def test_two_extensions_that_export_the_same_library_are_poor(tmp_path: Path) -> None:
    for name in ("a", "b"):
        compile_library(tmp_path / f"{name}.so", functions([*MANY, f"PyInit_{name}"]), soname=None)
    (finding,) = found(read_targets([tmp_path]), "TC401")
    assert "symbol safety is poor" in finding.message
    assert re.search(r"\ba\.so\b.*\b40\b.*\bggml 40\b.*\bbundles ggml\b", finding.evidence[0])
    assert "would interpose 40 symbols if either were loaded with RTLD_GLOBAL" in finding.evidence[1]


def test_one_that_is_alone_depends_on_what_is_added(tmp_path: Path) -> None:
    compile_library(tmp_path / "a.so", functions([*MANY, "PyInit_a"]), soname=None)
    (finding,) = found(read_targets([tmp_path]), "TC401")
    assert "symbol safety is depends" in finding.message


def test_extensions_that_export_nothing_are_not_mentioned(tmp_path: Path) -> None:
    hidden = functions(MANY).replace("int ", '__attribute__((visibility("hidden"))) int ')
    for name in ("a", "b"):
        compile_library(tmp_path / f"{name}.so", hidden + functions([f"PyInit_{name}"]), soname=None)
    assert found(read_targets([tmp_path]), "TC401") == []


CALLS = "int version(void) {{ return {0}; }}\nint {1}_version(void) {{ return version(); }}\n"


def _two_versions(folder: Path, *options: str) -> None:
    one = compile_library(folder / "libone.so", CALLS.format(1, "one"), "-fPIC", "-fsemantic-interposition")
    two = compile_library(folder / "libtwo.so", CALLS.format(2, "two"), "-fsemantic-interposition", *options)
    compile_library(folder / "both.so", functions(["f"]), needs=[one, two], soname=None)


def _really(folder: Path) -> int:
    """What ``two_version`` says when both are loaded."""
    code = f"import ctypes; print(ctypes.CDLL({str(folder / 'both.so')!r}).two_version())"
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def test_the_first_takes_over_what_the_second_defines_and_uses(tmp_path: Path) -> None:
    one = compile_library(tmp_path / "one/libone.so", CALLS.format(1, "one"), "-fsemantic-interposition")
    two = compile_library(tmp_path / "two/libtwo.so", CALLS.format(2, "two"), "-fsemantic-interposition")
    rpath = f"-Wl,-rpath,{one.parent}:{two.parent}"
    compile_library(tmp_path / "both/both.so", functions(["f"]), rpath, needs=[one, two], soname=None)
    scene = read_targets([tmp_path / "one", tmp_path / "two", tmp_path / "both"])
    (finding,) = found(scene, "TC402")
    assert finding.severity is Severity.WARNING
    assert re.search(r"^libone\.so\b.* 1 .*\blibtwo\.so\b", finding.message)
    assert _really(tmp_path / "both") == 1


@pytest.mark.parametrize("option", ["-Wl,-Bsymbolic", "-fvisibility=protected"])
def test_what_is_bound_stays(tmp_path: Path, option: str) -> None:
    _two_versions(tmp_path, option)
    assert found(read_targets([tmp_path]), "TC402") == []
    assert _really(tmp_path) == 2


def test_two_parts_of_one_build_are_a_note(tmp_path: Path) -> None:
    _two_versions(tmp_path)
    (finding,) = found(read_targets([tmp_path]), "TC402")
    assert finding.severity is Severity.NOTE
    assert _really(tmp_path) == 1


def test_a_program_that_holds_a_library_s_variable_takes_nothing_over(tmp_path: Path) -> None:
    library = compile_library(tmp_path / "libone.so", "int shared = 1;\nint get(void) { return shared; }\n")
    source = tmp_path / "main.c"
    source.write_text("extern int shared;\nint main(void) { return shared; }\n")
    subprocess.run([program("gcc"), "-no-pie", "-fno-pic", "-o", tmp_path / "main", source, library], check=True)
    scene = read_targets([tmp_path])
    (start,) = (item for item in scene if item.is_program)
    assert start.elf.symbols.borrowed == {"shared"}
    assert found(scene, "TC402") == []


def test_local_scopes_keep_strong_symbols_apart(tmp_path: Path) -> None:
    """What the page says of RTLD_LOCAL and RTLD_GLOBAL, by the dynamic linker itself."""
    for number, name in ((1, "a"), (2, "b")):
        compile_library(tmp_path / f"{name}.so", CALLS.format(number, name), "-fsemantic-interposition", soname=None)

    def second(mode: int) -> int:
        code = (
            f"import ctypes; ctypes.CDLL({str(tmp_path / 'a.so')!r}, {mode}); "
            f"print(ctypes.CDLL({str(tmp_path / 'b.so')!r}).b_version())"
        )
        return int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)

    assert second(ctypes.RTLD_LOCAL) == 2
    assert second(ctypes.RTLD_GLOBAL) == 1


def test_healthy_wheels_have_no_warnings() -> None:
    scene = scene_of("numpy", "pandas", "lxml", "pillow")
    assert [item for code in ("TC103", "TC104", "TC401", "TC402") for item in found(scene, code)
            if item.severity is not Severity.NOTE] == []  # fmt: skip
