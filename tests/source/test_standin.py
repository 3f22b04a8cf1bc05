"""The recipes that compile, from the stand-in's sources to programs that run, with both C++ standard libraries."""

from __future__ import annotations

import ast
import contextlib
import ctypes
import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tools import require as require_tool
from torch_builds import is_there
from tt_conda.audit.audit import audit
from tt_conda.audit.finding import Severity
from tt_conda.audit.targets import read_targets
from tt_conda.base import settings
from tt_conda.base.errors import TtCondaError
from tt_conda.building.build import INTERNAL, Built
from tt_conda.building.verify import verify
from tt_conda.elf.read import read
from tt_conda.environment import solver
from tt_conda.environment.install import install
from tt_conda.formats import conda

Make = Callable[..., Built]
Environment = Callable[..., Path]
Call = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.xdist_group("standin")

HERE = Path(__file__).parent
OURS = {"tt-metal", "tt-metal-kernels", "tt-metal-devel", "tt-metal-static", "libttnn", "ttnn", "torch-ttnn"}
COMPILERS = ("clangxx_linux-64", "lld", "cmake", "ninja")
STDLIBS = ("libcxx", "libstdcxx")
RUNTIME = {"libcxx": "libc++.so.1", "libstdcxx": "libstdc++.so.6"}
LIBRARIES = ("libtt_metal.so", "libtt_stl.so", "libdevice.so", "libtracy.so", "_ttnncpp.so")


@pytest.fixture(scope="module")
def stacks(environment_with: Environment) -> Callable[[str], Path]:
    """The stack with one C++ standard library, and what compiles against it."""
    made: dict[str, Path] = {}

    def get(cxx_stdlib: str) -> Path:
        if cxx_stdlib not in made:
            packages = ["ttnn", "tt-metal-devel", *(["tt-metal-static"] if cxx_stdlib == "libcxx" else [])]
            devel = ["libcxx-devel"] if cxx_stdlib == "libcxx" else []
            made[cxx_stdlib] = environment_with(cxx_stdlib, packages, *COMPILERS, *devel)
        return made[cxx_stdlib]

    return get


@pytest.mark.parametrize(
    ("top", "sub", "said"),
    [
        ("option(GIVEN x OFF)", "if(GIVEN)\nendif()", ""),
        ("", "set(GIVEN /opt)\nif(GIVEN)\nendif()", "CMakeLists.txt sets GIVEN to '/opt', against the recipe's 'ON'"),
        ("if(GIVEN)\nendif()", "set(GIVEN /opt PARENT_SCOPE)", "sets GIVEN to '/opt'"),
        ("message(STATUS hello)", "set(GIVEN ON)", "options that nothing reads: GIVEN"),
    ],
)  # fmt: skip
def test_an_option_that_upstream_overrides_or_ignores_is_an_error(
    stacks: Callable[[str], Path], call: Call, tmp_path: Path, top: str, sub: str, said: str
) -> None:
    """As 0.65 has a plain ``set(ULFM_PREFIX …)``, which hides the cache."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/CMakeLists.txt").write_text(sub)
    (tmp_path / "CMakeLists.txt").write_text(
        f"cmake_minimum_required(VERSION 3.24)\nproject(x LANGUAGES NONE)\nadd_subdirectory(sub)\n{top}\n"
    )
    options = HERE.parents[1] / "recipes/tt-metal/source/options.cmake"
    done = call(
        stacks("libcxx"), "cmake", "-G", "Ninja", "-S", tmp_path, "-B", tmp_path / "build", "-DGIVEN=ON",
        f"-DCMAKE_PROJECT_TOP_LEVEL_INCLUDES={options}", TT_CONDA_OPTIONS="GIVEN", check=False,
    )  # fmt: skip
    assert (done.returncode == 0) == (said == ""), done.stderr
    assert said in " ".join(done.stderr.split())  # CMake breaks lines


@pytest.mark.parametrize("cxx_stdlib", STDLIBS)
def test_what_is_compiled_once_is_in_one_package(stacks: Callable[[str], Path], project: Path, cxx_stdlib: str) -> None:
    """All of it is in the packages that are made of it, each file in one."""
    stacks(cxx_stdlib)

    def files(channel: Path, name: str) -> set[str]:
        (package,) = channel.glob(f"linux-64/{name}-[0-9]*-{cxx_stdlib}_local_*.conda")
        with conda.opened(package, [conda.INFO]) as parts:
            paths = json.loads(parts[conda.INFO].read("info/paths.json"))["paths"]
        return {path["_path"] for path in paths if not path["_path"].startswith("etc/conda/test-files/")}

    output = project / "output"
    compiled = files(output / INTERNAL, "tt-metal-compiled")
    made_of_it = [files(output, name) for name in ("tt-metal", "libttnn", "tt-metal-devel")]
    parts = ("share/tt-metal-compiled/runtime/", "share/tt-metal-compiled/devel/")
    assert {path.removeprefix(part) for part in parts for path in compiled if path.startswith(part)} == set.union(
        *made_of_it
    )
    assert sum(map(len, made_of_it)) == len(set.union(*made_of_it))


@pytest.mark.parametrize("cxx_stdlib", STDLIBS)
def test_ttnn_runs(stacks: Callable[[str], Path], call: Call, cxx_stdlib: str) -> None:
    """From Python through the bindings and both libraries, and exceptions of each of them back."""
    code = """
