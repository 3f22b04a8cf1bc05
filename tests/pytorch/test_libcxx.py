"""PyTorch compiled with clang and libc++, in an environment that has nothing but it and what it needs."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tt_conda.audit.audit import audit
from tt_conda.audit.finding import Severity
from tt_conda.audit.targets import read_targets
from tt_conda.channel import environment
from tt_conda.channel.prefix import installed
from tt_conda.elf.read import read
from tt_conda.errors import TtCondaError

HERE = Path(__file__).parent
DEVICE = HERE.parent / "standin/torch-ttnn/torch_ttnn/cpp_extension/ttnn_cpp_extension"
BUILD = "cmake -G Ninja -S {source} -B {build} && cmake --build {build}"

Environment = Callable[..., Path]
Call = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(params=["3.10", "3.12"])
def prefix(request: pytest.FixtureRequest, environment_with: Environment) -> Path:
    return environment_with("libcxx", request.param)


@pytest.fixture(scope="module")
def libcxx(environment_with: Environment) -> Path:
    return environment_with("libcxx")


@pytest.fixture(scope="module")
def extension(libcxx: Path, call: Call, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An extension that registers a device ``ttnn``, compiled by CMake, which names no -stdlib."""
    build = tmp_path_factory.mktemp("ttnn_device")
    call(libcxx, "bash", "-c", BUILD.format(source=HERE / "ttnn_device", build=build))
    return build / "libttnn_device.so"


def libraries(prefix: Path) -> list[Path]:
    """What the packages of this recipe install."""
    return sorted({*prefix.glob("lib/lib*torch*.so"), prefix / "lib/libc10.so", prefix / "lib/libshm.so"})


def test_its_libraries_need_libcxx_and_nothing_of_libstdcxx(prefix: Path) -> None:
    with read_targets([prefix]) as scene:
        for path in libraries(prefix):
            start = scene.find(str(path))
            assert start, path
            closure = scene.closure(start)
            assert closure.missing == [], path
            for item in closure.loaded:
                assert item.object.soname != "libstdc++.so.6", path
                symbols = item.object.elf.symbols
                assert not [n for n in symbols.defined | symbols.undefined if "__cxx11" in n], (path, item.path)
        torch_cpu = scene.find(str(prefix / "lib/libtorch_cpu.so"))
        assert torch_cpu and "libc++.so.1" in torch_cpu.elf.needed


@pytest.mark.parametrize("order", ["import numpy, torch", "import torch, numpy"])
def test_one_openmp_runtime_whatever_is_imported_first(prefix: Path, call: Call, order: str) -> None:
    code = f"""
{order}
assert (torch.from_numpy(numpy.ones((300, 300))) @ torch.ones(300, 300, dtype=torch.float64)).sum() == 300**3
paths = {{line.split()[-1] for line in open('/proc/self/maps') if '.so' in line}}
names = sorted(path.rpartition('/')[2] for path in paths)
print([name for name in names if name.startswith(('libomp', 'libgomp', 'libiomp'))])
print([name for name in names if name.startswith('libc++.so')])
"""
    said = call(prefix, "python", "-c", code).stdout.splitlines()
    assert said[0] == "['libomp.so']" and said[1].startswith("['libc++.so.1") and said[1].count("libc++") == 1


def test_a_device_is_registered_from_c_plus_plus(libcxx: Path, call: Call, extension: Path) -> None:
    assert call(libcxx, "python", HERE / "ttnn_device/use.py", extension).stdout.splitlines()[-1] == "works"
    assert "libc++.so.1" in read(extension).needed


def test_the_same_extension_with_libstdcxx_cannot_be_loaded(libcxx: Path, call: Call, tmp_path: Path) -> None:
    library = tmp_path / "libttnn_device.so"
    call(
        libcxx, "bash", "-c", f"$CXX -shared -fPIC -std=c++17 $CXXFLAGS -I {libcxx}/include -I {DEVICE}/include"
        f" {HERE}/ttnn_device/ttnn_device.cpp {DEVICE}/src/core/memory.cpp"
        f" -L {libcxx}/lib -Wl,-rpath,{libcxx}/lib -ltorch -ltorch_cpu -lc10 -Wl,--allow-shlib-undefined -o {library}",
    )  # fmt: skip
    with read_targets([libcxx, library]) as scene:
        said = audit(scene, ["TC302"]).findings
    assert any(f"{library.name} was compiled with libstdc++ (std::__cxx11)" in f.message for f in said), said
    done = call(libcxx, "python", HERE / "ttnn_device/use.py", library, check=False)
    undefined = re.search(r"undefined symbol: (\w+)", done.stderr)
    assert done.returncode != 0 and undefined, done.stderr
    assert any(f"needed: {undefined[1]}" in finding.evidence for finding in said)


