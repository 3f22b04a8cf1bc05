"""The recipes: what they give for every combination of the axes, and that they agree with what they are made from."""

from __future__ import annotations

import re
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from email import message_from_string
from pathlib import Path
from typing import Any

import jinja2.nodes
import pytest
import ruamel.yaml
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from rattler_build import RenderedVariant, Stage0Recipe, VariantConfig

import tt_conda
from published import PINS, PROJECT, carved, published
from tt_conda.building.variants import ON_REQUEST, Output, closure, narrow, render
from tt_conda.channel import index
from tt_conda.inputs.lock import load

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NAMES = {"graphviz": "python-graphviz", "torch": "pytorch", "ttnn-shutov": "ttnn", "ml-dtypes": "ml_dtypes"}
"""PyPI's names that conda-forge has other names for."""

NOT_NEEDED = {"torchvision": "nothing in torch-ttnn imports it"}

V065, V081 = "0.65.0.dev20251205", "0.81.1"


@pytest.fixture(scope="module")
def outputs() -> list[Output]:
    return render(sorted(PROJECT.glob("recipes/*/recipe.yaml")), narrow(PROJECT / "variants.yaml", {}))


@pytest.fixture(scope="module")
def everything() -> list[Output]:
    """Carved and compiled, of upstream's sources and of somebody's own, for release and for debugging."""
    usual = narrow(PROJECT / "variants.yaml", {}).to_dict()
    further = VariantConfig.from_file(PROJECT / ON_REQUEST).to_dict()
    alternatives = {key: [*map(str, usual[key]), *map(str, values)] for key, values in further.items()}
    alternatives["tt_source"] = ["upstream", "../../tests/standin"]
    recipes = sorted(PROJECT.glob("recipes/*/recipe.yaml"))
    found = [
        output
        for origin in ("wheel", "source")
        for output in render(recipes, narrow(PROJECT / "variants.yaml", {"origin": [origin]}, alternatives))
    ]
    return list({output.stem: output for output in found}.values())


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    return project


def requirements(output: Output, section: str) -> dict[str, str]:
    """Package → what is asked of it."""
    specs = output.rendered.recipe.requirements.to_dict().get(section, [])
    return {spec.split(" ", 1)[0]: spec.partition(" ")[2] for spec in specs if isinstance(spec, str)}


def wheel_outputs(outputs: list[Output]) -> list[Output]:
    return [output for output in outputs if output.axes.get("origin") == "wheel"]


# --- what they give ---


def test_every_package_that_is_promised(outputs: list[Output]) -> None:
    found = {(o.name, o.version, o.axes.get("python", "")) for o in wheel_outputs(outputs)}
    expected = {
        *((name, version, "") for name in ("tt-metal-kernels", "tt-metal", "libttnn") for version in (V065, V081)),
        ("ttnn", V065, "3.10"), ("ttnn", V081, "3.10"), ("ttnn", V081, "3.12"), ("torch-ttnn", "0.2.0", "3.10"),
    }  # fmt: skip
    assert found == expected
    assert len(wheel_outputs(outputs)) == len(expected)


def test_build_strings(outputs: list[Output]) -> None:
    for output in wheel_outputs(outputs):
        python = output.axes.get("python", "").replace(".", "")
        runtime = "" if output.name == "tt-metal-kernels" else f"{output.axes['cxx_stdlib']}_"
        expected = f"{runtime}wheel_{f'py{python}_' if python else ''}h[0-9a-f]{{7}}_0"
        assert re.fullmatch(expected, output.rendered.recipe.build.string), output.stem


def test_what_is_linked_to_exports_an_exact_pin(outputs: list[Output]) -> None:
    for output in wheel_outputs(outputs):
        exports = output.rendered.recipe.requirements.to_dict().get("run_exports", {})
        if output.name in ("tt-metal", "libttnn"):
            assert exports == {"weak": [{"pin_subpackage": {"name": output.name, "exact": True}}]}
        else:
            assert not exports


