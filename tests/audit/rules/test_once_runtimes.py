"""TC106: runtimes of which a process must have only one."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.rules.scenes import compile_library, embedded, found, functions, scene_of
from published import TORCH_020, TTNN_065, other_wheel
from tt_conda.audit.finding import Severity
from tt_conda.audit.targets import read_targets

LLVM = ["__kmpc_fork_call", "omp_get_num_threads", "GOMP_parallel", "GOMP_barrier"]
GCC = ["GOMP_parallel", "GOMP_barrier", "omp_get_num_threads"]


def test_two_libgomp_from_two_wheels() -> None:
    (finding,) = found(scene_of("scikit-learn", "pykdtree"), "TC106")
    assert finding.subject == "OpenMP"
    assert finding.severity is Severity.WARNING
    assert [place.path for place in finding.places] == [
        "scikit_learn.libs/libgomp-e985bcbb.so.1.0.0", "pykdtree.libs/libgomp-870cb1d0.so.1.0.0",
    ]  # fmt: skip
    assert finding.bytes == 253_289
    assert found(scene_of("scikit-learn", "pykdtree"), "TC101") == []


@pytest.mark.debian
@pytest.mark.parametrize(("name", "runtimes"), [("llvm-openmp", "libomp, libgomp"), ("libgomp", "libgomp 2 times")])
def test_conda_s_openmp_beside_a_wheel_s(name: str, runtimes: str) -> None:
    """prefix-dev/pixi#6818: OpenMP in the environment, another one in a wheel."""
    package = embedded(name)
    assert found(read_targets([package]), "TC106") == []
    (finding,) = found(read_targets([package, other_wheel("scikit-learn")]), "TC106")
    assert finding.severity is Severity.WARNING
    assert f"({runtimes})" in finding.message
    assert [place.owner.partition(" ")[0] for place in finding.places] == [name, "scikit-learn"]


def test_one_openmp_under_another_s_name_is_one(tmp_path: Path) -> None:
    """conda-forge's _openmp_mutex: libgomp.so.1 is a link to libomp.so."""
    compile_library(tmp_path / "lib/libomp.so", functions(LLVM))
    (tmp_path / "lib/libgomp.so.1").symlink_to("libomp.so")
    assert found(read_targets([tmp_path]), "TC106") == []


def test_two_of_llvm_s_in_one_process_end_it(tmp_path: Path) -> None:
    one = compile_library(tmp_path / "libomp.so", functions(LLVM))
    other = compile_library(tmp_path / "libiomp5.so", functions(LLVM))
    (finding,) = found(read_targets([tmp_path]), "TC106")
    assert finding.severity is Severity.WARNING
    assert "OMP: Error #15" in finding.message
    compile_library(tmp_path / "both.so", functions(["f"]), needs=[one, other], soname=None)
    (finding,) = found(read_targets([tmp_path]), "TC106")
    assert finding.severity is Severity.ERROR
    assert "loading both.so brings in libomp.so and libiomp5.so" in finding.evidence


def test_a_runtime_that_nothing_needs_is_worth_a_note(tmp_path: Path) -> None:
    (tmp_path / "conda-meta").mkdir()
    one = compile_library(tmp_path / "lib/libomp.so", functions(LLVM))
    other = compile_library(tmp_path / "lib/libgomp.so.1", functions(GCC))
    compile_library(tmp_path / "lib/user.so", functions(["f"]), needs=[one], soname=None)
    (finding,) = found(read_targets([tmp_path]), "TC106")
    assert finding.severity is Severity.NOTE
    assert "nothing in the environment needs libgomp.so.1" in finding.evidence
    compile_library(tmp_path / "lib/second.so", functions(["g"]), needs=[other], soname=None)
    (finding,) = found(read_targets([tmp_path]), "TC106")
    assert finding.severity is Severity.WARNING


def test_a_runtime_under_another_name_is_known_by_its_exports(tmp_path: Path) -> None:
    compile_library(tmp_path / "libours.so", functions(GCC))
    compile_library(tmp_path / "libgomp.so.1", functions(GCC))
    (finding,) = found(read_targets([tmp_path]), "TC106")
    assert "(libgomp 2 times)" in finding.message


def test_two_mpi() -> None:
    (finding,) = found(scene_of(TTNN_065, TORCH_020), "TC106")
    assert finding.subject == "MPI"
    assert len(finding.places) == 2  # the chain of links in the first wheel counts once


def test_the_openblas_of_numpy_and_of_scipy_do_not_mix_up_calls() -> None:
    (finding,) = found(scene_of("numpy", "scipy"), "TC106")
    assert (finding.subject, finding.severity) == ("BLAS", Severity.NOTE)
    assert finding.bytes > 20_000_000


def test_two_openblas_with_the_same_names_may(tmp_path: Path) -> None:
    for owner in ("a", "b"):
        compile_library(tmp_path / owner / "libopenblas.so.0", functions(["dgemm_", "cblas_dgemm"]))
    (finding,) = found(read_targets([tmp_path / "a", tmp_path / "b"]), "TC106")
    assert finding.severity is Severity.WARNING