import ttnn
print(ttnn.add([1, 2], [3, 4]), ttnn.additions(), ttnn.is_debug())
for raises in (lambda: ttnn.add([1], [1, 2]), ttnn.open_device):
    try:
        raises()
    except (RuntimeError, ValueError) as error:
        print(type(error).__name__, error)
paths = {line.split()[-1] for line in open("/proc/self/maps") if ".so" in line}
names = [path.rsplit("/", 1)[-1] for path in paths]
print(sorted(name for name in names if name.startswith(("libtt_", "libdevice", "libtracy", "_ttnncpp", "libmpi.so"))))
print(any(name.startswith("libc++.so") for name in names))
"""
    said = call(stacks(cxx_stdlib), "python", "-c", code).stdout.splitlines()
    assert said[:3] == [
        "[4.0, 6.0] 1 False",
        "ValueError sizes differ: 1 and 1 2 ",
        "RuntimeError No chips detected in the cluster",
    ]
    libraries = ["_ttnncpp.so", "libdevice.so", "libmpi.so.40", "libtracy.so.0.10.0", "libtt_metal.so", "libtt_stl.so"]
    assert said[3] == str(libraries)
    assert said[4] == str(cxx_stdlib == "libcxx")


def test_kernels_compile_where_the_environment_is(stacks: Callable[[str], Path], call: Call, tmp_path: Path) -> None:
    """With SFPI's package, found below the root."""
    code = "import ttnn; print(open(ttnn.compile_kernel('ttnn/cpp/ttnn/operations/add/device/kernels/add.cpp')).read())"
    prefix = stacks("libcxx")
    assert call(prefix, "python", "-c", code, TMPDIR=str(tmp_path)).stdout.startswith("RISC-V ")
    # a kernel that upstream's component lacks, as it lacks the header that both include
    assert call(prefix, "python", "-c", code.replace("add.cpp", "add_scalar.cpp"), TMPDIR=str(tmp_path)).stdout
    elsewhere = call(prefix, "python", "-c", code, TT_METAL_RUNTIME_ROOT=str(tmp_path), check=False)
    assert elsewhere.returncode != 0 and f"{tmp_path}/ttnn/cpp" in elsewhere.stderr  # what one sets oneself counts


