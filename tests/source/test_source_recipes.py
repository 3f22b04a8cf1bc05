"""The recipes that compile: what they give, what they are made from, and that the stand-in differs by source alone."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from published import TORCH_020, TTNN_065, published
from script import loaded
from toolchain import program
from tt_conda.building.variants import Output, in_order, narrow, render
from tt_conda.embedded.assemble import ensure_channel
from tt_conda.environment import solver
from tt_conda.formats.archive import unpack_tar
from tt_conda.inputs import lock as locks
from tt_conda.inputs.debian import fetch_debs

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = Path(__file__).parents[2]
RECIPES = [PROJECT / "recipes" / name / "recipe.yaml" for name in ("sfpi", "tt-metal", "ttnn", "torch-ttnn")]
SOURCE = PROJECT / "recipes/tt-metal/source"
V065, V079 = "0.65.0.dev20251205", "0.79.0"
STANDIN = {"tt_source": ["../../tests/standin"]}

ABSENT = {"expat", "gmp", "mpc", "mpfr", "xz"}
"""What conda-forge has and the embedded channel lacks: of SFPI's programs."""


@functools.lru_cache
def rendered(*, standin: bool = False, debug: bool = False) -> tuple[Output, ...]:
    axes = {"origin": ["source"]}
    instead = {**(STANDIN if standin else {}), **({"tt_metal_build": ["Debug"]} if debug else {})}
    return tuple(render(RECIPES, narrow(PROJECT / "variants.yaml", axes, instead)))


@pytest.fixture(scope="module")
def prepare() -> ModuleType:
    return loaded(SOURCE / "prepare.py")


@pytest.fixture(scope="module")
def kernels() -> ModuleType:
    return loaded(SOURCE / "kernels.py")


