"""The stack that is compiled from upstream's own sources, where ``$TT_CONDA_UPSTREAM`` says where they are.

It names a folder as ``--tt-source`` takes it, from which the stack is built (two hours on two cores, minutes from the
compiler's cache). ``$TT_CONDA_UPSTREAM_CHANNEL`` may name an ``output/`` with packages that were built from the
recipe's own sources; then these are tried.
"""

from __future__ import annotations

import collections
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from published import TTNN_065, published
from torch_builds import is_there
from tt_conda.audit.audit import audit
from tt_conda.audit.finding import Severity
from tt_conda.audit.flavour import undone
from tt_conda.audit.targets import read_targets
from tt_conda.building import gate
from tt_conda.building.build import build
from tt_conda.elf.read import read
from tt_conda.environment.install import install

Call = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.xdist_group("upstream")

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
VERSION = "0.65.0.dev20251205"
CLUSTER = str(HERE.parent / "stack/one_wormhole.yaml")
LIBRARIES = ("libtt_metal.so", "libtt_stl.so", "libdevice.so", "libtracy.so", "_ttnncpp.so")
OURS = {"tt-metal", "tt-metal-kernels", "tt-metal-devel", "libttnn", "ttnn", "torch-ttnn"}
RUNTIME = {"libcxx": "libc++.so.1", "libstdcxx": "libstdc++.so.6"}
COMPILERS = ("clangxx_linux-64", "lld", "cmake", "ninja")
EXAMPLES = ("hello_world_compute_kernel", "add_2_integers_in_riscv", "loopback")

PYTHON_TESTS = {
    "base_functionality/test_dump_and_load.py": ["test_dump_and_load"],
    "base_functionality/test_reshape.py": ["test_reshape", "test_reshape_negative_1", "test_reshape_in_4D"],
    "base_functionality/test_shape.py": ["test_shape_equality_operator"],
    "base_functionality/test_to_and_from_torch.py": [
        "test_from_torch_none", "test_to_and_from", "test_to_and_from_using_tile_layout", "test_to_and_from_2D",
        "test_to_for_01_rank",
    ],
    "base_functionality/test_to_dtype.py": [
        "test_to_dtype", "test_to_float_dtype", "test_to_dtype_unaligned_shape", "test_to_dtype_with_tile_layout",
    ],
    "tensor/test_tensor_serialization.py": ["test_serialization"],
}  # fmt: skip
"""Files of upstream's, and the tests in them that ask for no device; tensors want a cluster, which may be a mock."""


@pytest.fixture(scope="module")
def sources() -> Path:
    """What was compiled: ``tt-metal``, and third parties in ``_deps``."""
    named = os.environ.get("TT_CONDA_UPSTREAM")
    if not named:
        pytest.skip("no sources of upstream's are here: TT_CONDA_UPSTREAM names none")
    folder = Path(named).resolve()
    for path in ("tt-metal/CMakeLists.txt", "_deps/googletest-src/CMakeLists.txt"):
        assert (folder / path).is_file(), f"TT_CONDA_UPSTREAM: {folder} has no {path}"
    return folder


@pytest.fixture(scope="module")
def upstream(
    sources: Path, others: list[str | Path], python: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Path, str]]:
    """The channel with the stack of a C++ standard library, and how its build strings go on."""
    if built := os.environ.get("TT_CONDA_UPSTREAM_CHANNEL"):

        def get(cxx_stdlib: str) -> tuple[Path, str]:
            channel = Path(built).resolve()
            if not list(channel.glob(f"linux-64/ttnn-*-{cxx_stdlib}_source_py{python.replace('.', '')}_*.conda")):
                pytest.skip(f"no ttnn with {cxx_stdlib} for Python {python} in TT_CONDA_UPSTREAM_CHANNEL")
            return channel, "source"

        return get

    project = tmp_path_factory.mktemp("upstream")
    shutil.copytree(PROJECT / "recipes", project / "recipes", symlinks=True)
    for file in (*PROJECT.glob("variants*.yaml"), PROJECT / "LICENSE"):
        shutil.copy(file, project)

    def make(cxx_stdlib: str) -> tuple[Path, str]:
        packages = ["ttnn", "tt-metal-devel", *(["torch-ttnn"] if is_there(cxx_stdlib, python, others) else [])]
        build(
            packages,
            axes={"origin": ["source"], "cxx_stdlib": [cxx_stdlib], "python": [python], "tt_metal_version": [VERSION]},
            instead={"tt_source": [str(sources)], "tt_firmware": ["sfpi" if (sources / "sfpi").is_dir() else "wheel"]},
            channels=lambda: others, project=project, check=gate.check_package,
        )  # fmt: skip
        return project / "output", "local"

    return make


