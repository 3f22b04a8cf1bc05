"""What the recipe lets a solver put together: packages without files, with the metadata that it renders to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rattler_build import assemble_package

from published import PROJECT
from tt_conda.base.errors import TtCondaError
from tt_conda.building.variants import Output, narrow, render
from tt_conda.channel.index import publish
from tt_conda.environment import solver

OURS = ("torch-cxx-stdlib", "libtorch", "pytorch")
STDLIBS = ("libcxx", "libstdcxx")


@pytest.fixture(scope="module")
def outputs() -> list[Output]:
    recipes = [PROJECT / "recipes" / name / "recipe.yaml" for name in ("torch-cxx-stdlib", "pytorch-libcxx")]
    return render(recipes, narrow(PROJECT / "variants.yaml", {"python": ["3.10"]}))


def specs(entries: list[Any], siblings: dict[str, str]) -> list[str]:
    """Those of a recipe's requirements that are about its own packages; an exact pin is to the sibling's build."""
    found = []
    for entry in entries:
        if isinstance(entry, dict):
            ((kind, pin),) = entry.items()
            assert kind == "pin_compatible" and pin["exact"]
            found.append(f"{pin['name']} {siblings[pin['name']]}")
        elif entry.split(" ")[0] in OURS:
            found.append(entry)
    return found


def pack(folder: Path, name: str, version: str, build: str, depends: list[str]) -> Path:
    staged = folder / "staged" / f"{name}-{build}"
    (staged / "share").mkdir(parents=True)
    (staged / "share" / name).write_text(build)
    (folder / "made").mkdir(exist_ok=True)
    return assemble_package(
        name, version, "linux-64", build, folder / "made", files_dir=staged, depends=depends,
        build_number=int(build.rpartition("_")[2]) if "_" in build else 0,
    ).path  # fmt: skip


@pytest.fixture(scope="module")
def channel(outputs: list[Output], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe's packages for both C++ standard libraries, and for each what was compiled against libtorch."""
    folder = tmp_path_factory.mktemp("ours")
    packages = []
    for cxx_stdlib in STDLIBS:
        siblings: dict[str, str] = {}
        for name in OURS:
            (recipe,) = [o.rendered.recipe for o in outputs if o.name == name and o.axes["cxx_stdlib"] == cxx_stdlib]
            asked = recipe.requirements.to_dict()
            version = recipe.package.version
            packages.append(pack(folder, name, version, recipe.build.string, specs(asked.get("run", []), siblings)))
            siblings[name] = f"=={version} {recipe.build.string}"
            if name == "libtorch":
                exported = specs(asked["run_exports"]["weak"], siblings)
                packages.append(pack(folder, f"extension-{cxx_stdlib}", "1.0", "0", exported))
                # and again, of another build
                again = recipe.build.string.rpartition("_")[0] + "_1"
                packages.append(pack(folder, name, version, again, specs(asked["run"], siblings)))
    publish(packages, folder / "channel")
    return folder / "channel"


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A channel as others have it: its PyTorch is compiled with libstdc++, and no package of it says so."""
    folder = tmp_path_factory.mktemp("foreign")
    publish([
        pack(folder, "libtorch", "2.6.0", "cpu_generic_h0123456_0", []),
        pack(folder, "pytorch", "2.6.0", "cpu_generic_py310_h0123456_0", ["libtorch 2.6.0.*"]),
    ], folder / "channel")  # fmt: skip
    return folder / "channel"


def solve(asked: list[str], *channels: Path) -> dict[str, str]:
    return {record.name.normalized: str(record.build) for record in solver.solve(asked, channels)}


@pytest.mark.parametrize("cxx_stdlib", STDLIBS)
def test_what_was_compiled_against_libtorch_gets_the_same_standard_library(channel: Path, cxx_stdlib: str) -> None:
    found = solve([f"extension-{cxx_stdlib}", "pytorch"], channel)
    assert found["torch-cxx-stdlib"] == cxx_stdlib
    assert found["libtorch"].startswith(f"{cxx_stdlib}_h") and found["pytorch"].startswith(f"{cxx_stdlib}_py310_h")


@pytest.mark.parametrize("cxx_stdlib", STDLIBS)
def test_and_never_the_other(channel: Path, cxx_stdlib: str) -> None:
    (other,) = {*STDLIBS} - {cxx_stdlib}
    for asked in (f"pytorch * {other}_*", f"libtorch * {other}_*", f"extension-{other}"):
        with pytest.raises(TtCondaError) as error:
            solve([f"extension-{cxx_stdlib}", asked], channel)
        said = error.value.what.replace("==", "=")
        why = {f"torch-cxx-stdlib =1.0 {cxx_stdlib}", f"torch-cxx-stdlib =1.0 {other}"}
        assert all(line in said for line in why) or "libtorch >=2.6.0,<2.7.0a0 libcxx_*" in said, said


def test_what_was_compiled_with_libcxx_refuses_a_libtorch_that_does_not_say(channel: Path, foreign: Path) -> None:
    assert solve(["extension-libcxx"], channel, foreign)["libtorch"].startswith("libcxx_")
    with pytest.raises(TtCondaError, match=r"libtorch .*libcxx_\*"):
        solve(["extension-libcxx"], foreign, channel)  # the first channel's libtorch is the only one


def test_what_was_compiled_with_libstdcxx_takes_it(channel: Path, foreign: Path) -> None:
    found = solve(["extension-libstdcxx", "pytorch"], foreign, channel)
    assert (found["libtorch"], found["torch-cxx-stdlib"]) == ("cpu_generic_h0123456_0", "libstdcxx")


def test_bindings_come_with_the_libtorch_that_they_were_compiled_against(channel: Path) -> None:
    """There is a newer build of it, too."""
    assert solve(["libtorch * libcxx_*"], channel)["libtorch"].endswith("_1")
    assert solve(["pytorch * libcxx_*"], channel)["libtorch"].endswith("_0")
