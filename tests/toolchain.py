"""A compiler and binutils: this machine's, or what stands in for them in the embedded channel."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

from tt_conda.commands import defaults
from tt_conda.environment.install import install

STAND_INS = {"gcc": "clang", "readelf": "llvm-readelf", "c++filt": "llvm-cxxfilt"}


@lru_cache
def program(name: str) -> str:
    """The path of ``patch``, ``gcc``, ``readelf`` or ``c++filt``, or of what stands in for it in an environment."""
    found = shutil.which(name)
    if found and (name != "gcc" or _links(found)):
        return found
    return str(_made("patch", "patch") / "bin/patch" if name == "patch" else _environment() / "bin" / STAND_INS[name])


def _links(compiler: str) -> bool:
    """Whether it makes programs: a compiler may be there without the C library's headers, or without a linker."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "a.c")
        source.write_text("#include <stdlib.h>\nint main(void) { return EXIT_SUCCESS; }\n")
        done = subprocess.run([compiler, "-o", source.with_suffix(""), source], capture_output=True, check=False)
    return done.returncode == 0


def _environment() -> Path:
    return _made("toolchain", "clang_linux-64", "lld", "llvm-tools")


@lru_cache
def cxx_environment() -> Path:
    """An environment with clang++ and both C++ standard libraries."""
    return _made("toolchain-cxx", "clangxx_linux-64", "lld", "libcxx-devel", "libstdcxx")


def _made(name: str, *specs: str) -> Path:
    """Made by whichever process asks first, gone when the run is over."""
    folder = Path(os.environ["TT_CONDA_TEST_FOLDER"])
    prefix = folder / name
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        install(list(specs), prefix, defaults.others())
    return prefix
