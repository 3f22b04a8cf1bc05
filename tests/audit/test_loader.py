"""The loader's contract: every rule of the dynamic linker is a fixture in ``loader/``, named after the rule.

A fixture says which objects to compile and what is found; the machine's own ld.so must find it, and so must we.
"""

from __future__ import annotations

import ctypes
import os
import posixpath
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from toolchain import program
from tt_conda.audit.loader import System, closure, this_system
from tt_conda.audit.lookup import Lookup
from tt_conda.audit.scene import Scene
from tt_conda.elf import read

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FIXTURES = sorted(Path(__file__).with_name("loader").glob("*.toml"))

OPENER = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
int {name}(int count, char **paths) {{
    for (int i = 1; i < count; i++)
        if (!dlopen(paths[i], RTLD_NOW | RTLD_LOCAL)) {{ puts(dlerror()); return 1; }}
    char line[4096];
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps)) fputs(line, stdout);
    return 0;
}}
"""


class Fixture:
    """A fixture, compiled in a folder."""

    def __init__(self, file: Path, root: Path) -> None:
        self.root = root
        system = this_system()
        text = file.read_text().replace("@LIB@", system.lib).replace("@PLATFORM@", system.platform)
        self.data: dict[str, Any] = tomllib.loads(text.replace("@ROOT@", str(root)))
        self.opens = [str(root / path) for path in self.data.get("opens", [])]
        self.library_path = [str(root / path) for path in self.data.get("library_path", [])]
        self.working_folder = root / self.data.get("working_folder", ".")
        for item in self.data["object"]:
            self._compile(item)
        for kind in ("copy", "hardlink", "link", "folder", "foreign", "cut", "text"):
            for item in self.data.get(kind, []):
                self._make(kind, item)

    @property
    def program(self) -> Path:
        return self.root / "bin/main"

    def _compile(self, item: Mapping[str, Any]) -> None:
        target = self.root / item["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        needs = [self.root / path for path in item.get("needs", [])]
        shared = ".so" in target.name
        name = _id(target)
        source = target.parent / f"{target.name}.c"
        body = "".join(f"extern int f_{_id(need)}(void);\n" for need in needs)
        total = " + ".join(["0", *(f"f_{_id(need)}()" for need in needs)])
        if shared:
            body += f"int f_{name}(void) {{ return {total}; }}\n"
            body += OPENER.format(name="open_all") if item.get("calls_dlopen") else ""
        elif any(each.get("calls_dlopen") for each in self.data["object"]):
            body += "int open_all(int, char **); int main(int c, char **v) { return open_all(c, v); }\n"
        elif self.opens:
            body += OPENER.format(name="main")
        else:
            body += f"int main(void) {{ return {total}; }}\n"
        source.write_text(body)
        flags = ["-Wl,--no-as-needed", "-Wl,--allow-shlib-undefined", *map(str, needs), *item.get("flags", [])]
        if shared:
            flags += ["-shared", "-fPIC"]
            if not item.get("no_soname"):
                flags.append(f"-Wl,-soname,{item.get('soname', target.name)}")
        for tag, flag in (("rpath", "--disable-new-dtags"), ("runpath", "--enable-new-dtags")):
            if tag in item:
                flags += [f"-Wl,-rpath,{item[tag]}", f"-Wl,{flag}"]
        command = [program("gcc"), "-o", str(target), str(source), *flags, "-ldl"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, shlex.join(command) + done.stderr
        source.unlink()

    def _make(self, kind: str, item: Mapping[str, str]) -> None:
        target = self.root / item["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        of = self.root / item.get("of", "")
        if target.is_dir() and kind == "link":
            shutil.rmtree(target)
        elif kind != "folder":
            target.unlink(missing_ok=True)
        if kind == "copy":
            shutil.copy(of, target)
        elif kind == "hardlink":
            os.link(of, target)
        elif kind == "link":
            target.symlink_to(item["to"])
        elif kind == "folder":
            target.mkdir()
        elif kind == "text":
            target.write_text(item["content"])
        else:
            content = bytearray(of.read_bytes())
            if kind == "foreign":
                content[18:20] = (183 if os.uname().machine == "x86_64" else 62).to_bytes(2, "little")  # e_machine
            target.write_bytes(content[:32] if kind == "cut" else content)

    def system(self) -> System:
        return replace(this_system(), library_path=tuple(self.library_path), working_folder=str(self.working_folder))

    def ours(self) -> dict[str, str]:
        """What the audit finds: NEEDED name, or the name of what is opened → file, "" where there is none."""
        system = self.system()
        files = Lookup(Scene())
        start = files.find(str(self.program))
        assert start
        found = closure(start, system, files)
        host = found.loaded
        for path in self.opens:
            opened = files.find(path)
            assert opened
            found = closure(opened, system, files, host=host)
            host = [*host, *found.loaded]
        if not self.opens:
            told = {posixpath.basename(item.path): self._located(item.path) for item in found.loaded[1:]}
            return _without_libc(told | {name: "" for name, _ in found.missing})
        if found.missing:
            return {found.missing[0][0]: ""}
        return self._mapped({os.path.realpath(item.path) for item in host})

    def real(self) -> dict[str, str]:
        """What the machine's linker finds: of a program as ldd tells it, of what is opened as it is then mapped."""
        environ = {k: v for k, v in os.environ.items() if not k.startswith("LD_")}
        if self.library_path:
            environ["LD_LIBRARY_PATH"] = ":".join(self.library_path)
        if not self.opens:
            environ["LD_TRACE_LOADED_OBJECTS"] = "1"
        done = subprocess.run(
            [self.program, *self.opens],
            capture_output=True,
            text=True,
            env=environ,
            cwd=self.working_folder,
            check=False,
        )
        if self.opens and done.returncode == 0:
            files = {line.split(None, 5)[5].strip() for line in done.stdout.splitlines() if line.count("/") > 1}
            return self._mapped(files)
        if self.opens:
            return {done.stdout.partition(":")[0].rpartition("/")[2]: ""}
        found: dict[str, str] = {}
        for line in done.stdout.splitlines():
            name, arrow, rest = line.strip().partition(" => ")
            if arrow:
                found[name] = "" if "not found" in rest else self._located(rest)
            else:  # printed alone: it was found under this very name
                found[posixpath.basename(name.split(" (")[0])] = self._located(name)
        return _without_libc(found)

    def finds(self) -> dict[str, str]:
        """What the fixture says."""
        told: dict[str, str] = self.data["finds"]
        if not self.opens:
            return {name: path and self._located(str(self.root / path)) for name, path in told.items()}
        missing = {name: "" for name, path in told.items() if not path}
        return missing or self._mapped({os.path.realpath(self.root / path) for path in told.values()})

    def _located(self, path: str) -> str:
        """A path without links and ``..`` in its folder; the name of the file stays."""
        folder, name = os.path.split(self.working_folder / path.split(" (")[0])
        return posixpath.join(os.path.realpath(folder), name)

    def _mapped(self, files: set[str]) -> dict[str, str]:
        return {os.path.relpath(file, self.root): file for file in files if file.startswith(f"{self.root}/")}


