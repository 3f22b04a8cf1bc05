"""PyTorch compiled with clang and libc++, in an environment that has nothing but it and what it needs."""

from __future__ import annotations

import base64
import csv
import hashlib
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.audit import audit
from tt_conda.audit.finding import Severity
from tt_conda.audit.targets import read_targets
from tt_conda.base.errors import TtCondaError
from tt_conda.elf.read import read
from tt_conda.environment import solver
from tt_conda.environment.prefix import installed

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
        analysis = Analysis(scene)
        for path in libraries(prefix):
            start = analysis.files.find(str(path))
            assert start, path
            closure = analysis.closure(start)
            assert closure.missing == [], path
            for item in closure.loaded:
                assert item.object.soname != "libstdc++.so.6", path
                symbols = item.object.elf.symbols
                assert not [n for n in symbols.defined | symbols.undefined if "__cxx11" in n], (path, item.path)
        torch_cpu = analysis.files.find(str(prefix / "lib/libtorch_cpu.so"))
        assert torch_cpu and "libc++.so.1" in torch_cpu.elf.needed


def test_its_libraries_name_no_folder_of_the_machine(prefix: Path) -> None:
    """What the compiler is given stays in them (``__FILE__``): built elsewhere they would be others."""
    traces = re.compile(rb"(?<=/)work/(pytorch|build|host)/|/\.work/|rattler-build_|_placehold_placehold")
    for path in libraries(prefix):
        content = path.read_bytes()
        assert [content[max(0, m.start() - 80) : m.end() + 80] for m in traces.finditer(content)] == [], path


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


def test_a_setup_py_needs_no_flag_either(libcxx: Path, call: Call, tmp_path: Path) -> None:
    (tmp_path / "ours.cpp").write_text(
        "#include <torch/extension.h>\nat::Tensor twice(at::Tensor x) { return x * 2; }\n"
        'PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("twice", &twice); }\n'
    )
    (tmp_path / "setup.py").write_text(
        "from setuptools import setup\nfrom torch.utils.cpp_extension import BuildExtension, CppExtension\n"
        'setup(name="ours", ext_modules=[CppExtension("ours", ["ours.cpp"])], cmdclass={"build_ext": BuildExtension})\n'
    )
    steps = "python setup.py build_ext --inplace && python -c 'import torch, ours; print(ours.twice(torch.ones(2)))'"
    assert "tensor([2., 2.])" in call(libcxx, "bash", "-c", f"cd {tmp_path} && {steps}").stdout
    assert {"libc++.so.1", "libtorch_cpu.so"} <= {*read(next(tmp_path.glob("ours.*.so"))).needed}


def test_exceptions_of_an_extension_arrive_as_what_they_are(prefix: Path, call: Call) -> None:
    """libc++ knows a type by the address of its description, of which each library could have its own."""
    code = """
import torch
from torch.utils.cpp_extension import load_inline
source = '''
void raise_key_error() { py::gil_scoped_acquire gil; PyErr_SetString(PyExc_KeyError, "absent"); }
void raises(int64_t which) {
  TORCH_CHECK_INDEX(which != 0, "index");
  TORCH_CHECK_VALUE(which != 1, "value");
  TORCH_CHECK_NOT_IMPLEMENTED(which != 2, "not implemented");
  if (which == 3) throw torch::TypeError("type");
  if (which == 4) { raise_key_error(); python_error error; error.persist(); throw error; }
  TORCH_CHECK(false, "other");
}
struct Calls : torch::autograd::Function<Calls> {
  static at::Tensor forward(torch::autograd::AutogradContext*, at::Tensor x) { return x.clone(); }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*, torch::autograd::variable_list) {
    raise_key_error();
    py::gil_scoped_acquire gil;
    throw py::error_already_set();
  }
};
at::Tensor calls(at::Tensor x) { return Calls::apply(x); }
'''
module = load_inline("raising", [source], functions=["raises", "calls"], with_pytorch_error_handling=True)
for which in range(6):
    try:
        module.raises(which)
    except Exception as error:
        print(type(error).__name__)
try:  # through libtorch_python, which hides pybind11's types
    module.calls(torch.ones(2, requires_grad=True)).sum().backward()
except Exception as error:
    print(type(error).__name__, error)
"""
    names = ["IndexError", "ValueError", "NotImplementedError", "TypeError", "KeyError", "RuntimeError"]
    assert call(prefix, "python", "-c", code).stdout.split() == [*names, "KeyError", "'absent'"]


