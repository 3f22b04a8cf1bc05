"""The machine's own CPythons: found, checked, and laid out as relocatable packages."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tt_conda.base import settings
from tt_conda.base.documents import read_json
from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import write_atomically

VERSIONS = ("3.10", "3.12")

_PROBE = """
import json, platform, sys, sysconfig
v = sysconfig.get_config_var
print(json.dumps({
    "version": platform.python_version(), "short": "%d.%d" % sys.version_info[:2],
    "ok": platform.python_implementation() == "CPython" and platform.machine() == "x86_64" and sys.maxsize > 2**32
        and sys.platform == "linux" and "deb_system" not in sysconfig.get_scheme_names(),
    "executable": getattr(sys, "_base_executable", sys.executable), "prefix": sys.base_prefix,
    "stdlib": sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix, "base": sys.base_prefix}),
    "dynload": sysconfig.get_config_var("DESTSHARED"), "include": sysconfig.get_config_h_filename(),
    "libdir": v("LIBDIR"), "shared": v("INSTSONAME") if v("Py_ENABLE_SHARED") else "",
    "built_in": [v("prefix"), v("exec_prefix")], "builddir": v("abs_builddir") or "", "srcdir": v("abs_srcdir") or "",
}))
"""

_LEFT_OUT = {
    "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "turtle.py", "__pycache__",
    "EXTERNALLY-MANAGED",
}  # fmt: skip

_ESSENTIAL = {
    "_ssl", "_hashlib", "_ctypes", "zlib", "_bz2", "_lzma", "_sqlite3", "_decimal", "pyexpat", "_uuid", "_curses",
}  # fmt: skip
"""Modules without which it would not be Python."""


@dataclass(frozen=True)
class Interpreter:
    """One CPython that a package can be made of."""

    short: str
    version: str
    executable: str
    prefix: str
    stdlib: str
    include: str
    libdir: str
    shared: str
    machine_paths: tuple[str, ...]
    """Folders of the machine that are compiled into it."""

    def identity(self) -> str:
        """Changes when the interpreter is replaced."""
        return json.dumps([asdict(self), _stat(Path(self.executable)), _stat(Path(self.stdlib))])


def _stat(path: Path) -> list[int]:
    try:
        stat = path.stat()
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


def _candidates(version: str) -> Iterator[Path]:
    """Where a CPython of this version usually stands; best first."""
    env = settings.environ()
    name = f"python{version}"
    home = Path(env.get("HOME") or "/nonexistent")
    pyenv = Path(env.get("PYENV_ROOT") or home / ".pyenv")
    uv = Path(env.get("UV_PYTHON_INSTALL_DIR") or env.get("XDG_DATA_HOME", str(home / ".local/share")) + "/uv/python")
    tag = "cp" + version.replace(".", "")
    patterns = [
        *((Path(folder), name) for folder in env.get("PATH", "").split(os.pathsep) if folder),
        (pyenv / "versions", f"{version}.*/bin/{name}"),
        (uv, f"cpython-{version}.*/bin/{name}"),
        (Path("/opt/python"), f"{tag}-{tag}/bin/{name}"),
        (Path("/opt/python"), f"{version}*/bin/{name}"),
        (Path("/usr/local/bin"), name),
    ]
    for folder, pattern in patterns:
        found = sorted(folder.glob(pattern), key=lambda p: [int(n) for n in re.findall(r"\d+", str(p))])
        yield from reversed(found)
    if version == "{}.{}".format(*sys.version_info[:2]):
        yield Path(getattr(sys, "_base_executable", sys.executable))


def _is_program(path: Path) -> bool:
    """Whether it is an ELF file: pyenv's shims are scripts that fail for versions which are not active."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def _probe(path: Path) -> Interpreter | None:
    try:
        done = subprocess.run(
            [str(path), "-I", "-S", "-c", _PROBE], capture_output=True, text=True, timeout=30, check=False
        )
        facts = read_json(done.stdout) if done.returncode == 0 else {}
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    if not facts.get("ok"):
        return None
    paths = {facts["prefix"], *facts["built_in"], facts["builddir"], facts["srcdir"]}
    # short ones (/usr, /usr/local, /install) say nothing about this machine and would match too much
    known = {p.rstrip("/") for p in paths if p and len(p.strip("/").split("/")) > 2}
    return Interpreter(
        short=facts["short"], version=facts["version"], executable=str(Path(facts["executable"]).resolve()),
        prefix=facts["prefix"], stdlib=facts["stdlib"], include=str(Path(facts["include"]).parent),
        libdir=str(Path(facts["prefix"]) / "lib"), shared=facts["shared"],
        machine_paths=tuple(sorted(known, key=len, reverse=True)),
    )  # fmt: skip


