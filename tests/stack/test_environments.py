"""The environments that the build ended with: each library once, from lib/, and what a person does with them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from rattler import LockFile

from tt_conda.audit.mapped import mapped_objects, parse_probe, probe_command, problems
from tt_conda.base.errors import TtCondaError
from tt_conda.base.location import local_path
from tt_conda.channel import index
from tt_conda.channel.serve import channel_urls, serving
from tt_conda.environment import lockfile, solver
from tt_conda.environment.install import install

Call = Callable[..., "subprocess.CompletedProcess[str]"]
CLUSTER = str(Path(__file__).with_name("one_wormhole.yaml"))
OWN = re.compile(r"_ttnncpp\.so|_ttnn\.cpython|libtt_metal|libtt_stl|libtracy|libdevice|libtt-umd")

DEVICE = """
import os, ttnn
print("devices", ttnn.GetNumAvailableDevices())
try:
    ttnn.open_device(device_id=0)
except RuntimeError as error:
    print("error", str(error).replace(chr(10), " "))
"""


def site_packages(prefix: Path) -> Path:
    (folder,) = prefix.glob("lib/python3.*/site-packages")
    return folder


# --- each library once ---


def test_import_maps_each_library_once(prefix: Path, call: Call) -> None:
    done = call(prefix, "python", *probe_command(prefix / "bin/python", ["ttnn"])[1:])
    objects = mapped_objects(parse_probe(done.stdout), prefix)
    assert problems(objects, prefix) == []
    own = [o for o in objects if OWN.match(o.path.name)]
    assert len(own) >= 6
    assert {o.package for o in own} == {"tt-metal", "libttnn", "ttnn"}
    assert {o.path.parent for o in own if o.package != "ttnn"} == {prefix / "lib"}
    assert {o.package for o in objects if o.soname == "libmpi.so.40"} == {"openmpi"}


def test_ulfm_resolves(prefix: Path, call: Call) -> None:
    """tt-metal needs OpenMPI 5's fault tolerance; RTLD_NOW asks for every function at once."""
    program = "import ctypes, os, sys; lib = sys.argv[1]\n"
    program += "mpi = ctypes.CDLL(lib + '/libmpi.so.40'); mpi.MPIX_Comm_revoke, mpi.MPIX_Comm_shrink\n"
    program += "ctypes.CDLL(lib + '/libtt_metal.so', os.RTLD_NOW); ctypes.CDLL(lib + '/_ttnncpp.so', os.RTLD_NOW)"
    call(prefix, "python", "-c", program, prefix / "lib")


def test_nothing_is_preloaded(prefix: Path, call: Call) -> None:
    """The loader itself finds OpenMPI, through DT_RPATH, at its first attempt."""
    said = call(prefix, "python", "-c", "import ttnn", LD_DEBUG="libs").stderr
    found = re.search(r"find library=libmpi\.so\.40 .*\n.*search path=(\S+)\s+\(RPATH.*\n.*trying file=(\S+)", said)
    assert found, said[-3000:]
    assert Path(os.path.normpath(found[2])) == prefix / "lib/libmpi.so.40"
    assert said.count("find library=libmpi.so.40 ") == said.count("trying file=" + found[2])


def test_foreign_libraries_in_ld_library_path_do_not_win(
    prefix: Path, call: Call, tmp_path: Path, compile_library: Callable[..., Path]
) -> None:
    for name in ("libtt_metal.so", "libmpi.so.40", "libtracy.so", "_ttnncpp.so", "libhwloc.so.15"):
        compile_library(f"foreign/{name}", "int nothing;", f"-Wl,-soname,{name}")
    foreign = tmp_path / "foreign"
    done = call(
        prefix, "python", *probe_command(prefix / "bin/python", ["ttnn"])[1:], LD_LIBRARY_PATH=str(foreign)
    )  # fmt: skip
    files = parse_probe(done.stdout)
    assert not [file for file in files if foreign in file.parents]
    assert prefix / "lib/libtt_metal.so" in files


# --- data and devices ---


def test_kernels_are_there_once(prefix: Path) -> None:
    package = site_packages(prefix) / "ttnn"
    root = prefix / "share/tt-metalium"
    assert list(prefix.rglob("soc_descriptors")) == [root / "tt_metal/soc_descriptors"]
    assert not [path for path in package.rglob("*") if path.is_symlink()]


def test_one_device_with_a_mock_cluster(environment_of: Callable[[str], Path], call: Call, tmp_path: Path) -> None:
    """Activated, upstream's code is told where its data is; otherwise it looks in the environment that it is in."""
    for name in ("0.81-py310", "0.81-py312"):
        prefix = environment_of(name)
        for activate in (True, False):
            command = ["python", "-c", DEVICE]
            if activate:
                command = [sys.executable, "-m", "tt_conda.cli", "run", "--prefix", str(prefix), *command]
                environ = {k: v for k, v in os.environ.items() if k != "TT_METAL_RUNTIME_ROOT"}
                environ["TT_METAL_MOCK_CLUSTER_DESC_PATH"] = CLUSTER
                said = subprocess.run(command, env=environ, capture_output=True, text=True, cwd=tmp_path).stdout
            else:
                said = call(prefix, *command, TT_METAL_MOCK_CLUSTER_DESC_PATH=CLUSTER).stdout
            assert "devices 1\n" in said, said
            error = re.search(r"error .*", said)
            assert error and "sfpi not found" in error[0], said
            assert str(prefix / "share/tt-metalium") in error[0], said


