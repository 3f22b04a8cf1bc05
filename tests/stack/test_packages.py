"""The whole channel: every library in one package, and what the packages say of themselves."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

import metalium
from tt_conda.base.errors import TtCondaError
from tt_conda.building.inventory import PackageFacts, duplicate_libraries, duplicate_paths
from tt_conda.channel import index
from tt_conda.embedded.assemble import available_pythons
from tt_conda.environment.solver import solve
from tt_conda.formats import conda
from tt_conda.providers import load_providers

PAIR = {"tt-metal": "0.65.0.dev20251205", "libttnn": "0.65.0.dev20251205", "ttnn": "0.65.0.dev20251205",
        "torch-ttnn": "0.2.0"}  # fmt: skip
"""The ttnn and torch-ttnn that fit each other."""

TORCH_LINKS = [
    *(f"torch/include/{name}" for name in ("ATen", "c10", "caffe2", "torch")),
    *(f"torch/share/cmake/{name}" for name in ("ATen", "Caffe2", "Torch")),
]

PROJECT = Path(__file__).parents[2]

Solve = Callable[..., dict[str, str]]


def library_bytes(packages: list[PackageFacts], name: str, version: str) -> int:
    (size,) = {sum(o.bytes for o in p.objects) for p in packages if (p.name, p.version) == (name, version)}
    return size


def of(packages: list[PackageFacts], name: str) -> list[PackageFacts]:
    found = [package for package in packages if package.name == name]
    if not found and name == "torch-ttnn" and "3.10" not in available_pythons():
        pytest.skip("no CPython 3.10 on this machine")
    assert found, name
    return found


# --- every library once ---


def test_no_library_is_in_two_packages(everything: list[PackageFacts]) -> None:
    assert [str(duplicate) for duplicate in duplicate_libraries(everything)] == []


def test_no_file_is_in_two_packages(everything: list[PackageFacts]) -> None:
    assert [str(duplicate) for duplicate in duplicate_paths(everything)] == []


def test_no_link_leads_to_a_folder(output: Path, everything: list[PackageFacts]) -> None:
    """conda leaves such a link behind, as NAME.c~, when it removes the package, and Python takes what holds it for a
    namespace package (``UnlinkPathAction.cleanup`` in conda/core/path_actions.py of github.com/conda/conda).

    PyTorch's bindings link to the headers and CMake files of libtorch still.
    """
    folders = {
        str(parent) for package in everything for path in package.paths for parent in PurePosixPath(path).parents
    }
    found = {}
    for file in sorted(output.glob("*/*.conda")):
        with conda.opened(file, [conda.FILES]) as parts:
            links = [member for member in parts[conda.FILES].entries.values() if member.issym()]
        targets = {link.name: posixpath.normpath(f"{posixpath.dirname(link.name)}/{link.linkname}") for link in links}
        if to_folders := sorted(name for name, target in targets.items() if target in folders):
            found[file.name] = to_folders
    others = {name: links for name, links in found.items() if not name.startswith("pytorch-")}
    assert others == {}
    for links in found.values():
        assert [name.partition("/site-packages/")[2] for name in links] == TORCH_LINKS


def test_every_library_that_is_needed_is_in_one_package(everything: list[PackageFacts]) -> None:
    """By soname, glibc's apart, and PyTorch's, which have tests of their own."""
    provided = {o.soname or o.path.rsplit("/", 1)[1] for p in everything for o in p.objects}
    needed = {soname for p in everything for o in p.objects for soname in o.needed}
    pytorch = {"libc10.so", "libtorch.so", "libtorch_cpu.so", "libtorch_python.so"}
    glibc = load_providers().system | {"libnss_files.so.2", "libnsl.so.1", "libthread_db.so.1"}
    assert needed - provided - glibc - pytorch == set()


def test_search_paths_lead_into_the_environment(suite: list[PackageFacts]) -> None:
    """DT_RPATH, so that LD_LIBRARY_PATH does not come before it; nothing of the machine that built the wheel."""
    for package in suite:
        for facts in package.objects:
            assert facts.runpath is None, (package.stem, facts.path)
            for folder in (facts.rpath or "$ORIGIN").split(":"):
                assert folder.split("/")[0] == "$ORIGIN", (package.stem, facts.path, folder)
                place = os.path.normpath(folder.replace("$ORIGIN", f"/prefix/{Path(facts.path).parent}"))
                assert place.startswith("/prefix/"), (package.stem, facts.path, folder)


def test_no_wheel_s_hash_is_left_in_a_name(suite: list[PackageFacts]) -> None:
    names = {n for p in suite for o in p.objects for n in (o.path, o.soname or "", *o.needed)}
    assert [name for name in names if re.search(r"-[0-9a-f]{8}\.", name)] == []


# --- sizes ---


def test_sizes(suite: list[PackageFacts]) -> None:
    of(suite, "torch-ttnn")
    sizes = {name: library_bytes(suite, name, version) for name, version in PAIR.items()}
    assert 0 < sizes["torch-ttnn"] <= 6e6, sizes
    assert sum(sizes.values()) <= 135e6, sizes


# --- what they say of themselves ---


def test_the_channel_is_what_its_index_says(output: Path) -> None:
    index.validate(output)


def test_licences_are_packaged(suite: list[PackageFacts]) -> None:
    assert [package.stem for package in suite if not package.licenses] == []


def test_build_strings_tell_runtime_and_origin(suite: list[PackageFacts]) -> None:
    for package in suite:
        if package.name in ("tt-conda", "ttsim-tiles"):  # nothing of them comes out of a wheel
            continue
        runtime = "libstdcxx_" if package.objects else ""
        assert re.match(rf"{runtime}wheel_(py3\d+_)?h[0-9a-f]{{7}}_\d+$", package.build), package.stem
        flavours = {
            soname for o in package.objects for soname in o.needed if soname.startswith(("libstdc++", "libc++"))
        }
        assert flavours <= {"libstdc++.so.6"}, package.stem
        assert ("_py3" in package.build) == any("site-packages" in path for path in package.paths), package.stem


def test_kernels_are_packaged_once(suite: list[PackageFacts]) -> None:
    for package in suite:
        shared = [path for path in package.paths if path.startswith("share/tt-metalium/")]
        assert bool(shared) == (package.name in ("tt-metal-kernels", "libttnn")), package.stem
        beside = [path for path in package.paths if path.endswith((".ld", ".elf")) and path not in shared]
        assert beside == [], package.stem


# --- exact pins ---


def test_what_links_to_a_library_gets_exactly_that_build(suite: list[PackageFacts]) -> None:
    stems = {package.stem for package in suite}
    for name, pinned in {"libttnn": {"tt-metal"}, "ttnn": {"tt-metal", "libttnn"},
                         "torch-ttnn": {"tt-metal", "libttnn"}}.items():  # fmt: skip
        for package in of(suite, name):
            pins = {spec.split()[0]: spec.split() for spec in package.depends if spec.split()[0] in pinned}
            assert set(pins) == pinned, package.stem
            for spec in pins.values():
                dependency, version, build = spec
                assert version.startswith("==") and "*" not in build, spec
                assert f"{dependency}-{version[2:]}-{build}" in stems, spec


def test_two_versions_do_not_mix(solve: Solve) -> None:
    with pytest.raises(TtCondaError) as error:
        solve("ttnn ==0.81.1", "tt-metal ==0.65.0.dev20251205")
    assert "ttnn ==0.81.1" in error.value.what and "tt-metal ==0.65.0.dev20251205" in error.value.what


@pytest.mark.parametrize("name", ["tt-metal-kernels", "tt-metal", "libttnn", "ttnn"])
def test_none_goes_with_conda_forge_s_package_of_the_same_files(
    name: str, channels: list[str | Path], tmp_path: Path
) -> None:
    beside = [*channels, metalium.make_channel(tmp_path)]
    with pytest.raises(TtCondaError) as error:
        solve([name, "tt-metalium"], beside)
    assert "tt-metalium" in error.value.what and "tt-metal-kernels" in error.value.what
    assert "tt-metalium" not in {record.name.normalized for record in solve([name], beside)}


def test_each_version_brings_its_own_libraries(solve: Solve) -> None:
    for version, python in (("0.65.0.dev20251205", "3.10"), ("0.81.1", "3.12")):
        if python in available_pythons():
            found = solve(f"ttnn =={version}", f"python {python}.*")
            for name in ("ttnn", "libttnn", "tt-metal", "tt-metal-kernels"):
                assert found[name].startswith(f"{version} "), (name, found)
            assert {"openmpi", "libhwloc", "libnuma", "libstdcxx", "libzlib"} <= set(found)


def test_torch_ttnn_asks_for_pytorch(suite: list[PackageFacts], channels: list[str | Path]) -> None:
    of(suite, "torch-ttnn")
    try:
        records = solve(["torch-ttnn"], channels)
    except TtCondaError as error:  # no channel here has PyTorch, or only one with libc++
        assert any(name in error.what for name in ("pytorch", "libtorch", "torch-cxx-stdlib"))
        assert "torch-ttnn" in error.what and "--channel" in error.way_out
    else:
        assert {"pytorch", "ttnn"} <= {record.name.normalized for record in records}


def test_the_channel_without_pytorch_has_all_else_that_its_packages_need(suite: list[PackageFacts]) -> None:
    """As publish.yml makes it: what it leaves out is PyTorch, which conda-forge has, and nothing that only we have."""
    workflow = (PROJECT / ".github/workflows/publish.yml").read_text()
    command = re.search(r"tt-conda publish \S+((?: --without \S+)+)", workflow)
    assert command
    without = set(command[1].split()) - {"--without"}
    needed = {spec.split()[0] for package in suite for spec in package.depends}
    only_ours = {package.name for package in suite} | {"torch-cxx-stdlib"}
    assert {"torch-cxx-stdlib", "tt-metal", "pytorch"} <= needed
    assert "pytorch" in without and not without & needed & only_ours