def _id(path: Path) -> str:
    return path.name.replace(".", "_").replace("-", "_")


def _without_libc(found: dict[str, str]) -> dict[str, str]:
    return {
        name: path
        for name, path in found.items()
        if not name.startswith(("ld-linux", "linux-vdso", "libc.so", "libdl."))
    }


@pytest.mark.parametrize("file", FIXTURES, ids=lambda file: file.stem)
def test_contract(file: Path, tmp_path: Path) -> None:
    fixture = Fixture(file, tmp_path.resolve())
    real = fixture.real()
    assert fixture.finds().items() <= real.items(), "the fixture says otherwise than this machine's linker"
    assert fixture.ours() == real


def test_ld_preload_of_this_process_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD", "libnothing.so")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/nowhere")
    this_system.cache_clear()
    try:
        assert not this_system().library_path
    finally:
        this_system.cache_clear()


def test_the_cache_is_this_machines() -> None:
    found = this_system().cache["libc.so.6"]
    assert read(Path(found).resolve()).soname == "libc.so.6"
    ctypes.CDLL(found)


def test_real_programs_of_this_machine() -> None:
    for name in ("bash", "git", "tar", "xz"):
        if path := shutil.which(name):
            files = Lookup(Scene())
            start = files.find(os.path.realpath(path))
            assert start
            found = closure(start, this_system(), files)
            mine = {posixpath.basename(item.path): os.path.normpath(item.path) for item in found.loaded[1:]}
            done = subprocess.run(["ldd", path], capture_output=True, text=True, check=True)
            lines = (line.strip().partition(" => ") for line in done.stdout.splitlines())
            theirs = {name: os.path.normpath(rest.split(" (")[0]) for name, arrow, rest in lines if arrow}
            assert _without_libc(mine) == _without_libc(theirs)
