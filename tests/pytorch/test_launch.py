"""What starts PyTorch's compilers, recipes/pytorch-libcxx/launch.sh, with programs that say what they are given.

And with clang and ccache, whether a build takes what another one has compiled elsewhere, and only that.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tt_conda.environment.install import install

Call = Callable[..., "subprocess.CompletedProcess[str]"]

LAUNCH = Path(__file__).parents[2] / "recipes/pytorch-libcxx/launch.sh"
COMPILER = """#!/bin/bash
printf '%s\\n' "$@" > "$SAID"
while [ $# -gt 0 ]; do
    case $1 in
        -MF) [ -n "${NO_LIST:-}" ] || printf 'x.o: ../pytorch/x.h \\\\\\n ../pytorch/y.h\\n' > "$2" ;;
        -o) touch "$2" ;;
    esac
    shift
done
exit "${CODE:-0}"
"""
LAUNCHER = """#!/bin/bash
touch "$SAID.launched"
exec "$@"
"""


class Build:
    """A build's folder, with a launcher and a compiler."""

    def __init__(self, folder: Path) -> None:
        self.source, self.said = folder / "work", folder / "said"
        (self.source / "build").mkdir(parents=True)
        (self.source / "pytorch").mkdir()
        for name in ("x.h", "y.h"):
            (self.source / "pytorch" / name).write_text(name)
        self.launcher, self.compiler = folder / "launcher", folder / "clang++"
        for program, text in ((self.launcher, LAUNCHER), (self.compiler, COMPILER)):
            program.write_text(text)
            program.chmod(0o755)

    def launch(self, *words: str, cwd: str = "build", **more: str) -> tuple[int, list[str], bool]:
        """Its exit code, what the compiler was given, and whether the launcher started it."""
        mark = self.said.with_name("said.launched")
        mark.unlink(missing_ok=True)
        environ = {"PATH": "/usr/bin:/bin", "SRC_DIR": str(self.source), "SAID": str(self.said), **more}
        command = ["/bin/bash", LAUNCH, self.launcher, self.compiler, *words]
        done = subprocess.run(command, cwd=self.source / cwd, env=environ, capture_output=True, text=True, check=False)
        return done.returncode, self.said.read_text().splitlines(), mark.exists()


@pytest.fixture(params=["plain", "odd [a-z] * name"])
def build(request: pytest.FixtureRequest, tmp_path: Path) -> Build:
    return Build(tmp_path / request.param)


def test_what_is_in_the_builds_folder_is_named_from_there(build: Build) -> None:
    source = build.source
    words = [
        "-isystem",
        f"{source}/host/include",
        f"-I{source}/build/aten",
        "-o",
        f"{source}/build/x.o",
        "-c",
        f"{source}/x.c",
    ]
    relative = ["-isystem", "../host/include", "-Iaten", "-o", "x.o", "-c", "../x.c"]
    assert build.launch(*words) == (0, relative, True)
    assert build.launch(*words, cwd="pytorch") == (0, words, False), "CMake's checks are elsewhere, and not kept"


def test_a_precompiled_header_has_the_checksum_of_what_it_is_made_from(build: Build) -> None:
    header = build.source / "build/pch.pch"
    words = ["-x", "c++-header", "-MD", "-MF", "pch.d", "-o", str(header)]
    sums = []
    for change in ("", "x.h", "y.h"):
        if change:
            (build.source / "pytorch" / change).write_text("other")
        code, said, launched = build.launch(*words)
        assert (code, said[-1], launched) == (0, "pch.pch", False), "no cache keeps it"
        sums.append(header.with_name("pch.pch.sum").read_text())
    assert len(set(sums)) == 3
    build.launch("-O0", *words)
    assert header.with_name("pch.pch.sum").read_text() not in sums


@pytest.mark.parametrize("wrong", ["compiler", "list", "header"])
def test_without_what_it_is_made_from_there_is_no_checksum(build: Build, wrong: str) -> None:
    """One that knew nothing of the headers would let objects of other headers be taken."""
    if wrong == "header":
        (build.source / "pytorch/x.h").unlink()
    more = {"compiler": {"CODE": "3"}, "list": {"NO_LIST": "1"}, "header": {}}[wrong]
    code, _, _ = build.launch("-x", "c++-header", "-MF", "pch.d", "-o", "pch.pch", **more)
    assert code == 3 if wrong == "compiler" else code != 0
    assert not (build.source / "build/pch.pch.sum").exists()


# --- with clang and ccache ---