@pytest.mark.parametrize("first", ["", "import ctypes; ctypes.CDLL('libtorch_cpu.so')"])
def test_types_of_libtorch_are_known_elsewhere(libcxx: Path, call: Call, tmp_path: Path, first: str) -> None:
    """Also when libtorch is there before the bindings, and their own descriptions of types are not its."""
    code = f"""
{first}
import torch
from torch.utils.cpp_extension import load_inline
constants = torch.jit.trace(lambda x: x * 2, torch.ones(3)).graph.findAllNodes("prim::Constant")
assert [node.t("value").item() for node in constants] == [2]
@torch.jit.script
def first_of(values: list[int]) -> list[int]:
    if len(values) == 0:
        raise RuntimeError("none")
    return values[:1]
source = r'''
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/runtime/jit_exception.h>
#include <torch/jit.h>
int64_t attribute() {{
  return torch::jit::Graph().insertConstant(7)->node()->i(torch::jit::attr::value);
}}
bool exception() {{
  auto unit = torch::jit::compile("def f(x: int) -> int:\\n    assert x > 1, 'no'\\n    return x\\n");
  try {{ unit->run_method("f", 1); }} catch (const torch::jit::JITException&) {{ return true; }}
  return false;
}}
bool ownership() {{
  auto list = c10::ListType::create(c10::IntType::get());
  c10::TypePtr same(static_cast<c10::Type*>(list.get()));
  return list.use_count() == 2;
}}
'''
module = load_inline("casting", [source], functions=["attribute", "exception", "ownership"])
print(first_of([1, 2]), module.attribute(), module.exception(), module.ownership())
"""
    (tmp_path / "casts.py").write_text(code)  # TorchScript reads it
    directory = f"LD_LIBRARY_PATH={libcxx}/lib"
    said = call(libcxx, "env", directory, "python", tmp_path / "casts.py").stdout
    assert said.split() == ["[1]", "7", "True", "True"]


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
    """And its kernels need no second OpenMP runtime."""
    code = """
import torch
f = torch.compile(lambda x: (x.sin() + 1).sum())
print(f(torch.zeros(5000)).item())
names = {line.split()[-1].rpartition("/")[2] for line in open("/proc/self/maps")}
print(*(name for name in names if name.startswith(("libomp", "libgomp", "libiomp", "libstdc++"))))
"""
    assert call(libcxx, "python", "-c", code).stdout.split() == ["5000.0", "libomp.so"]


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


def test_record_says_what_is_there(prefix: Path) -> None:
    """Python's own list of the files of the distribution (packaging.python.org, "Recording installed projects")."""
    (dist_info,) = prefix.glob("lib/python3*/site-packages/torch-*.dist-info")
    site_packages = dist_info.parent
    with (dist_info / "RECORD").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert {name for name, _, _ in rows} > {"torch/__init__.py", "torch/nn/functional.py", "torchgen/gen.py"}
    for name, checksum, _ in rows:
        path = site_packages / name
        assert path.is_file() and path.parent.resolve().is_relative_to(site_packages.resolve()), name
        if checksum:
            digest = hashlib.sha256(path.read_bytes()).digest()
            assert checksum == "sha256=" + base64.urlsafe_b64encode(digest).decode().rstrip("="), name


def test_what_does_not_fit_is_not_installed(channels: list[str | Path], environment_with: Environment) -> None:
    environment_with("libcxx")
    with pytest.raises(TtCondaError) as error:
        solver.solve(["torch-ttnn * libstdcxx_*", "pytorch * libcxx_*", "python 3.10.*"], channels)
    assert re.search(r"torch-cxx-stdlib ==?1\.0 lib(std)?cxx\b", error.value.what), error.value.what


def test_its_dependencies_fit_what_it_was_compiled_with(prefix: Path) -> None:
    """One libtorch, to the build, and the numpy whose interface it has."""
    records = {record.name.normalized: record for record in installed(prefix)}
    depends = records["pytorch"].depends
    assert f"libtorch =={records['libtorch'].version} {records['libtorch'].build}" in depends
    below_2 = any(spec.startswith("numpy ") and ",<2" in spec for spec in depends)
    assert below_2 == str(records["numpy"].version).startswith("1."), depends