def pins(version: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = tomllib.loads((SOURCE / f"pins/{version}.toml").read_text())
    return found


def sources(name: str, version: str) -> list[dict[str, Any]]:
    (output,) = (o for o in rendered() if o.name == name and o.version == version)
    return [source.to_dict() for source in output.rendered.recipe.sources]


def build_requirements(output: Output) -> list[Any]:
    return list(output.rendered.recipe.requirements.to_dict().get("build", []))


# --- what they give ---


def test_every_package_that_is_promised() -> None:
    stdlibs = ("libcxx", "libstdcxx")
    expected = {
        *(("sfpi", version, "", "") for version in ("7.11.0", "7.78.0")),
        *((name, version, "", "") for version in (V065, V079) for name in ("tt-metal-source", "tt-metal-kernels")),
        *((name, version, stdlib, "") for version in (V065, V079) for stdlib in stdlibs
          for name in ("tt-metal", "tt-metal-compiled", "tt-metal-static", "libttnn", "tt-metal-devel")),
        *(("ttnn", version, stdlib, python) for version in (V065, V079) for stdlib in stdlibs
          for python in ("3.10", "3.12")),
        *(("torch-ttnn", "0.2.0", stdlib, python) for stdlib in stdlibs for python in ("3.10", "3.12")),
    }  # fmt: skip
    for outputs, kind in ((rendered(), "source"), (rendered(standin=True), "local"), (rendered(debug=True), "source")):
        found = {(o.name, o.version, o.axes.get("cxx_stdlib", ""), o.axes.get("python", "")) for o in outputs}
        assert found == expected
        assert len({o.stem for o in outputs}) == len(outputs) == len(expected)
        in_order(outputs)
        assert all(f"{kind}_" in o.stem or f"{kind}debug_" in o.stem for o in outputs)


def test_everything_carves_unless_source_is_named() -> None:
    outputs = render(RECIPES, narrow(PROJECT / "variants.yaml", {}))
    assert {o.axes["origin"] for o in outputs if o.name != "sfpi"} == {"wheel"}
    assert all(o.on_request for o in outputs if o.name == "sfpi")


def test_the_version_is_the_variant_s_and_its_neighbours() -> None:
    """What TT_METAL_VERSION was for: each package has the version of its variant and asks for the others in it."""
    own = {"tt-metal", "tt-metal-compiled", "tt-metal-kernels", "tt-metal-devel", "tt-metal-source", "libttnn", "ttnn"}
    asked = set[str]()
    for output in rendered():
        if output.name == "sfpi":
            continue
        metal = output.axes["tt_metal_version"]
        assert output.version == (metal if output.name != "torch-ttnn" else "0.2.0")
        requirements = output.rendered.recipe.requirements.to_dict()
        for spec in (spec for section in ("build", "host", "run") for spec in requirements.get(section, [])):
            name, _, rest = spec.partition(" ") if isinstance(spec, str) else ("", "", "")
            if name in own:
                asked.add(name)
                assert rest.split()[0] == f"=={metal}", (output.stem, spec)
    assert asked == own


def test_a_debug_build_stands_behind_another() -> None:
    for debug in (False, True):
        for output in rendered(debug=debug):
            behind = (output.rendered.recipe.build.to_dict().get("variant") or {}).get("down_prioritize_variant", 0)
            assert bool(behind) == ("sourcedebug" in output.stem), output.stem


@pytest.mark.debian
def test_what_they_need_can_be_solved() -> None:
    """Every environment of every variant, with the embedded channel; but for each other and what it lacks."""
    outputs, channel = rendered(), ensure_channel()
    recipes = sorted(PROJECT.glob("recipes/*/recipe.yaml"))
    own = {o.name for o in (*outputs, *render(recipes, narrow(PROJECT / "variants.yaml", {})))}
    absent, solved = set[str](), set[tuple[str, ...]]()
    for output in outputs:
        for section in ("build", "host", "run"):
            specs = output.rendered.recipe.requirements.to_dict().get(section, [])
            named = {spec.split()[0]: spec for spec in specs if isinstance(spec, str)}
            wanted = tuple(sorted(spec for name, spec in named.items() if name not in own))
            if wanted and wanted not in solved:
                solved.add(wanted)
                absent |= set(solver.solve_present(wanted, [channel])[1])
    assert len(solved) > 10
    assert absent == ABSENT


def test_what_configures_upstream_has_what_cpm_looks_for() -> None:
    """CPM stops without ``patch`` where a third party is asked for with patches, though none is applied here."""
    compiled = [o for o in rendered() if any("tt-metal-source" in str(s) for s in build_requirements(o))]
    assert len(compiled) == 2 * (1 + 2 * 4)  # versions; the kernels; standard libraries; all, static, two Pythons
    assert [o.stem for o in compiled if "patch" not in build_requirements(o)] == []


def test_nothing_that_runs_needs_what_is_internal() -> None:
    outputs = rendered()
    internal = {output.name for output in outputs if output.internal}
    assert internal == {"tt-metal-source", "tt-metal-compiled"}
    for output in outputs:
        if output.name not in internal:
            asked = output.rendered.recipe.requirements.to_dict()
            said = json.dumps([asked.get(part, []) for part in ("host", "run", "run_constraints", "run_exports")])
            assert not any(name in said for name in internal), output.stem


# --- by the source alone ---


def _without_source(output: Output) -> Any:
    text = json.dumps(output.rendered.recipe.to_dict(), sort_keys=True)
    recipe = json.loads(re.sub(r"(?<=[_ \"])local(?=_)", "source", re.sub(r"h[0-9a-f]{7}_0", "", text)))
    for part in ("source", "context"):
        recipe.pop(part, None)
    recipe.get("build", {}).pop("string", None)
    return recipe


def test_the_stand_in_differs_by_its_source_alone() -> None:
    """Every output of every variant: requirements, scripts, tests, everything but where the sources come from."""
    theirs = {(o.name, o.version, *sorted(o.axes.items())): o for o in rendered()}
    ours = {
        (o.name, o.version, *sorted({**o.axes, "tt_source": "upstream"}.items())): o for o in rendered(standin=True)
    }
    assert ours.keys() == theirs.keys()
    for key, output in ours.items():
        if output.name == "sfpi":  # upstream's programs need libraries, and say their version
            assert _without_source(output)["build"] == _without_source(theirs[key])["build"]
        else:
            assert _without_source(output) == _without_source(theirs[key]), key
    with_source = {o.name for o in rendered() if o.rendered.recipe.sources}
    assert with_source == {"sfpi", "tt-metal-source", "torch-ttnn"}
    for script in PROJECT.glob("recipes/*/source/*"):
        assert not script.is_file() or "tt_source" not in script.read_text(), script


# --- what they are made from ---


BY_TAG = {
    "https://github.com/tenstorrent/tt-logger.git refs/tags/v1.1.6",  # its commit is in no snapshot: docs/unverified.md
    "https://github.com/tenstorrent/tt-logger.git refs/tags/v1.1.8",  # nor this; pins/ has the hash of its tree
}


def test_every_source_is_pinned() -> None:
    """Of every recipe, carved or compiled: by a git commit or by an archive's hash."""
    recipes = sorted(PROJECT.glob("recipes/*/recipe.yaml"))
    outputs = [*render(recipes, narrow(PROJECT / "variants.yaml", {})), *rendered()]
    outputs += render(recipes, narrow(PROJECT / "variants.yaml", {"origin": ["source"]}))
    found = [source.to_dict() for output in outputs for source in output.rendered.recipe.sources]
    unpinned = {
        f"{source.get('git', source.get('url'))} {source.get('rev', '')}".strip() for source in found
        if "path" not in source and not re.fullmatch("[0-9a-f]{40}", source.get("rev", ""))
        and not re.fullmatch("[0-9a-f]{64}", source.get("sha256") or "")
        and not re.fullmatch("[0-9a-f]{32}", source.get("md5") or "")
    }  # fmt: skip
    assert unpinned == BY_TAG
    for recipe in recipes:  # unless it says not to, the engine fetches submodules
        text = recipe.read_text()
        assert len(re.findall(r"^ *- git: |^ *git: ", text, re.M)) == len(re.findall("^ *submodules: ", text, re.M)), (
            recipe
        )
    assert len(found) > 100
    own = {path for source in found if (path := source.get("path"))}
    assert all(not Path(path).is_absolute() for path in own)


@pytest.mark.parametrize("version", [V065, V079])
def test_what_upstream_calls_each_source_is_known(version: str) -> None:
    """Where it asks for a tag; for a commit or an archive it asks by what the recipe has."""
    by_commit = {"capnproto", "cxxopts", "enchantum", "nanobind", "ttexalens", "yaml-cpp"}
    folders = {source.get("target_directory", "") for source in sources("tt-metal-source", version)}
    names = {name.removeprefix("_deps/").removesuffix("-src") for name in folders if name.startswith("_deps/")}
    assert names - by_commit - {"boost"} == pins(version)["version"].keys()
    (logger,) = (s for s in sources("tt-metal-source", version) if "tt-logger" in s.get("git", ""))
    assert logger["rev"].removeprefix("refs/tags/v") == pins(version)["version"]["tt-logger"].removeprefix("v")


def test_the_published_wheel_names_tt_metal_s_commit() -> None:
    (source,) = (s for s in sources("tt-metal-source", V065) if s.get("target_directory") == "tt-metal")
    with zipfile.ZipFile(published(TTNN_065)) as wheel:
        (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        assert f"Metal pin {source['rev']}." in wheel.read(metadata).decode()


def test_torch_ttnn_s_commit_is_not_in_the_published_wheel() -> None:
    """Its files are the commit's, as was seen once (docs/source.md); if another names a commit, that is the pin."""
    found = [o.rendered.recipe.sources[0].to_dict() for o in rendered() if o.name == "torch-ttnn"]
    ((git, rev),) = {(source["git"], source["rev"]) for source in found}
    with zipfile.ZipFile(published(TORCH_020)) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        said = wheel.read(name).decode()
    (repository,) = re.findall(r"^Project-URL: Repository, https://github\.com/(\S+)", said, flags=re.M)
    assert repository not in git and rev[:7] not in said
    text = (PROJECT / "docs/source.md").read_text()
    assert rev in text and repository in text and "ttnn-shutov==0.65.0.dev20251205" in said


def test_the_published_wheel_was_compiled_from_the_same_third_parties() -> None:
    """Its libraries hold paths below CPM's cache, whose folders are named by the sha1 of what was asked for."""
    found = dict[str, set[str]]()
    repositories = {s["target_directory"].removeprefix("_deps/").removesuffix("-src"): s["git"]
                    for s in sources("tt-metal-source", V065) if "git" in s}  # fmt: skip
    with zipfile.ZipFile(published(TTNN_065)) as wheel:
        for name in wheel.namelist():
            if (name.endswith(".so") and "/lib/" in name) or "_ttnn.c" in name:
                for match in re.finditer(rb"\.cpmcache/([\w-]+)/([0-9a-f]{40})/", wheel.read(name)):
                    found.setdefault(match[1].decode(), set()).add(match[2].decode())
    same = set()
    for name, keys in found.items():
        asked = pins(V065)["version"].get(name, "d135c9ca5e15219eaf131dfce1a41afdbaea9aab")  # capnproto's
        words = sorted(["GIT_REPOSITORY", repositories[name], "GIT_TAG", asked])
        if keys == {hashlib.sha1(";".join(words).encode()).hexdigest()}:
            same.add(name)
    # the other two were asked for with patches, which count as well
    assert same == {"flatbuffers", "fmt", "nlohmann_json", "pybind11", "taskflow"}
    assert found.keys() - same == {"capnproto", "protobuf"}


def test_sfpi_is_what_the_published_wheels_were_made_with() -> None:
    made = {o.version: o for o in render(RECIPES, narrow(PROJECT / "variants.yaml", {})) if o.name == "sfpi"}
    with zipfile.ZipFile(published(TTNN_065)) as wheel:
        firmware = [name for name in wheel.namelist() if "/runtime/hw/lib/" in name and name.endswith(".o")]
        versions = {m for name in firmware for m in re.findall(rb"tenstorrent/sfpi:([\d.]+)\)", wheel.read(name))}
    assert versions == {b"7.11.0"} and "7.11.0" in made
    made |= {o.version: o for o in rendered() if o.name == "sfpi"}
    for label, version in (("ttnn-0.81.1-3.12", "7.89.0"), ("ttnn-0.79.0-3.10", "7.78.0")):
        with zipfile.ZipFile(published(label)) as wheel:
            said = wheel.read("ttnn/tt_metal/sfpi-version").decode()
        (source,) = (s.to_dict() for s in made[version].rendered.recipe.sources)
        assert f"sfpi_version='{version}'" in said and f"sfpi_x86_64_debian_txz_hash='{source['sha256']}'" in said


def test_the_extension_is_compiled_as_upstream_does_it() -> None:
    """The published wheel holds upstream's own CMakeLists.txt and sources."""
    ours = (PROJECT / "recipes/torch-ttnn/source/CMakeLists.txt").read_text()
    with zipfile.ZipFile(published(TORCH_020)) as wheel:
        root = "torch_ttnn/cpp_extension/"
        theirs = wheel.read(root + "CMakeLists.txt").decode()
        there = {n.removeprefix(root) for n in wheel.namelist() if n.startswith(root + "ttnn_cpp_extension/src/")}
    listed = set(re.findall(r"ttnn_cpp_extension/src/[\w/]+\.cpp", theirs))
    assert listed == {name for name in there if name.endswith(".cpp")} and len(listed) > 5  # so a glob gives the same
    (definitions,) = re.findall(r"target_compile_definitions\(ttnn_device_extension PRIVATE\s+(\w[^)]+)\)", theirs)[:1]
    for word in definitions.split():
        assert word in ours
    for word in ("TT::Metalium", "TTNN::TTNN", "TORCH_LIBRARIES", "torch_python"):
        assert word in theirs and word in ours
    # what ttnn-dev lacks, upstream takes from tt-metal's sources; tt-metal-devel has it
    assert re.findall(r"SYSTEM PRIVATE\n +\$\{\w+\}/third-party/(.+)\n", theirs) == ["tt-metal/ttnn/cpp"]
    assert "tt-metal/ttnn/cpp" in (PROJECT / "recipes/tt-metal/source/build-compiled.sh").read_text()
    assert "install(FILES" in theirs and "install(FILES" not in ours  # the copies


# --- what kernels need ---


@pytest.fixture(params=[TTNN_065, "ttnn-0.79.0-3.10"])
def carved_kernels(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The kernels in a published wheel, as they lie below the root."""
    with zipfile.ZipFile(published(request.param)) as wheel:
        for name in wheel.namelist():
            left_out = re.search("/pre-compiled/|/tt[-_]llk/(tests|docs|tools)/", name)
            if name.startswith(("ttnn/tt_metal/", "ttnn/ttnn/")) and not left_out:
                wheel.extract(name, tmp_path)
    return tmp_path / "ttnn"


def test_kernels_are_taken_from_the_folders_of_the_published_wheels(kernels: ModuleType, carved_kernels: Path) -> None:
    """Single files that setup.py names are in upstream's components, or those of the issue would have been more."""
    taken = {str(path) for part in kernels.FOLDERS for path in kernels.wanted(carved_kernels, part)}
    there = {str(path.relative_to(carved_kernels)) for path in carved_kernels.rglob("*") if path.suffix in kernels.CODE}
    single = ("tt_metal/api/", "tt_metal/fabric/fabric_edm_packet_header.hpp", "tt_metal/impl/buffers/",
              "ttnn/cpp/ttnn/operations/")  # fmt: skip
    assert [name for name in there - taken if not name.startswith(single)] == []
    assert len(there - taken) < 25 < 1900 < len(there & taken)


def test_what_kernels_include_is_there(kernels: ModuleType, carved_kernels: Path) -> None:
    assert kernels.without_a_file(carved_kernels) == []


def test_kernels_that_lack_a_header_are_an_error(kernels: ModuleType, tmp_path: Path) -> None:
    """The stand-in's component has a kernel and not its header; without the sources' it is refused."""
    sources, root = PROJECT / "tests/standin/tt-metal", tmp_path / "share"
    kernel, header = "ttnn/cpp/ttnn/operations/add/device/kernels/add.cpp", "tt_metal/hw/inc/api/compute/add.h"
    (root / kernel).parent.mkdir(parents=True)
    (root / kernel).write_bytes((sources / kernel).read_bytes())
    with pytest.raises(SystemExit, match=r"add\.cpp includes api/compute/add\.h"):
        kernels.main(str(sources), str(root))
    kernels.main(str(sources), str(root), "tt_metal", "ttnn")
    assert (root / header).is_file() and (root / kernel).with_name("add_scalar.cpp").is_file()
    for name in ("tt_metal/CMakeLists.txt", "tt_metal/kernels/blank.cpp", "ttnn/cpp/ttnn/operations/add/add.hpp"):
        assert (root / name).exists() == ("kernels" in name)


# --- the check of the sources ---


@pytest.mark.debian
def test_the_hash_of_a_tree_is_nix_s(prepare: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert prepare.nar_hash(tmp_path / "empty") == "sha256-pQpattmS9VmO3ZIQUFn66az8GSmB4IvYhTTCFn6SUmo="
    # Debian has GitHub's archive of nlohmann_json 3.11.3, unchanged; the hash is nixpkgs'
    lock = locks.load(PROJECT / "recipes/pytorch-libcxx/sources.lock")
    (pin,) = (source for source in lock.source if source.name == "nlohmann-json3")
    with tarfile.open(fileobj=io.BytesIO(fetch_debs([pin])[pin.sha256].read_bytes())) as archive:
        unpack_tar(archive, tmp_path)
    assert prepare.nar_hash(tmp_path / "json-3.11.3") == "sha256-7F0Jon+1oWL7uqet5i1IgHX0fUw/+z0QwEcA3zs5xHg="


PINS = f"pins/{V065}.toml"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The stand-in's sources, as the recipe lays them out, with pins and an archive of SFPI that it names."""
    standin = PROJECT / "tests/standin"
    subprocess.run(["cp", "-r", standin / "tt-metal", standin / "_deps", standin / "cpm", tmp_path], check=True)
    (tmp_path / "pins").mkdir()
    (tmp_path / PINS).write_text('[version]\nfmt = "11.1.4"\nnlohmann_json = "v3.11.3"\nxtensor = "0.26.0"\n')
    add(tmp_path, "tt-metal/tt_metal/sfpi-version", "sfpi_x86_64_debian_txz_md5=f720b66692c52b0c4a774edf05ee014e\n")
    return tmp_path


def add(tree: Path, name: str, text: str) -> None:
    """Something more at the end of a file."""
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    with (tree / name).open("a") as file:
        file.write(text)


def check(tree: Path, version: str = V065, sfpi: str = "7.11.0") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SOURCE / "prepare.py", version, sfpi, SOURCE / "patches", SOURCE.parent]
    path = f"{Path(program('patch')).parent}:{os.environ['PATH']}"
    return subprocess.run(
        command, cwd=tree, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )  # fmt: skip


def refused(tree: Path, **options: str) -> str:
    """What it says of sources that it refuses."""
    done = check(tree, **options)
    assert done.returncode == 1 and done.stderr.startswith("error: the recipe's sources are not the ones"), done.stderr
    return done.stderr


THIRD_PARTY = "tt-metal/third_party/CMakeLists.txt"


def test_sources_are_patched_and_prepared(tree: Path) -> None:
    (tree / "_deps/taskflow-src/benchmarks").mkdir(parents=True)
    add(tree, THIRD_PARTY, "CPMAddPackage(NAME Taskflow GITHUB_REPOSITORY taskflow/taskflow GIT_TAG v3.7.0)\n")
    add(tree, PINS, 'taskflow = "v3.7.0"\n')
    done = check(tree)
    assert done.returncode == 0, done.stderr
    assert "-Werror" not in (tree / "tt-metal/CMakeLists.txt").read_text()
    assert "second" in (tree / "_deps/fmt-src/include/fmt/format.h").read_text()
    assert list((tree / "_deps/taskflow-src").iterdir()) == []  # a compiled benchmark, which the audit refuses
    for folder in ("cmake", "tt_metal/third_party/umd/cmake"):
        assert (tree / "tt-metal" / folder / "CPM.cmake").read_text() == (tree / "cpm/cmake/CPM.cmake").read_text()
    assert "set(ULFM_PREFIX" not in (tree / "tt-metal/tt_metal/distributed/CMakeLists.txt").read_text()
    header = tree / "dev_msgs.hpp"
    subprocess.run([tree / "tt-metal/tt_metal/llrt/hal/codegen/codegen.sh", header], check=True)
    assert header.read_text().startswith("// (c) \n")


def test_what_an_edit_finds_nothing_of_is_an_error(tree: Path) -> None:
    """An upstream that does it otherwise is looked at again."""
    (tree / "tt-metal/tt_metal/distributed/CMakeLists.txt").write_text("set(OTHER_PREFIX /opt)\n")
    done = check(tree)
    assert done.returncode == 1 and "distributed/CMakeLists.txt has nothing like ^set\\(ULFM_PREFIX" in done.stderr


def test_tracy_s_programs_are_not_built(tree: Path) -> None:
    """At 0.65 by make and g++, in ``all`` whatever ENABLE_TRACY says."""
    file = tree / "tt-metal/cmake/tracy.cmake"
    file.write_text("add_subdirectory(tracy)\n\n# Our current fork of tracy does not have CMake support\n"
                    "include(ExternalProject)\n")  # fmt: skip
    assert check(tree).returncode == 0
    library, end, _ = file.read_text().partition("\nreturn()\n")
    assert end and "add_subdirectory" in library and "ExternalProject" not in library


def test_pins_that_are_not_upstream_s_are_named(tree: Path) -> None:
    file = tree / THIRD_PARTY
    file.write_text(file.read_text().replace("11.1.4", "12.0.0"))
    assert "asks for fmt 12.0.0; pinned is 11.1.4" in refused(tree)


def test_what_is_not_here_is_no_longer_asked_for(tree: Path) -> None:
    """Tests' libraries, which nothing here links, and CPM would fetch."""
    before = (tree / THIRD_PARTY).read_text()
    add(tree, THIRD_PARTY, "if(X)\nCPMAddPackage(\n NAME googletest # (for tests)\n VERSION 1.0)\nendif()\n")
    done = check(tree)
    assert done.returncode == 0 and "not here, so no longer asked for: googletest 1.0" in done.stdout
    assert (tree / THIRD_PARTY).read_text() == before + "if(X)\n\nendif()\n"


def test_what_is_asked_for_nowhere_is_no_source(tree: Path) -> None:
    (tree / "_deps/picosha2-src").mkdir()
    add(tree, PINS, 'boost = "1.86.0"\n')
    said = refused(tree)
    assert "picosha2 is a source or a pin, but none of" in said and "boost is a source or a pin" in said


def test_archives_are_compared_by_hash(tree: Path) -> None:
    (tree / "_deps/boost-src").mkdir()
    (sha256,) = (source["sha256"] for source in sources("tt-metal-source", V065) if "boost" in source.get("url", ""))
    boost = "CPMAddPackage(\n NAME Boost\n VERSION 1.86.0\n URL\n https://boost\n URL_HASH\n SHA256={})\n"
    add(tree, THIRD_PARTY, boost.format(sha256))
    assert check(tree).returncode == 0
    (tree / THIRD_PARTY).write_text(boost.format("b" * 64))
    assert f"asks for boost {'b' * 64}; the recipe has another archive" in refused(tree)


def test_another_tree_is_refused(tree: Path, prepare: ModuleType) -> None:
    add(tree, PINS, f'\n[nar]\nxtensor = "{prepare.nar_hash(tree / "_deps/xtensor-src")}"\n')
    assert check(tree).returncode == 0
    (tree / "_deps/xtensor-src/LICENSE").chmod(0o755)
    assert "_deps/xtensor-src has sha256-" in refused(tree)


def test_commits_are_compared_wherever_upstream_names_them(tree: Path) -> None:
    """Those that it asks CPM for, in tt-exalens too, and its submodules."""

    def committed(folder: Path) -> str:
        config = ("-c", "user.name=a", "-c", "user.email=a@b")
        for command in (["init", "-q"], ["add", "-A"], [*config, "commit", "-q", "-m", "1"]):
            subprocess.run(["git", "-C", folder, *command], check=True, capture_output=True)
        return subprocess.check_output(["git", "-C", folder, "rev-parse", "HEAD"], text=True).strip()

    add(tree, "_deps/libdwarf-src/dwarf.h", "")
    head = committed(tree / "_deps/libdwarf-src")
    asked = "CPMAddPackage(NAME libdwarf GITHUB_REPOSITORY davea42/libdwarf-code GIT_TAG {})\n"
    exalens = "_deps/ttexalens-src/cmake/native_elf.cmake"
    add(tree, exalens, asked.format(head))
    add(tree, THIRD_PARTY, f"CPMAddPackage(NAME ttexalens GIT_TAG {'c' * 40})\n")
    umd = committed(tree / "tt-metal/tt_metal/third_party/umd")
    committed(tree / "tt-metal")
    assert check(tree).returncode == 0
    (tree / exalens).write_text(asked.format("d" * 40))
    add(tree, "tt-metal/tt_metal/third_party/umd/more", "")
    moved = committed(tree / "tt-metal/tt_metal/third_party/umd")
    said = refused(tree)
    assert f"native_elf.cmake asks for libdwarf {'d' * 40}; the recipe has {head}" in said
    assert f"tt-metal wants tt_metal/third_party/umd at {umd}; the recipe has {moved}" in said


def test_another_sfpi_is_refused(tree: Path) -> None:
    assert "compiles kernels with sfpi 7.11.0; the variants say 7.78.0" in refused(tree, sfpi="7.78.0")
    file = tree / "tt-metal/tt_metal/sfpi-version"
    file.write_text(file.read_text().replace("f720b666", "00000000"))
    assert "wants an archive of sfpi with the hash 00000000" in refused(tree)


def test_sources_without_pins_are_taken_as_they_are(tree: Path) -> None:
    assert "these sources have no pins" in check(tree, version="1.0").stdout


# --- the scripts ---


def test_a_failed_step_stops_every_script() -> None:
    """``a && b`` goes on after a failed ``a``, whatever ``set -e`` says (bash's manual, "The Set Builtin")."""
    scripts = [*PROJECT.glob("recipes/*/source/*.sh"), *PROJECT.glob("recipes/*/*.sh")]
    assert len(scripts) > 10
    for script in scripts:
        text = re.sub(r"\\\n|#.*", "", script.read_text())
        assert [line for line in text.splitlines() if re.match(r"\s*\w[^|(\[]*&&", line)] == [], script
        builds = script.parent.name == "source" and script.name.startswith("build")
        assert not builds or re.search(r"^set -euo pipefail$|^source .*/common\.sh\"$", text, flags=re.M), script