@pytest.fixture(scope="module", params=RUNTIME)
def cxx_stdlib(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def stack(
    upstream: Callable[[str], tuple[Path, str]], cxx_stdlib: str, others: list[str | Path], python: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:  # fmt: skip
    """An environment with all of it, and with what compiles against it."""
    channel, kind = upstream(cxx_stdlib)
    extension = [f"torch-ttnn * {cxx_stdlib}_{kind}_py*"] if is_there(cxx_stdlib, python, others) else []
    devel = ["libcxx-devel"] if cxx_stdlib == "libcxx" else []
    specs = [f"ttnn * {cxx_stdlib}_{kind}_py*", f"tt-metal-devel * {cxx_stdlib}_{kind}_*", *extension, "pytest"]
    prefix = tmp_path_factory.mktemp("env") / cxx_stdlib
    install([*specs, f"python {python}.*", *COMPILERS, *devel], prefix, [channel, *others])
    return prefix


def compile_(
    call: Call, prefix: Path, cxx_stdlib: str, source: Path, build_folder: Path, *options: str, target: str = "all"
) -> None:
    flag = "libc++" if cxx_stdlib == "libcxx" else "libstdc++"
    words = [
        *("cmake", "-G", "Ninja", "-S", source, "-B", build_folder),
        f"-DCMAKE_CXX_FLAGS=-stdlib={flag} -Wno-c++11-narrowing",  # which upstream's own build passes, too
        *("-DCMAKE_CXX_COMPILER=clang++", "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_SCAN_FOR_MODULES=OFF", *options),
    ]
    call(prefix, *words)
    call(prefix, "cmake", "--build", build_folder, "--target", target)


IMPORTS = """
import json, os, sys
import ttnn
said = {"devices": ttnn.GetNumAvailableDevices() if "TT_METAL_MOCK_CLUSTER_DESC_PATH" in os.environ else None}
try:
    import torch
except ImportError:
    pass
else:
    import torch_ttnn
    from torch_ttnn.cpp_extension import ttnn_module
    said["registered"] = sys.modules["torch.ttnn"] is ttnn_module
    said["backend"] = "ttnn" in torch._dynamo.list_backends()
paths = {line.split()[-1] for line in open("/proc/self/maps") if ".so" in line and "/" in line}
said["mapped"] = sorted({os.path.realpath(path) for path in paths})
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def imported(stack: Path, call: Call) -> dict[str, Any]:
    """What a process says that has imported all of it, with a cluster of one chip that is not there."""
    done = call(stack, "python", "-c", IMPORTS, TT_METAL_MOCK_CLUSTER_DESC_PATH=CLUSTER)
    said: dict[str, Any] = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    return said


def test_the_stack_imports(imported: dict[str, Any], stack: Path) -> None:
    assert imported["devices"] == 1
    if next(stack.glob("conda-meta/torch-ttnn-*.json"), None):
        assert imported["registered"] and imported["backend"]


def test_each_library_is_mapped_once(imported: dict[str, Any], stack: Path, cxx_stdlib: str) -> None:
    mapped = [Path(path) for path in imported["mapped"]]
    count = collections.Counter(path.name.split(".so")[0] for path in mapped if stack in path.parents)
    assert {name: many for name, many in count.items() if many > 1} == {}
    for name in LIBRARIES:
        assert [path for path in mapped if path.name.startswith(name)] == [(stack / "lib" / name).resolve()]
    names = {path.name for path in mapped}
    assert any(name.startswith(RUNTIME[cxx_stdlib].rpartition(".")[0]) for name in names)
    if cxx_stdlib == "libcxx":
        for path in mapped:
            linked = set(read(path).needed)
            assert "libstdc++.so.6" not in linked or stack not in path.parents, path


def test_the_audit_finds_nothing_in_it(stack: Path) -> None:
    with read_targets([stack]) as scene:
        findings = audit(scene).findings
    bad = [
        f"{finding.code} {finding.message}" for finding in findings
        if finding.severity is Severity.ERROR
        or (finding.severity is not Severity.NOTE and any(p.owner.split()[0] in OURS for p in finding.places))
    ]  # fmt: skip
    assert bad == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The libraries of the published wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.unpack_archive(published(TTNN_065), folder, "zip")
    return folder / "ttnn/build/lib"


@pytest.mark.parametrize("name", ["libtt_metal.so", "_ttnncpp.so", "libdevice.so"])
def test_what_a_library_exports_is_what_the_published_one_exports(stack: Path, wheel: Path, name: str) -> None:
    """Functions and variables of their own; what templates and inline functions leave depends on the compiler."""

    def own(path: Path) -> set[str]:
        symbols = read(path).symbols
        names = {undone(symbol) for symbol in symbols.defined - symbols.weak - symbols.unique}
        return {text for text in names if re.search(r"\b(tt|ttnn|ttsl|tt_metal)::", text)}

    ours, theirs = own(stack / "lib" / name), own(wheel / name)
    print(f"{name}: {len(ours & theirs)} of {len(theirs)} are there, {len(ours - theirs)} more")
    for text in sorted(theirs - ours):
        print("-", text)
    for text in sorted(ours - theirs):
        print("+", text)
    assert ours == theirs
    assert sorted(set(read(wheel / name).needed) & set(LIBRARIES)) == sorted(
        set(read(stack / "lib" / name).needed) & set(LIBRARIES)
    )


def test_a_cmake_project_calls_into_each_library(
    stack: Path, sources: Path, call: Call, tmp_path: Path, cxx_stdlib: str
) -> None:
    options = [f"-DTREE={sources}/tt-metal", f"-DDEPS={sources}/_deps"]
    for target, expected in (("call_metalium", ["12 1", "1 devices"]), ("call_nn", ["3 6 21"])):
        compile_(call, stack, cxx_stdlib, HERE / "upstream", tmp_path, *options, target=target)
        said = call(stack, tmp_path / target, TT_METAL_MOCK_CLUSTER_DESC_PATH=CLUSTER).stdout.splitlines()
        assert [line for line in said if re.fullmatch(r"[\d ]+( devices)?", line)] == expected
    assert RUNTIME[cxx_stdlib] in read(tmp_path / "call_nn").needed


@pytest.mark.parametrize("name", EXAMPLES)
def test_upstreams_examples_compile_and_look_for_a_device(
    stack: Path, sources: Path, call: Call, tmp_path: Path, cxx_stdlib: str, name: str
) -> None:
    compile_(call, stack, cxx_stdlib, sources / "tt-metal/tt_metal/programming_examples" / name, tmp_path)
    done = call(stack, tmp_path / f"metal_example_{name}", check=False)
    assert done.returncode != 0 and "No chips detected in the cluster" in done.stdout + done.stderr


@pytest.mark.parametrize("part", ["stl", "metal", "nn"])
def test_upstreams_own_tests_pass_that_need_no_device(
    stack: Path, sources: Path, call: Call, tmp_path: Path, cxx_stdlib: str, part: str
) -> None:
    options = [f"-DTREE={sources}/tt-metal", f"-DDEPS={sources}/_deps"]
    compile_(call, stack, cxx_stdlib, HERE / "upstream", tmp_path, *options, target=part)
    said = call(stack, tmp_path / part, TT_METAL_MOCK_CLUSTER_DESC_PATH=CLUSTER).stdout
    passed = re.search(r"^\[  PASSED  \] (\d+) tests?\.$", said, flags=re.M)
    assert passed and int(passed[1]) > 40, said[-2000:]
    print(part, passed[0])


@pytest.mark.parametrize("name", PYTHON_TESTS)
def test_upstreams_python_tests_pass_that_need_no_device(
    pytorch: Callable[[str], None], stack: Path, sources: Path, call: Call, cxx_stdlib: str, name: str
) -> None:
    pytorch(cxx_stdlib)
    tree = sources / "tt-metal"
    tests = [f"{tree}/tests/ttnn/unit_tests/{name}::{test}" for test in PYTHON_TESTS[name]]
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "--noconftest", *tests]
    variables = {"TT_METAL_MOCK_CLUSTER_DESC_PATH": CLUSTER}
    said = call(stack, "env", f"PYTHONPATH={tree}", "python", *words, **variables).stdout
    passed = re.search(r"\b(\d+) passed\b.*", said)
    assert passed and int(passed[1]) > 0, said
    print(name, passed[0])