def test_activation(prefix: Path, tmp_path: Path) -> None:
    """It sets the root of the data, leaves alone what the person has set, and takes back what it set."""
    scripts = prefix / "etc/conda"
    shell = f"""
        export CONDA_PREFIX='{prefix}'
        . {scripts}/activate.d/tt-metal-kernels.sh; echo "$TT_METAL_RUNTIME_ROOT"
        . {scripts}/deactivate.d/tt-metal-kernels.sh; env | grep -c TT_METAL_
        export TT_METAL_RUNTIME_ROOT=/mine
        . {scripts}/activate.d/tt-metal-kernels.sh; echo "$TT_METAL_RUNTIME_ROOT"
        . {scripts}/deactivate.d/tt-metal-kernels.sh; echo "$TT_METAL_RUNTIME_ROOT"
    """
    for program in ("bash", "sh"):
        done = subprocess.run([program, "-c", shell], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True)
        assert done.stdout.splitlines() == [f"{prefix}/share/tt-metalium", "0", "/mine", "/mine"], done
        assert done.stderr == ""
    code = ["python", "-c", "import os; print(os.environ['TT_METAL_RUNTIME_ROOT'])"]
    command = [sys.executable, "-m", "tt_conda.cli", "run", "--prefix", str(prefix), *code]
    for mine, expected in ((None, f"{prefix}/share/tt-metalium"), ("/mine", "/mine")):
        environ = {k: v for k, v in os.environ.items() if k != "TT_METAL_RUNTIME_ROOT"}
        environ |= {"TT_METAL_RUNTIME_ROOT": mine} if mine else {}
        done = subprocess.run(command, env=environ, capture_output=True, text=True)
        assert done.stdout == f"{expected}\n", done


# --- programs ---


def test_mpirun_and_tt_run(prefix: Path, call: Call) -> None:
    assert "Open MPI) 5." in call(prefix, "mpirun", "--version").stdout
    root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
    script = "echo rank $OMPI_COMM_WORLD_RANK"
    said = call(prefix, "mpirun", *root, "--oversubscribe", "-n", "2", "sh", "-c", script).stdout
    assert sorted(said.splitlines()) == ["rank 0", "rank 1"]
    assert "Usage: tt-run" in call(prefix, "tt-run", "--help").stdout
    first = (prefix / "bin/tt-run").read_text().splitlines()[0]
    assert first.startswith(f"#!{prefix}/bin/python"), first


# --- locked, moved, deleted ---


@pytest.fixture(scope="module")
def specs(pythons: Sequence[str]) -> list[str]:
    return ["ttnn ==0.81.1", f"python {pythons[-1]}.*"]


def test_a_frozen_lock_round_trip(
    specs: list[str], channels: Sequence[str | Path], tmp_path: Path, call: Call, output: Path
) -> None:
    records = solver.solve(specs, channels)
    lock = tmp_path / "tt-conda.lock"
    lockfile.write_lock(lock, records, specs, channels)
    installed = install([], tmp_path / "env", [], frozen=lock)
    assert {(r.file_name, r.sha256) for r in installed} == {(r.file_name, r.sha256) for r in records}
    metadata = {path.stem for path in (tmp_path / "env/conda-meta").glob("*.json")}
    assert metadata == {record.file_name.removesuffix(".conda") for record in records}
    call(tmp_path / "env", "python", "-c", "import ttnn")
    # one other byte in one package
    copy = tmp_path / "copy"
    for subdir in ("linux-64", "noarch"):
        shutil.copytree(output / subdir, copy / subdir)
    index.validate(copy)
    package = next(copy.glob("linux-64/libttnn-0.81.1-*.conda"))
    data = bytearray(package.read_bytes())
    data[len(data) // 2] ^= 1
    package.write_bytes(data)
    with pytest.raises(TtCondaError, match=rf"{re.escape(package.name)} is another file") as error:
        install([], tmp_path / "env2", [copy, *channels[1:]], frozen=lock)
    assert "expected sha256" in error.value.what
    assert not (tmp_path / "env2/lib").exists()


def test_a_lock_of_served_channels_is_for_readers_that_want_urls(
    specs: list[str], channels: Sequence[str | Path], tmp_path: Path
) -> None:
    """As docs/installing.md says: served, and locked outside of the checkout."""
    folders = [folder for channel in channels if (folder := local_path(str(channel)))]
    remote = [str(channel) for channel in channels if not local_path(str(channel))]
    with serving(folders) as url:
        given = [word for channel in [*channel_urls(url, folders), *remote] for word in ("--channel", channel)]
        command = [sys.executable, "-m", "tt_conda.cli", "lock", *specs, "-o", "ttnn.lock", *given]
        subprocess.run(command, env={**os.environ, "TT_CONDA_PROJECT": "."}, cwd=tmp_path, check=True)
    lock = LockFile.from_path(tmp_path / "ttnn.lock")
    found = lock.default_environment()
    assert found
    records = found.conda_repodata_records_for_platform(lock.platforms()[0])
    assert records and all(str(record.url).startswith("http") for record in records)


def test_two_places_and_one_of_them_deleted(
    specs: list[str], channels: Sequence[str | Path], tmp_path: Path, call: Call
) -> None:
    one, two = tmp_path / "one", tmp_path / "a longer name/two"
    for prefix in (one, two):
        install(specs, prefix, channels)
    call(one, "python", "-c", "import ttnn")
    shutil.rmtree(one)
    done = call(two, "python", *probe_command(two / "bin/python", ["ttnn"])[1:])
    assert problems(mapped_objects(parse_probe(done.stdout), two), two) == []
    assert "Usage: tt-run" in call(two, "tt-run", "--help").stdout
    left = subprocess.run(["grep", "-rlF", str(one), two], capture_output=True, text=True).stdout
    assert left == ""