SOURCES = {
    "CMakeLists.txt": """
        cmake_minimum_required(VERSION 3.18)
        project(sample C CXX)
        add_library(sample OBJECT a.cpp b.c)
        target_include_directories(sample PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
        target_precompile_headers(sample PRIVATE $<$<COMPILE_LANGUAGE:CXX>:<x.h$<ANGLE-R>>)
        """,
    "x.h": "#include <vector>\ninline int x() { return 1; }\n",
    "a.cpp": "const char *here() { return __FILE__; }\nint a() { return x(); }\n",
    "b.c": '#include "y.h"\nconst char *here(void) { return __FILE__; }\nint b(void) { return Y; }\n',
    "y.h": "#define Y 1\n",
}
COMPILE = """
set -euo pipefail
export SRC_DIR={work} CCACHE_DIR={cache} RECIPE_DIR={recipe}
unset CMAKE_C_COMPILER_LAUNCHER CMAKE_CXX_COMPILER_LAUNCHER
{settings}
mkdir "$SRC_DIR/host"
export CFLAGS="-isystem $SRC_DIR/host" CXXFLAGS="-isystem $SRC_DIR/host -stdlib=libc++"
cmake -G Ninja -S "$SRC_DIR/pytorch" -B "$SRC_DIR/build" -DCMAKE_BUILD_TYPE=Release
ccache --zero-stats
cmake --build "$SRC_DIR/build"
ccache --print-stats > {stats}
"""


@pytest.fixture(scope="module")
def compiler(channels: list[str | Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiler") / "env"
    install(["ccache", "clangxx_linux-64", "cmake", "libcxx-devel", "lld", "ninja"], folder, channels)
    return folder


class Elsewhere:
    """Builds of the same sources in other folders, with one cache and the recipe's settings of it."""

    def __init__(self, folder: Path, compiler: Path, call: Call) -> None:
        self._folder, self._compiler, self._call = folder, compiler, call
        common = (LAUNCH.parent / "common.sh").read_text()
        (self._settings,) = re.findall(r"^export CCACHE_BASEDIR=.*?(?=^flags=)", common, re.M | re.S)

    def build(self, name: str, **changes: str) -> tuple[int, int, dict[str, bytes]]:
        """Files that were found in the cache, that were compiled, and the objects."""
        work = self._folder / name / "work"
        (work / "pytorch").mkdir(parents=True)
        for file, text in SOURCES.items():
            (work / "pytorch" / file).write_text(changes.get(file.partition(".")[0], text))
        stats = self._folder / "stats"
        script = COMPILE.format(
            work=work, cache=self._folder / "ccache", recipe=LAUNCH.parent, settings=self._settings, stats=stats
        )
        self._call(self._compiler, "bash", "-c", script)
        said = {key: int(value) for key, value in (line.split("\t") for line in stats.read_text().splitlines())}
        objects = {path.name: path.read_bytes() for path in work.glob("build/CMakeFiles/sample.dir/*.o")}
        hits = said["direct_cache_hit"] + said["preprocessed_cache_hit"]
        return hits, said["cache_miss"], objects


@pytest.fixture
def elsewhere(compiler: Path, tmp_path: Path, call: Call) -> Elsewhere:
    return Elsewhere(tmp_path, compiler, call)


def test_what_was_compiled_in_one_folder_serves_another(elsewhere: Elsewhere, tmp_path: Path) -> None:
    hits, compiled, first = elsewhere.build("one")
    assert (hits, compiled, sorted(first)) == (0, 2, ["a.cpp.o", "b.c.o"])
    hits, compiled, second = elsewhere.build("another/and/deeper")
    assert (hits, compiled) == (2, 0) and first == second
    found = [path.read_text() for path in tmp_path.glob("another/**/CMakeFiles/*/CMakeC*Compiler.cmake")]
    assert len(found) == 2 and not [text for text in found if f"{tmp_path}/one/" in text], "what CMake found is its own"
    shutil.rmtree(tmp_path / "ccache")
    hits, compiled, third = elsewhere.build("a-third")
    assert (hits, compiled) == (0, 2) and first == third, "what is compiled elsewhere is the same, too"
    assert not [name for name, content in first.items() if str(tmp_path).encode() in content]


@pytest.mark.parametrize(
    ("changed", "hits"),
    [
        ({"x": SOURCES["x.h"].replace("1", "2")}, 1),  # precompiled
        ({"y": "#define Y 2\n"}, 1),
        ({"b": SOURCES["b.c"].replace("Y; ", "Y + 1; ")}, 1),
        ({"CMakeLists": SOURCES["CMakeLists.txt"] + "add_compile_definitions(Z)"}, 0),
    ],
    ids=["precompiled header", "header", "file", "definition"],
)
def test_what_has_changed_is_compiled(elsewhere: Elsewhere, changed: dict[str, str], hits: int) -> None:
    _, _, before = elsewhere.build("one")
    found, compiled, after = elsewhere.build("another", **changed)
    assert (found, compiled) == (hits, 2 - hits)
    same = {name for name in before if before[name] == after[name]}
    assert len(same) == (2 if "CMakeLists" in changed else 1)
