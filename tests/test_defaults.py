"""What a solver takes where nobody names a C++ standard library or an origin; of the packages only their metadata."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from published import PROJECT
from tt_conda.building.variants import Output, in_order, narrow, render
from tt_conda.environment import solver

V065 = "0.65.0.dev20251205"
RUNS = 10
"""A solver that has to choose between equals draws; ten times the same by chance is one in five hundred."""

Record = dict[str, Any]


@pytest.fixture(scope="module")
def records() -> list[Record]:
    """What the recipes give for Python 3.10, carved and compiled with both standard libraries."""
    recipes = [PROJECT / "recipes" / name / "recipe.yaml"
               for name in ("torch-cxx-stdlib", "pytorch-libcxx", "tt-metal", "ttnn", "torch-ttnn")]  # fmt: skip
    outputs = {
        output.stem: output
        for origin in ("wheel", "source")
        for output in render(recipes, narrow(PROJECT / "variants.yaml", {"origin": [origin], "python": ["3.10"]}))
    }
    own = {output.name for output in outputs.values()}
    found: list[Record] = []
    for output in in_order(list(outputs.values())):
        found.append(_record(output, own, found))
    return found


def _record(output: Output, own: set[str], siblings: Sequence[Record]) -> Record:
    """Its dependencies on the recipes' other packages, and the exact pins that those in its host environment export."""
    recipe = output.rendered.recipe
    asked = recipe.requirements.to_dict()
    depends = {spec for spec in asked.get("run", []) if isinstance(spec, str) and spec.split()[0] in own}
    for spec in asked.get("host", []):
        name, _, rest = str(spec).partition(" ")
        if name in {"libtorch", "tt-metal", "libttnn"} and name != output.name and output.name != "tt-metal-devel":
            build = rest.split()[1].removesuffix("*") if len(rest.split()) > 1 else ""
            version = rest.split()[0].removeprefix("==")
            (match,) = [s for s in siblings if s["name"] == name and s["build"].startswith(build)
                        and version in ("*", s["version"])]  # fmt: skip
            depends.add(f"{name} =={match['version']} {match['build']}")
    behind = (recipe.build.to_dict().get("variant") or {}).get("down_prioritize_variant", 0)
    return {
        "name": output.name, "version": output.version, "build": recipe.build.string, "build_number": 0,
        "subdir": "linux-64", "depends": sorted(depends),
        **({"track_features": f"{output.name}-p-0"} if behind else {}),
        **({"timestamp": 1764892800000} if output.axes.get("origin") == "wheel" else {}),
    }  # fmt: skip


def channel(folder: Path, records: Sequence[Record]) -> Path:
    for subdir in ("linux-64", "noarch"):
        (folder / subdir).mkdir(parents=True)
        packages = {f"{r['name']}-{r['version']}-{r['build']}.conda": r for r in records if subdir == "linux-64"}
        index = {"info": {"subdir": subdir}, "packages": {}, "packages.conda": packages, "repodata_version": 1}
        (folder / subdir / "repodata.json").write_text(json.dumps(index))
    return folder


def solved(asked: Sequence[str], *channels: Path) -> set[tuple[tuple[str, str], ...]]:
    """The different answers."""
    return {
        tuple(sorted((r.name.normalized, str(r.build)) for r in solver.solve(asked, channels)))
        for _ in range(RUNS)
    }  # fmt: skip


SPECS = ["pytorch", "libtorch", "tt-metal", "libttnn", "tt-metal-devel", "tt-metal-static", "ttnn", "torch-ttnn"]


@pytest.mark.parametrize("reverse", [False, True], ids=["", "reversed"])
@pytest.mark.parametrize("asked", SPECS)
def test_libstdcxx_is_the_default(records: list[Record], asked: str, reverse: bool, tmp_path: Path) -> None:
    """Of what is compiled from the same version with both, wherever it stands in the index."""
    compiled = [r for r in records if "_wheel_" not in r["build"]]
    (answer,) = solved([asked], channel(tmp_path, compiled[::-1] if reverse else compiled))
    assert dict(answer)["torch-cxx-stdlib"] == "libstdcxx"
    assert not [build for name, build in answer if "libcxx" in build and name != "torch-cxx-stdlib"]


@pytest.mark.parametrize("asked", SPECS)
def test_who_asks_for_libcxx_gets_all_of_it(records: list[Record], asked: str, tmp_path: Path) -> None:
    (answer,) = solved([asked, "torch-cxx-stdlib * libcxx"], channel(tmp_path, records))
    assert not [build for _, build in answer if build.startswith("libstdcxx")]


@pytest.mark.parametrize("first", ["pytorch", "stack"])
def test_the_published_wheels_come_first(records: list[Record], first: str, tmp_path: Path) -> None:
    """PyTorch in a channel of its own, before or after the one with the stack: the same answer."""
    pytorch = [r for r in records if r["name"] in ("pytorch", "libtorch", "torch-cxx-stdlib")]
    stack = [r for r in records if r not in pytorch or r["name"] == "torch-cxx-stdlib"]
    channels = [channel(tmp_path / "pytorch", pytorch), channel(tmp_path / "stack", stack)]
    (answer,) = solved(["torch-ttnn"], *(channels if first == "pytorch" else channels[::-1]))
    builds = dict(answer)
    assert builds["torch-cxx-stdlib"] == "libstdcxx" and builds["pytorch"].startswith("libstdcxx_")
    assert all("_wheel_" in builds[name] for name in ("torch-ttnn", "ttnn", "libttnn", "tt-metal"))


def test_a_debug_build_never_comes_by_itself(tmp_path: Path) -> None:
    recipes = [PROJECT / "recipes" / name / "recipe.yaml" for name in ("torch-cxx-stdlib", "tt-metal")]
    both = {"tt_metal_build": ["Release", "Debug"]}
    outputs = render(recipes, narrow(PROJECT / "variants.yaml", {"origin": ["source"]}, both))
    found: list[Record] = []
    for output in in_order(outputs):
        own = {o.name for o in outputs}
        found.append(_record(output, own, found))
    for asked in (["libttnn"], ["libttnn", "torch-cxx-stdlib * libcxx"]):
        (answer,) = solved(asked, channel(tmp_path / f"{len(asked)}", found))
        assert not [build for _, build in answer if "debug" in build]