@functools.cache
def _memory() -> dict[str, list[object]]:
    try:
        loaded = read_json((settings.cache_dir() / "pythons.json").read_text())
    except (OSError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _remembered(path: Path) -> Interpreter | None:
    """Probe a candidate, or recall what it said when it was the same file."""
    memory, now = _memory(), _stat(path)
    known = memory.get(str(path))
    if known and known[0] == now:
        facts = known[1]
        if not isinstance(facts, dict):
            return None
        return Interpreter(**{**facts, "machine_paths": tuple(facts["machine_paths"])})
    found = _probe(path)
    memory[str(path)] = [now, asdict(found) if found else None]
    file = settings.cache_dir() / "pythons.json"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(memory))
    except OSError:
        pass  # only a shortcut; the disk's trouble will be told by what needs it
    return found


def find(version: str) -> Interpreter | None:
    """A CPython of this version on the machine."""
    seen: set[Path] = set()
    conda: Interpreter | None = None  # last resort: it may be one of our own, in an environment that comes and goes
    for path in _candidates(version):
        real = path.resolve()
        if real in seen or not _is_program(real):
            continue
        seen.add(real)
        found = _remembered(path)
        if found and found.short == version:
            if not Path(found.prefix, "conda-meta").is_dir():
                return found
            conda = conda or found
    return conda


def interpreters() -> dict[str, Interpreter]:
    """Every supported CPython that is here, by version."""
    return {version: found for version in VERSIONS if (found := find(version))}


def available_pythons() -> dict[str, Path]:
    """The CPythons that the embedded channel can be made with: ``{"3.10": path, …}``."""
    return {version: Path(found.executable) for version, found in interpreters().items()}


def how_to_get(versions: list[str]) -> str:
    """The way out of a missing interpreter."""
    pyenv = "; ".join(f"pyenv install {version}" for version in versions)
    return (
        f"Install one: uv python install {' '.join(versions)} (ready-made, from GitHub; `ci/run exec uv` has it), or"
        f" {pyenv} (compiled here), and run the command again.\nWith conda-forge, or a mirror of it in pixi's"
        " configuration, none is needed: TT_CONDA_CHANNELS=conda-forge"
    )


def require_any() -> dict[str, Interpreter]:
    """Like ``interpreters``, but an error where there is none."""
    found = interpreters()
    if not found:
        raise TtCondaError(
            f"neither {' nor '.join(f'CPython {version}' for version in VERSIONS)} is on this machine; "
            "the embedded channel is made with them\n"
            "  looked on PATH, in pyenv's and uv's folders, /opt/python and /usr/local (Debian's own is patched "
            "and cannot be moved)",
            how_to_get(list(reversed(VERSIONS))),
        )
    return found


def _filler(path: str) -> str:
    """A path of the same length that names no place of this machine.

    The last component stays: linkers merge a string into the tail of another, and the version number of
    ``sys.version`` may well be the end of ``/home/me/.pyenv/versions/3.10.13``.
    """
    folder, _, name = path.rpartition("/")
    return ("/opt/python" + "_" * len(folder))[: len(folder)] + "/" + name


