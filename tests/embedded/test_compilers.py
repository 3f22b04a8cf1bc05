from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tt_conda.elf.read import read

Run = Callable[..., str]

HELLO = """
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>
int main() {
    try { throw std::runtime_error("caught "); } catch (const std::exception& error) { std::cout << error.what(); }
    std::thread([] { std::cout << "in a thread\\n"; }).join();
}
"""


def _activated(prefix: Path) -> str:
    return "".join(f'. "{script}"; ' for script in sorted((prefix / "etc/conda/activate.d").glob("*.sh")))


@pytest.mark.parametrize(
    ("flags", "runtime"),
    [
        ("-stdlib=libc++", "libc++.so.1"),
        ("-stdlib=libstdc++", "libstdc++.so.6"),
        ("-stdlib=libc++ -flto=thin -O3", "libc++.so.1"),
    ],
)
def test_hello(compilers: Path, run: Run, tmp_path: Path, flags: str, runtime: str) -> None:
    (tmp_path / "h.cpp").write_text(HELLO)
    build = (
        f"$CXX $CXXFLAGS -std=c++20 -Wall -Werror {flags} -c h.cpp -o h.o && "
        f"$CXX -Werror $LDFLAGS {flags} h.o -o h && ./h"
    )
    out = run(compilers, "/bin/sh", "-euc", _activated(compilers) + build, cwd=tmp_path)
    assert out == "caught in a thread\n"
    facts = read(tmp_path / "h")
    assert facts.interpreter == "/lib64/ld-linux-x86-64.so.2"
    assert runtime in facts.needed
    assert len({"libc++.so.1", "libstdc++.so.6", "libunwind.so.1"} & set(facts.needed)) == 1
    assert ("libc++abi.so.1" in facts.needed) == (runtime == "libc++.so.1")  # not a copy of it inside
    trace = run(compilers, "/bin/sh", "-c", "LD_TRACE_LOADED_OBJECTS=1 ./h", cwd=tmp_path)
    places = {line.split()[0]: line.split()[2] for line in trace.splitlines() if "=>" in line}
    ours = [name for name in places if name.startswith(("libc++", "libstdc++", "libgcc"))]
    assert ours and all(places[name].startswith(str(compilers)) for name in ours)


def test_headers_come_from_the_environment_only(compilers: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "h.cpp").write_text(HELLO)
    for flag in ("-stdlib=libc++", "-stdlib=libstdc++"):
        out = run(compilers, "clang++", flag, "-M", "h.cpp", cwd=tmp_path)
        headers = [Path(word).resolve() for word in out.split() if word.startswith("/")]
        assert len(headers) > 100
        assert all(header.is_relative_to(compilers.resolve()) for header in headers)


def test_cmake_ninja_openmp_and_a_library(compilers: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\nproject(p C CXX)\nfind_package(OpenMP REQUIRED)\n"
        "add_library(a SHARED a.cpp)\nadd_executable(b b.c)\n"
        "target_link_libraries(b a OpenMP::OpenMP_C)\n"
    )
    (tmp_path / "a.cpp").write_text('extern "C" int two() { return 2; }')
    (tmp_path / "b.c").write_text(
        "int two(void);\n#include <omp.h>\nint main(void) { int s = 0;\n"
        "#pragma omp parallel for reduction(+ : s)\nfor (int i = 0; i < 10; i++) s += two();\nreturn s != 20; }"
    )
    script = _activated(compilers) + "cmake -G Ninja -S . -B out >&2; cmake --build out >&2; ./out/b"
    run(compilers, "/bin/sh", "-euc", script, cwd=tmp_path)


def test_every_library_loads(
    install: Callable[..., Path], compilers: Path, run: Run, tmp_path: Path, dlopen_all: str
) -> None:
    python = install(tmp_path / "python", "python")
    run(compilers, python / "bin/python", "-c", dlopen_all, compilers)


def test_small_tools(compilers: Path, run: Run) -> None:
    for command in ("ccache --version", "make --version", "pkg-config --version", "ld.lld --version",
                    "llvm-ar --version", "llvm-strip --version", "llvm-readelf --version"):  # fmt: skip
        assert run(compilers, *command.split())