def test_packages_of_one_stack_ask_for_each_other_s_version(outputs: list[Output]) -> None:
    own = {"tt-metal", "tt-metal-kernels", "libttnn", "ttnn"}
    for output in wheel_outputs(outputs):
        runtime, metal = output.axes.get("cxx_stdlib", ""), output.axes["tt_metal_version"]
        for section in ("host", "run"):
            for name, spec in requirements(output, section).items():
                if name in own:
                    build = "wheel_*" if name == "tt-metal-kernels" else f"{runtime}_wheel_*"
                    assert spec == f"=={metal} {build}", (output.stem, section, name)


STANDARD_LIBRARY = "torch-cxx-stdlib"


def test_torch_ttnn_requires_one_tt_metal(everything: list[Output]) -> None:
    """`tt-conda build torch-ttnn` builds no other."""
    versions = {o.version for o in closure(everything, ["torch-ttnn"]) if o.name in ("ttnn", "libttnn", "tt-metal")}
    assert versions == {V065}


def test_what_has_c_plus_plus_in_its_interface_says_which_standard_library(everything: list[Output]) -> None:
    """Its host environment does, so that one build of the rest fits, and so do its dependencies."""
    found = set()
    for output in everything:
        asked = output.rendered.recipe.requirements.to_dict()
        said = {part for part in ("host", "run") for spec in asked.get(part, []) if STANDARD_LIBRARY in str(spec)}
        if said:
            found.add(output.name)
            marker = f"{STANDARD_LIBRARY} ==1.0 {output.axes['cxx_stdlib']}"
            assert all(asked[part].count(marker) == 1 for part in ("host", "run")), output.stem
    compiled = {"tt-metal", "tt-metal-compiled", "libttnn", "tt-metal-devel", "tt-metal-static", "ttnn", "torch-ttnn",
                "libtorch", "pytorch"}  # fmt: skip
    assert found == compiled


def test_what_has_nothing_of_the_host_s_has_one_build(everything: list[Output]) -> None:
    """Were there two that differ by a variant key alone, a solver would draw one of them."""
    neutral = {"tt-conda", "sfpi", "tt-metal-source", "tt-metal-kernels"}
    keys = ("origin", "tt_source", "tt_firmware")
    builds = Counter((o.name, o.version, *map(o.axes.get, keys)) for o in everything if o.name in neutral)
    assert {name for name, *_ in builds} == neutral and set(builds.values()) == {1}


WITHOUT_FILES = {STANDARD_LIBRARY}
"""Packages that only say something to the solver: there is nothing to run."""


def test_each_output_has_tests_and_a_licence(outputs: list[Output]) -> None:
    for output in outputs:
        recipe = output.rendered.recipe
        assert recipe.about.license, output.stem
        tests = recipe.to_dict().get("tests", [])
        kinds = {key for test in tests for key in test}
        assert kinds & {"package_contents", "python"}, output.stem
        assert kinds & {"script", "python"} or output.name in WITHOUT_FILES, output.stem


def test_carving_happens_inside_with_what_stands_in_the_requirements(outputs: list[Output]) -> None:
    for output in wheel_outputs(outputs):
        assert "tt-conda" in requirements(output, "build"), output.stem
        linking = output.rendered.recipe.build.to_dict().get("dynamic_linking", {})
        if output.name != "tt-metal-kernels":
            assert (linking["overlinking_behavior"], linking["overdepending_behavior"]) == ("error", "error")


# --- as others read them ---


RECIPES = sorted(PROJECT.glob("recipes/*/recipe.yaml"))
SINGLE = ["schema_version", "context", "package", "source", "build", "requirements", "tests", "about", "extra"]
SEVERAL = ["schema_version", "context", "recipe", "source", "build", "outputs", "about", "extra"]
"""The order that conda-forge's linter asks for (conda_smithy/linter/conda_recipe_v1_linter.py, lines 18 to 39, at
conda-forge/conda-smithy@081ec6ba).
"""
OF_CONDA = {"version_to_buildstring"}
"""Filters of conda recipes alone, which their readers add to Jinja2's."""


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.parent.name)
def test_yaml_readers_agree(recipe: Path) -> None:
    """conda-forge's bots read with ruamel.yaml, others with PyYAML; rattler-build with a parser of YAML 1.2."""
    text = recipe.read_text()
    theirs = ruamel.yaml.YAML(typ="safe", pure=True).load(text)
    assert yaml.safe_load(text) == theirs
    Stage0Recipe.from_yaml(text)
    assert Stage0Recipe.from_yaml(yaml.safe_dump(theirs)).to_dict() == Stage0Recipe.from_yaml(text).to_dict()