def stage(python: Interpreter, files: Path, known_sonames: set[str]) -> None:
    """Lay out an interpreter below ``files``, relocatable and without paths of this machine."""
    from tt_conda.elf.read import ElfError, read
    from tt_conda.embedded.link import is_glibc

    name = f"python{python.short}"
    stdlib = files / "lib" / name

    def ignore(folder: str, names: list[str]) -> set[str]:
        here = {n for n in names if n == "__pycache__" or n.endswith((".pyc", ".a", ".exe"))}
        if Path(folder) == Path(python.stdlib):
            here |= _LEFT_OUT & set(names)
            here |= {n for n in names if n.startswith("config-")}
        if Path(folder).name in ("lib2to3", "unittest", "distutils", "ctypes", "sqlite3"):
            here |= {n for n in names if n in ("test", "tests")}
        return here

    shutil.copytree(python.stdlib, stdlib, ignore=ignore, symlinks=True)
    (stdlib / "site-packages").mkdir()
    (stdlib / "site-packages/README.txt").write_text("Packages of this environment.\n")
    shutil.copytree(python.include, files / "include" / name, symlinks=True)
    (files / "bin").mkdir()
    shutil.copyfile(python.executable, files / "bin" / name)
    (files / "bin" / name).chmod(0o755)
    for alias in ("python3", "python"):
        (files / "bin" / alias).symlink_to(name)
    if python.shared:
        shutil.copyfile(Path(python.libdir) / python.shared, files / "lib" / python.shared)
        (files / "lib" / python.shared).chmod(0o755)
        (files / f"lib/libpython{python.short}.so").symlink_to(python.shared)
    for pc in sorted((Path(python.libdir) / "pkgconfig").glob(f"python-{python.short}*.pc")):
        target = files / "lib/pkgconfig" / pc.name
        target.parent.mkdir(exist_ok=True)
        text = re.sub(r"^prefix=.*$", "prefix=${pcfiledir}/../..", pc.read_text(), flags=re.MULTILINE)
        target.write_text(text)
    for folder in (stdlib / "lib-dynload",):
        for path in folder.glob("*.so"):
            try:
                needed = read(path).needed
            except ElfError:
                needed = ("unreadable",)
            foreign = [n for n in needed if not is_glibc(n) and n not in known_sonames and n != python.shared]
            if foreign and path.name.split(".")[0] in _ESSENTIAL:
                raise TtCondaError(
                    f"{python.executable}: its module {path.name} needs {foreign[0]}, which the channel does not have",
                    f"Another CPython {python.short}, first on PATH, would do. " + how_to_get([python.short]),
                )
            if foreign:
                path.unlink()  # tkinter, nis, dbm: their libraries are not in the channel
    _forget_machine(python, files, stdlib)


def _forget_machine(python: Interpreter, files: Path, stdlib: Path) -> None:
    old = [path.encode() for path in python.machine_paths]
    if not old:
        return
    placeholder = "/opt/python__prefix__"
    for folder, _, names in os.walk(files):
        for item in names:
            path = Path(folder, item)
            if path.is_symlink():
                continue
            data = path.read_bytes()
            if not any(text in data for text in old):
                continue
            binary = b"\0" in data
            for text in python.machine_paths:
                # same length in programs, where C strings and debug sections must keep their places
                new = _filler(text) if binary else placeholder
                data = data.replace(text.encode(), new.encode())
            if path.name.startswith("_sysconfigdata_"):
                # sysconfig answers with the environment's own folder, wherever it is
                data += (
                    "\nimport sys as _sys\n"
                    "for _key, _value in build_time_vars.items():\n"
                    "    if isinstance(_value, str):\n"
                    f"        build_time_vars[_key] = _value.replace({placeholder!r}, _sys.base_prefix)\n"
                    "del _sys, _key, _value\n"
                ).encode()
            path.write_bytes(data)