@pytest.mark.parametrize("cxx_stdlib", STDLIBS)
def test_a_cmake_project_finds_both_packages(
    stacks: Callable[[str], Path], call: Call, tmp_path: Path, cxx_stdlib: str
) -> None:
    """And the version in the library is the recipe's, though TT_METAL_VERSION was another when it was built."""
    prefix = stacks(cxx_stdlib)
    static = cxx_stdlib == "libcxx"
    flag = "libc++" if cxx_stdlib == "libcxx" else "libstdc++"
    build = (
        f"unset TT_METAL_RUNTIME_ROOT; cmake -G Ninja -S {HERE}/consumer -B {tmp_path}"
        f" -DCMAKE_PREFIX_PATH={prefix}"
        f" -DCMAKE_CXX_FLAGS=-stdlib={flag} -DWITH_STATIC={'ON' if static else 'OFF'} && cmake --build {tmp_path}"
    )
    call(prefix, "bash", "-c", build)
    for name in ("metalium", "static") if static else ("metalium",):
        assert call(prefix, tmp_path / name).stdout.splitlines() == [
            '{"version": "0.65.0"}', "0.65.0 Release", "No chips detected in the cluster",
        ]  # fmt: skip
    assert call(prefix, tmp_path / "nn").stdout.splitlines() == ["4 6 ", "sizes differ: 1 and 1 2 "]
    assert RUNTIME[cxx_stdlib] in read(tmp_path / "nn").needed
    if static:
        assert not set(LIBRARIES) & set(read(tmp_path / "static").needed)


@pytest.mark.parametrize("cxx_stdlib", STDLIBS)
def test_the_audit_finds_nothing_in_it(stacks: Callable[[str], Path], cxx_stdlib: str) -> None:
    with read_targets([stacks(cxx_stdlib)]) as scene:
        findings = audit(scene).findings
    bad = [
        f"{finding.code} {finding.message}" for finding in findings
        if finding.severity is not Severity.NOTE and any(p.owner.split()[0] in OURS for p in finding.places)
    ]  # fmt: skip
    assert bad == []
    assert [finding.code for finding in findings if finding.severity is Severity.ERROR] == []


@pytest.mark.parametrize("cxx_stdlib", STDLIBS)
def test_libraries_name_no_folder_of_the_machine(stacks: Callable[[str], Path], cxx_stdlib: str) -> None:
    prefix = stacks(cxx_stdlib)
    for name in LIBRARIES:
        facts = read(prefix / "lib" / name)
        assert facts.runpath is None and facts.rpath and facts.rpath.startswith("$ORIGIN"), name
        content = (prefix / "lib" / name).read_bytes()
        assert b"placehold" not in content and b"openmpi-v5.0.7-ulfm" not in content and b"/.work/" not in content


@pytest.mark.parametrize("cxx_stdlib", STDLIBS)
def test_the_c_plus_plus_runtime_is_in_no_library(stacks: Callable[[str], Path], cxx_stdlib: str) -> None:
    """Else what one of them throws is unknown to another: libc++ knows types by their address."""
    prefix = stacks(cxx_stdlib)
    for path in [
        *(prefix / "lib" / name for name in LIBRARIES),
        *prefix.glob("lib/python*/site-packages/ttnn/_ttnn*.so"),
    ]:
        defined = read(path).symbols.defined
        assert "_ZTISt9exception" not in defined and "__cxa_throw" not in defined, path


def test_debug(make: Make, project: Path, others: list[str | Path]) -> None:
    """Assertions and symbols; it does not come where nobody asked for it."""
    result = make("tt-metal", cxx_stdlib="libcxx", tt_metal_build="Debug")
    make("tt-metal", cxx_stdlib="libcxx")
    channels = [project / "output", *others]
    (stem,) = (
        s for s in (*result.built, *result.current, *result.reused) if re.match("tt-metal-[0-9].*-libcxx_localdebug", s)
    )
    found = solver.solve(["tt-metal * libcxx_*"], channels)
    assert next(str(r.build) for r in found if r.name.normalized == "tt-metal").startswith("libcxx_local_")
    prefix = project / "debug"
    install([f"tt-metal * {stem.rsplit('-', 1)[1]}"], prefix, channels)
    library = prefix / "lib/libtt_metal.so"
    assert b".debug_info" in library.read_bytes()
    is_debug = ctypes.CDLL(str(library))._ZN2tt8tt_metal8is_debugEv
    is_debug.restype = ctypes.c_bool
    assert is_debug()


def test_what_does_not_fit_is_not_installed(make: Make, project: Path, others: list[str | Path]) -> None:
    channels = [project / "output", *others]
    for cxx_stdlib in STDLIBS:
        make("libttnn", "torch-cxx-stdlib", cxx_stdlib=cxx_stdlib)
        each = [f"{name} * {cxx_stdlib}_local_*" for name in ("libttnn", "tt-metal")]
        solver.solve([*each, f"torch-cxx-stdlib * {cxx_stdlib}"], channels)
    for spec in ("tt-metal * libstdcxx_local_*", "torch-cxx-stdlib * libstdcxx"):
        with pytest.raises(TtCondaError, match=spec.split(" ")[0]):
            solver.solve(["libttnn * libcxx_local_*", spec], channels)