def unknown(text: str) -> set[str]:
    """Filters and tests in a template that neither Jinja2 nor conda recipes have."""
    environment = jinja2.Environment(variable_start_string="${{", variable_end_string="}}")
    nodes = list(environment.parse(text).find_all((jinja2.nodes.Filter, jinja2.nodes.Test)))
    filters = {node.name for node in nodes if isinstance(node, jinja2.nodes.Filter)}
    tests = {node.name for node in nodes if isinstance(node, jinja2.nodes.Test)}
    return (filters - environment.filters.keys() - OF_CONDA) | (tests - environment.tests.keys())


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.parent.name)
def test_expressions_are_jinja2_s_too(recipe: Path) -> None:
    """rattler-build evaluates them with minijinja, whose further tests and filters others lack."""
    content = yaml.safe_load(recipe.read_text())
    templates = [*_texts(content), *(f"${{{{ {condition} }}}}" for condition in _conditions(content))]
    assert [text for text in templates if unknown(text)] == []
    assert unknown('${{ 1 if kind is endingwith("debug") else 0 }}') == {"endingwith"}


def _texts(node: Any) -> Iterator[str]:
    match node:
        case str():
            yield node
        case dict() | list():
            for part in node.values() if isinstance(node, dict) else node:
                yield from _texts(part)


def _conditions(node: Any) -> Iterator[str]:
    """What stands in `if` and `skip`, which are expressions without braces."""
    match node:
        case dict():
            for key, part in node.items():
                if key in ("if", "skip"):
                    yield from [part] if isinstance(part, str) else part
                else:
                    yield from _conditions(part)
        case list():
            for part in node:
                yield from _conditions(part)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.parent.name)
def test_sections_stand_in_the_order_that_conda_forge_asks_for(recipe: Path) -> None:
    content = yaml.safe_load(recipe.read_text())
    order = SEVERAL if "outputs" in content else SINGLE
    assert list(content) == [section for section in order if section in content]
    assert content["about"]["summary"] and content["about"]["license"]


@pytest.mark.stack
def test_a_dependency_stands_once() -> None:
    """Also where what is in the host environment exports it. PyTorch may be there as an older recipe made it."""
    found = 0
    for record in index.records(PROJECT / "output").values():
        if record["name"] != "pytorch":
            names = Counter(spec.split()[0] for spec in record["depends"])
            assert set(names.values()) <= {1}, (record["name"], record["depends"])
            found += 1
    assert found >= 12


def test_a_dependency_is_not_said_and_exported(everything: list[Output]) -> None:
    """Of the recipes' own packages, and of conda-forge's that are known to export themselves to what links to them."""
    exported = {"libhwloc", "libnuma", "libzlib", "openmpi", "numpy", "openblas", "llvm-openmp", "libcxx-devel"}
    own = {o.name for o in everything if o.rendered.recipe.requirements.to_dict().get("run_exports")}
    for output in everything:
        asked = output.rendered.recipe.requirements.to_dict()
        ignored = set((asked.get("ignore_run_exports") or {}).get("from_package", []))
        host = {spec.split()[0] for spec in asked.get("host", []) if isinstance(spec, str)} - ignored
        run = [str(spec["pin_compatible"]["name"]) if isinstance(spec, dict) else spec.split()[0]
               for spec in asked.get("run", [])]  # fmt: skip
        assert len(run) == len(set(run)), output.stem
        assert not host & (exported | own) & set(run), output.stem


# --- as others render them ---


