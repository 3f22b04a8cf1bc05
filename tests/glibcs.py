"""The real dynamic linkers: this machine's, and those of other glibcs, unpacked side by side.

``TT_CONDA_GLIBCS`` names folders in which a libc6 package is unpacked (``dpkg-deb -x``), separated by colons.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pytest

from toolchain import program

_OPENER = r"""
void *dlopen(const char *, int); char *dlerror(void); long write(int, const void *, unsigned long);
unsigned long strlen(const char *); void _exit(int);
void start(long *stack) {
    int failed = 0;
    for (char **each = (char **)(stack + 2); *each; each++)
        if (!dlopen(*each, 2)) { char *why = dlerror(); write(1, why, strlen(why)); failed = 1; break; }
    _exit(failed);
}
__asm__(".globl _start\n_start: mov %rsp, %rdi\n and $-16, %rsp\n call start\n");
"""


@dataclass(frozen=True)
class Glibc:
    """One glibc."""

    version: tuple[int, int]
    linker: Path
    folder: Path
    """Of its libraries."""

    def opens(self, *files: Path) -> str:
        """Open files one after the other in one process (RTLD_NOW): what the linker says against it, if anything."""
        command = [self.linker, "--library-path", self.folder, _opener(self), *map(str, files)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), done
        return done.stdout

    def starts(self, file: Path) -> str:
        """Start a program: what the linker says against it, if anything."""
        command = [self.linker, "--library-path", self.folder, file]
        return subprocess.run(command, capture_output=True, text=True, check=False).stderr


@lru_cache
def _opener(glibc: Glibc) -> Path:
    """A program linked to nothing but this glibc, so that it runs on any machine's kernel."""
    target = Path(os.environ["TT_CONDA_TEST_FOLDER"], f"open-{'.'.join(map(str, glibc.version))}")
    source = target.with_suffix(".c")
    source.write_text(_OPENER)
    libraries = [glibc.folder / name for name in ("libc.so.6", "libdl.so.2") if (glibc.folder / name).exists()]
    subprocess.run(
        [program("gcc"), "-nostdlib", "-fno-stack-protector", "-O1", "-z", "noexecstack", "-o", target, source,
         "-Wl,--no-as-needed,--allow-shlib-undefined", *libraries], check=True,
    )  # fmt: skip
    return target


def _glibc(linker: Path, folder: Path) -> Glibc:
    said = subprocess.run([linker, folder / "libc.so.6"], capture_output=True, text=True, check=True).stdout
    match = re.search(r"release version (\d+)\.(\d+)", said)
    assert match, said
    return Glibc((int(match[1]), int(match[2])), linker, folder)


@lru_cache
def this_glibc() -> Glibc:
    """This machine's."""
    maps = Path("/proc/self/maps").read_text()
    libc = re.search(r"/\S*/libc\.so\.6", maps)
    assert libc
    return _glibc(Path("/lib64/ld-linux-x86-64.so.2"), Path(libc[0]).parent)


def other_glibcs() -> list[Glibc]:
    """Those that ``TT_CONDA_GLIBCS`` names; skips the test without any."""
    folders = [Path(each) for each in os.environ.get("TT_CONDA_GLIBCS", "").split(":") if each]
    if not folders:
        pytest.skip("no other glibc is here: TT_CONDA_GLIBCS names none")
    found = []
    for folder in folders:
        (libc,) = (each for each in folder.rglob("libc.so.6") if not each.parent.is_symlink())
        (linker,) = (each for each in libc.parent.glob("ld-linux-x86-64.so.2"))
        found.append(_glibc(linker, libc.parent))
    return found