def test_cpp_extension_knows_the_standard_library(prefix: Path, call: Call) -> None:
    code = """
import torch
from torch.utils.cpp_extension import load_inline
source = '''
torch::Tensor twice(torch::Tensor x) { TORCH_CHECK(x.dim() == 1, "only vectors"); return x * 2; }
std::string what(torch::Tensor x) { try { x.mm(x); } catch (const c10::Error& e) { return "c10::Error"; } return ""; }
'''
module = load_inline("ours", [source], functions=["twice", "what"], verbose=True)
assert module.twice(torch.ones(2)).tolist() == [2, 2] and module.what(torch.ones(2, 3)) == "c10::Error"
try:
    module.twice(torch.ones(2, 2))
except RuntimeError as error:
    print(error)
"""
    assert "only vectors" in call(prefix, "python", "-c", code).stdout


@pytest.mark.parametrize("cxx_stdlib", ["libcxx", "libstdcxx"])
def test_dot_products(environment_with: Environment, call: Call, cxx_stdlib: str) -> None:
    """CMake does not ask how OpenBLAS returns complex numbers: those of PyTorch were 0."""
    code = """
import torch
for dtype in (torch.float32, torch.float64, torch.complex64, torch.complex128):
    a, b = torch.randn(2, 5, dtype=dtype)
    assert torch.allclose(torch.dot(a, b), (a * b).sum()) and torch.allclose(torch.vdot(a, b), (a.conj() * b).sum())
"""
    call(environment_with(cxx_stdlib), "python", "-c", code)


def test_inductor_compiles_with_it(libcxx: Path, call: Call) -> None:
    code = "import torch; f = torch.compile(lambda x: (x.sin() + 1).sum()); print(f(torch.zeros(5000)).item())"
    assert call(libcxx, "python", "-c", code).stdout.split() == ["5000.0"]


def test_kernels_are_chosen_by_what_the_processor_has(prefix: Path, call: Call) -> None:
    has = set(re.findall(r"\bavx2\b|\bavx512\w+", Path("/proc/cpuinfo").read_text()))
    best = "AVX512" if {"avx512vl", "avx512bw", "avx512dq"} <= has else "AVX2" if "avx2" in has else "DEFAULT"
    wanted = ["DEFAULT", "AVX2", "AVX512"][: ["DEFAULT", "AVX2", "AVX512"].index(best) + 1]
    code = """
import torch
x = torch.linspace(-3, 3, 1001)
print(torch.backends.cpu.get_cpu_capability().replace("NO AVX", "DEFAULT"), f"{(x.exp() + x.tanh()).sum():.2f}")
"""
    said = [call(prefix, "env", f"ATEN_CPU_CAPABILITY={name.lower()}", "python", "-c", code).stdout.split()
            for name in wanted]  # fmt: skip
    assert [name for name, _ in said] == wanted and len({value for _, value in said}) == 1
    assert call(prefix, "python", "-c", code).stdout.split()[0] == best


def test_what_it_is_built_with(prefix: Path, call: Call) -> None:
    code = """
import torch
print(torch.__config__.show(), torch.autograd.kineto_available(), torch.backends.mkldnn.is_available(),
      torch.backends.openmp.is_available())
"""
    said = call(prefix, "python", "-c", code).stdout
    assert "BLAS_INFO=open" in said and said.split()[-3:] == ["True"] * 3


def test_the_audit_of_the_environment_is_clean(prefix: Path) -> None:
    with read_targets([prefix]) as scene:
        found = audit(scene).findings
    assert [f"{f.code} {f.message}" for f in found if f.severity is not Severity.NOTE] == []


def test_what_does_not_fit_is_not_installed(channels: list[str | Path], environment_with: Environment) -> None:
    environment_with("libcxx")
    with pytest.raises(TtCondaError) as error:
        environment.solve(["torch-ttnn * libstdcxx_*", "pytorch * libcxx_*", "python 3.10.*"], channels)
    assert re.search(r"torch-cxx-stdlib ==?1\.0 lib(std)?cxx\b", error.value.what), error.value.what


def test_its_dependencies_fit_what_it_was_compiled_with(prefix: Path) -> None:
    """One libtorch, to the build, and the numpy whose interface it has."""
    records = {record.name.normalized: record for record in installed(prefix)}
    depends = records["pytorch"].depends
    assert f"libtorch =={records['libtorch'].version} {records['libtorch'].build}" in depends
    below_2 = any(spec.startswith("numpy ") and ",<2" in spec for spec in depends)
    assert below_2 == str(records["numpy"].version).startswith("1."), depends