def test_an_output_renders_with_the_variant_keys_that_it_uses(everything: list[Output]) -> None:
    """pixi's backend renders the whole recipe with the keys of the output that it builds, and takes what has the
    name and the keys of that (pixi 0.77.0: crates/pixi_build_rattler_build/src/protocol.rs, lines 364 to 452, and
    crates/pixi_build_backend/src/intermediate_backend.rs, lines 954 to 1010).
    """
    for output in everything:
        used = VariantConfig({key: [value] for key, value in output.rendered.variant.items()})
        alone = [
            variant
            for variant in Stage0Recipe.from_file(output.recipe).render(used)
            if variant.recipe.package.name == output.name and variant.variant == output.rendered.variant
        ]
        assert len(alone) == 1, output.stem
        assert _but_for_the_context(alone[0]) == _but_for_the_context(output.rendered), output.stem
    assert len(everything) > 100


def _but_for_the_context(variant: RenderedVariant) -> dict[str, Any]:
    """It also holds what is computed for other outputs, from keys that this one does not have."""
    recipe: dict[str, Any] = variant.recipe.to_dict()
    recipe.pop("context", None)
    return recipe


ONCE_FOR_EACH = {"libtorch": "python", "tt-metal-source": "cxx_stdlib", "tt-metal-kernels": "cxx_stdlib"}
"""Outputs that share a recipe, and scripts, with others that use one more variant key."""


@pytest.mark.parametrize("origin", ["wheel", "source"])
def test_a_package_is_rendered_once(origin: str) -> None:
    """conda-build builds each rendered output, the same ones too (conda_build/_rattler_build/compat.py at
    conda/conda-build@0fe68a26, line 259): so where it matters a recipe uses no key that one of its outputs does not.
    """
    config = narrow(PROJECT / "variants.yaml", {"origin": [origin]})
    for recipe in sorted(PROJECT.glob("recipes/*/recipe.yaml")):
        rendered = Stage0Recipe.from_file(recipe).render(config)
        found = Counter((v.recipe.package.name, v.recipe.package.version, v.recipe.build.string) for v in rendered)
        for (name, *_), count in found.items():
            expected = 1
            if key := ONCE_FOR_EACH.get(name):
                used = any(key in v.variant for v in rendered if v.recipe.package.name == name)
                expected = 1 if used else len(config.to_dict()[key])
            assert count == expected, (recipe.parent.name, name)


def test_pixi_picks_the_backend(everything: list[Output]) -> None:
    """Each pixi wants one that speaks its build API (crates/pixi_build_types/src/lib.rs, lines 51 to 70, v0.77.0), so
    a version named here would exclude either older pixis or newer ones.
    """
    for folder in {output.recipe.parent for output in everything}:
        backend = tomllib.loads((folder / "pixi.toml").read_text())["package"]["build"]["backend"]
        assert backend == {"name": "pixi-build-rattler-build", "version": "*"}


# --- what they are made from ---


def test_every_version_is_pinned_with_a_hash(outputs: list[Output]) -> None:
    for output in wheel_outputs(outputs):
        lock = load(output.recipe.parent / "wheels.lock")
        pins = [pin for pin in lock.wheel if pin.version == output.version]
        if "python" in output.axes:
            pins = [pin for pin in pins if pin.python == output.axes["python"]]
        assert pins and all(re.fullmatch("[0-9a-f]{64}", pin.sha256) for pin in pins), output.stem


def test_recipes_of_one_wheel_agree_about_it() -> None:
    """Each recipe folder stands alone for plain rattler-build, so two of them repeat the pins and rules of ttnn."""
    for name in ("wheels.lock", "carve.toml"):
        assert (PROJECT / "recipes/ttnn" / name).read_text() == (PROJECT / "recipes/tt-metal" / name).read_text()


def _label(output: Output) -> str:
    return next(
        label for label, pin in PINS.items()
        if pin.version == output.version and pin.python == output.axes.get("python", pin.python)
        and ("torch" in pin.name) == ("torch" in output.name)
    )  # fmt: skip