@pytest.mark.parametrize("cxx_stdlib", STDLIBS)
def test_the_extension_runs_on_pytorch(
    environment_with: Environment, call: Call, pytorch: Callable[[str], None], cxx_stdlib: str
) -> None:
    pytorch(cxx_stdlib)
    prefix = environment_with(cxx_stdlib, ["torch-ttnn"])
    code = """
import collections, os, sys, torch, ttnn, torch_ttnn
from torch_ttnn.cpp_extension import ttnn_module
assert sys.modules["torch.ttnn"] is ttnn_module
ones = torch.ones(2, 2, device="ttnn:0")
assert (ones + ones).cpu().tolist() == [[2, 2], [2, 2]]
assert ttnn_module.additions() == ttnn.additions() == 1  # one library, for both
assert ones.sum().item() == 4  # falls back to the host
assert ttnn_module.catches_torch_error() and ttnn_module.catches_no_chips()
try:
    torch.ones(2, device="ttnn:0") + torch.ones(3, device="ttnn:0")
except RuntimeError as error:
    assert "sizes differ" in str(error)
paths = {line.split()[-1] for line in open("/proc/self/maps") if ".so" in line and "/" in line}
count = collections.Counter(os.path.basename(os.path.realpath(path)) for path in paths)
print([name for name, many in count.items() if many > 1])
print(sorted(name for name in count if name.startswith(("libc++.so", "libstdc++.so"))))
"""
    said = call(prefix, "python", "-c", code).stdout.splitlines()
    assert said[0] == "[]"
    # the C library's own programs, as Python's readline, may bring libstdc++ in; what is ours brings one
    assert any(name.startswith(RUNTIME[cxx_stdlib].rpartition(".")[0]) for name in ast.literal_eval(said[1])), said[1]
    code = "import torch, torch_ttnn.cpp_extension; one = torch.ones(1, device='ttnn:0'); one + one"
    for value, logged in (("1", "add\n"), ("0", "")):
        assert call(prefix, "python", "-W", "ignore", "-c", code, DEBUG_CPP_EXT=value).stderr == logged
    extension = next(prefix.glob("lib/python*/site-packages/torch_ttnn_cpp_extension/ttnn_device_extension"))
    facts = read(extension)
    assert RUNTIME[cxx_stdlib] in facts.needed
    assert not set(RUNTIME.values()) - {RUNTIME[cxx_stdlib]} & set(facts.needed)
    assert sorted(extension.parent.iterdir()) == [extension]  # and no copy of anything beside it
    with read_targets([prefix]) as scene:
        bad = [f for f in audit(scene).findings if f.severity is not Severity.NOTE
               and any(p.owner.split()[0] in OURS for p in f.places)]  # fmt: skip
    assert [f"{f.code} {f.message}" for f in bad] == []