def test_run_dependencies_cover_the_wheel_s_metadata(outputs: list[Output]) -> None:
    python_packages = [o for o in wheel_outputs(outputs) if o.name in ("ttnn", "torch-ttnn")]
    assert len(python_packages) == 4
    for output in python_packages:
        with zipfile.ZipFile(published(_label(output))) as wheel:
            (member,) = (name for name in wheel.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
            metadata = message_from_string(wheel.read(member).decode())
        run = requirements(output, "run")
        environment = {"python_version": output.axes["python"], "platform_machine": "x86_64", "extra": ""}
        for text in metadata.get_all("Requires-Dist", []):
            requirement = Requirement(text)
            if requirement.marker and not requirement.marker.evaluate(environment):
                continue
            name = requirement.name.lower().replace("_", "-")
            if name in NOT_NEEDED:
                continue
            assert NAMES.get(name, name) in run, (output.stem, text)
            if name != "torch":  # the recipe says which it fits, and why
                asked = SpecifierSet(run[NAMES.get(name, name)])
                assert set(requirement.specifier) <= set(asked), (output.stem, text, asked)


def test_what_is_not_needed_is_not_imported() -> None:
    with zipfile.ZipFile(published("torch-ttnn-shutov-0.2.0-3.10")) as wheel:
        for name in wheel.namelist():
            if name.endswith(".py"):
                source = wheel.read(name).decode()
                for module in NOT_NEEDED:
                    assert not re.search(rf"^\s*(import|from) {module}\b", source, flags=re.M), name


@pytest.mark.xdist_group("published")
def test_host_requirements_cover_what_carving_finds(outputs: list[Output]) -> None:
    """And run dependencies say the same with versions, where nothing exports them."""
    for version in (V065, V081):
        mine = [o for o in wheel_outputs(outputs) if o.version == version]
        host = {name for o in mine for name in requirements(o, "host")}
        run = {name for o in mine for name in requirements(o, "run")}
        label = _label(next(o for o in mine if o.name == "ttnn"))
        needed = {spec.split()[0] for spec in carved(label).report.depends}
        assert needed <= host, (version, needed - host)
        assert needed <= run, (version, needed - run)


# --- tt-conda's own ---


CONDA_NAMES = {"isal": "python-isal", "msgpack": "msgpack-python"}


def _conda_specs(dependencies: list[str]) -> dict[str, SpecifierSet]:
    return {CONDA_NAMES.get(name := Requirement(text).name, name): Requirement(text).specifier for text in dependencies}


def test_tt_conda_s_recipe_says_what_pyproject_says(outputs: list[Output], pyproject: dict[str, Any]) -> None:
    (output,) = (o for o in outputs if o.name == "tt-conda")
    assert output.version == tt_conda.__version__
    run = requirements(output, "run")
    for name, specifier in _conda_specs(pyproject["dependencies"]).items():
        assert SpecifierSet(run[name]) == specifier, name
    assert SpecifierSet(run["python"]) == SpecifierSet(pyproject["requires-python"])
    (entry,) = pyproject["scripts"].items()
    points = output.rendered.recipe.build.to_dict()["python"]["entry_points"]
    assert [re.sub(" ", "", str(point)) for point in points] == ["=".join(entry)], points


def test_builds_see_the_cache_and_the_further_stores() -> None:
    """rattler-build gives a script those variables only that its recipe names."""
    found = [
        re.findall(r"^ +- (TT_CONDA_\w+)$", path.read_text(), re.M) for path in PROJECT.glob("recipes/*/recipe.yaml")
    ]
    assert sum(map(len, found)) >= 10
    for names in found:
        assert names == ["TT_CONDA_CACHE", "TT_CONDA_STORES"] * (len(names) // 2)


def test_scripts_that_compile_are_told_the_same_of_the_machine() -> None:
    """The format allows no anchors, so the list stands in each output."""

    def lists(node: Any) -> Iterator[list[str]]:
        for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
            if key == "secrets":
                yield value
            yield from lists(value)

    found = [names for path in RECIPES for names in lists(yaml.safe_load(path.read_text()))]
    assert len(found) == 9
    every = max(found, key=len)
    carving = [name for name in every if name.startswith("TT_CONDA_")]
    assert {tuple(names) for names in found} == {tuple(every), tuple(carving)}