@pytest.mark.parametrize("cxx_stdlib", STDLIBS)
def test_built_again_it_is_the_same(
    make: Make, project: Path, others: list[str | Path], python: str, tmp_path: Path, cxx_stdlib: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Every package, elsewhere, and compiled again: the compiler's cache is another one."""
    with_pytorch = is_there(cxx_stdlib, python, others)
    names = {"ttnn", "tt-metal-devel", "tt-metal-static", *(["torch-ttnn"] if with_pytorch else [])}
    make(*names, cxx_stdlib=cxx_stdlib)
    monkeypatch.setenv("CCACHE_DIR", str(tmp_path / "ccache"))
    common = ["linux-64/tt-metal-source-*", "noarch/tt-metal-kernels-*", "linux-64/sfpi-*"]  # for both
    common = common if cxx_stdlib == "libcxx" else []
    packages = [path for pattern in (f"linux-64/*-{cxx_stdlib}_local_*.conda", *common)
                for channel in (project / "output", project / "output" / INTERNAL)
                for path in channel.glob(pattern)]  # fmt: skip
    wanted = names | {"tt-metal", "tt-metal-compiled", "libttnn"}
    wanted |= {"tt-metal-source", "tt-metal-kernels", "sfpi"} if common else set()
    assert {path.name.rsplit("-", 2)[0] for path in packages} == wanted
    for verdict in verify(packages, [project / "output", *others], project=project):
        assert verdict.same, (verdict.package.name, verdict.missing, verdict.differences)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@pytest.fixture(params=["a script", "distcc"])
def elsewhere(
    request: pytest.FixtureRequest, stacks: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], int]]:
    """Name a program that ccache hands compilations to; call the fixture for how many it was given and did."""
    if request.param == "a script":
        script, log = tmp_path / "prefix", tmp_path / "log"
        script.write_text(f'#!/bin/sh\necho "$*" >> {log}\nexec "$@"\n')
        script.chmod(0o755)
        monkeypatch.setenv("CCACHE_PREFIX", str(script))
        yield lambda: len(re.findall(r" -c ", log.read_text()))
        assert "placehold" not in log.read_text(), "an object compiled in another folder would not be found"
        return
    daemon = require_tool("distccd")
    compilers = tmp_path / "compilers"  # those of another environment, as they would be another machine's
    compilers.write_text("".join(f"{path}\n" for path in stacks("libcxx").glob("bin/*clang*") if path.is_file()))
    ports = _free_ports(2)
    logs = [tmp_path / f"{port}.log" for port in ports]
    as_user = ["unshare", "--user", "--map-user=1000"] if os.geteuid() == 0 else []  # root's would become somebody else
    daemons = [
        subprocess.Popen([
            *as_user, daemon, "--no-detach", "--daemon", "--allow", "127.0.0.1", "--listen", "127.0.0.1",
            "--port", str(port), "--jobs", "2", "--log-file", str(log),
        ], env={**os.environ, "TMPDIR": str(tmp_path), "DISTCC_CMDLIST": str(compilers)})
        for port, log in zip(ports, logs, strict=True)
    ]  # fmt: skip
    try:
        deadline = time.monotonic() + 30
        while not all(map(_answers, ports)):
            assert time.monotonic() < deadline, [log.read_text() for log in logs]
            time.sleep(0.1)
        monkeypatch.setenv("CCACHE_PREFIX", str(Path(daemon).with_name("distcc")))
        monkeypatch.setenv("DISTCC_HOSTS", " ".join(f"127.0.0.1:{port}/2" for port in ports))
        monkeypatch.setenv("DISTCC_FALLBACK", "0")
        assert settings.compile_jobs() == 4
        yield lambda: sum(len(re.findall(r"COMPILE_OK", log.read_text())) for log in logs)
        assert all("COMPILE_OK" in log.read_text() for log in logs)  # each had some
    finally:
        for process in daemons:
            process.terminate()
            process.wait()


def test_compilations_go_to_other_machines(
    make: Make, project: Path, others: list[str | Path], tmp_path: Path, elsewhere: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Every object that ccache has not, by the compiler of the build's prefix; the packages have the same bytes."""
    make("ttnn", cxx_stdlib="libcxx")
    monkeypatch.setenv("CCACHE_DIR", str(tmp_path / "ccache"))
    packages = [*(project / "output" / INTERNAL).glob("linux-64/tt-metal-compiled-*-libcxx_local_*.conda"),
                *(project / "output").glob("linux-64/ttnn-*-libcxx_local_*.conda")]  # fmt: skip
    assert len(packages) == 2
    for verdict in verify(packages, [project / "output", *others], project=project, jobs=1):
        assert verdict.same, (verdict.package.name, verdict.missing, verdict.differences)
    logs = [(project / "output/.logs" / f"{package.stem}.again.log").read_text() for package in packages]
    compiled, bindings = (set(re.findall(r"Building CXX? object (\S+)", log)) for log in logs)
    # nothing that is in the other package is compiled again
    assert {Path(found).parts[:3] for found in bindings} == {("ttnn", "CMakeFiles", "ttnn.dir")}
    assert 5 < len(compiled | bindings) <= elsewhere()  # CMake tries the compiler, too
