"""The project's pixi.toml, and those of the recipes, as pixi would read them, as far as that goes without pixi."""

from __future__ import annotations

import importlib.resources
import json
import shlex
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from rattler import MatchSpec, PackageName, PackageRecord, RepoDataRecord
from rattler.package.build_string import BuildString
from rattler_build import VariantConfig

from script import loaded
from tt_conda.channel import environment, index
from tt_conda.channel.variants import Output, render
from tt_conda.workspace import manifest as manifests

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = Path(__file__).parents[2]
FILES = [PROJECT / "pixi.toml", *sorted(PROJECT.glob("recipes/*/pixi.toml"))]
PLATFORMS = ("linux-64", "linux-aarch64")
CONDA_NAMES = {"isal": "python-isal"}

MANIFEST = tomllib.loads(FILES[0].read_text())
WORKSPACE = manifests.read(FILES[0])


def load(file: Path) -> dict[str, Any]:
    return tomllib.loads(file.read_text())


@pytest.fixture(scope="module")
def outputs() -> list[Output]:
    """Carved and compiled."""
    recipes = sorted(PROJECT.glob("recipes/*/recipe.yaml"))
    ways = [["variants.yaml"], ["variants.yaml", "variants.source.yaml"]]
    return [
        output for files in ways
        for output in render(recipes, VariantConfig.from_files([PROJECT / file for file in files]))
    ]  # fmt: skip


@pytest.fixture(scope="module")
def makers(outputs: list[Output]) -> dict[str, Path]:
    """Package → the folder of the recipe that gives it."""
    return {output.name: output.recipe.parent for output in outputs}


# --- the format ---


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
def test_pixi_s_own_schema_accepts_it(file: Path) -> None:
    resource = importlib.resources.files("validate_pyproject_schema_store") / "resources/pixi.schema.json"
    schema = json.loads(resource.read_text())
    jsonschema.validators.validator_for(schema)(schema).validate(load(file))
    broken = load(file)
    (broken.get("workspace") or broken["package"]["build"])["nonsense"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)


def test_environments_are_of_features_for_the_platforms_that_there_are() -> None:
    assert list(MANIFEST["environments"]) == ["default", "build", "test", "libcxx", "libstdcxx", "dev"]
    used = {feature for name in WORKSPACE.names for feature in WORKSPACE._content.environments[name].features}
    assert used == set(MANIFEST["feature"]), "each feature is of some environment"
    subdirs = {p if isinstance(p, str) else p["platform"] for p in MANIFEST["workspace"]["platforms"]}
    assert subdirs == set(PLATFORMS)
    for name in WORKSPACE.names:
        on_stack = "stack" in WORKSPACE._content.environments[name].features
        assert WORKSPACE._platforms(name) == ({"linux-64"} if on_stack else set(PLATFORMS)), name


def test_the_glibc_that_is_promised_is_the_one_that_packages_need(outputs: list[Output]) -> None:
    """pixi solves for it, wherever it runs."""
    needs = {spec.split(">=")[1] for output in outputs for spec in _run(output) if spec.startswith("__glibc")}
    promised = next(p["glibc"] for p in MANIFEST["workspace"]["platforms"] if not isinstance(p, str))
    assert promised == max(needs, key=lambda text: tuple(map(int, text.split("."))))


def _run(output: Output) -> list[str]:
    found = output.rendered.recipe.requirements.to_dict().get("run", [])
    return [spec for spec in found if isinstance(spec, str)]


# --- dependencies ---


@pytest.fixture(scope="module")
def offered(others: list[str | Path]) -> set[str] | None:
    """Names of the packages that the channels have; None where they are not on this machine."""
    names = index.names_in(others)
    return None if names is None else set(names)


@pytest.mark.parametrize("name", ["default", "build", "test"])
def test_what_has_packages_here_is_solved(name: str, others: list[str | Path]) -> None:
    found = WORKSPACE.environment(name)
    records = {record.name.normalized: record for record in environment.solve(found.specs, others)}
    for spec in map(MatchSpec, found.specs):
        assert spec.matches(records[spec.name.normalized]), spec


@pytest.mark.parametrize("name", ["libcxx", "libstdcxx", "dev"])
def test_the_rest_of_an_environment_on_the_stack_is_solved(
    name: str, others: list[str | Path], makers: dict[str, Path]
) -> None:
    """All but what the project builds; that is named by the folder of its recipe."""
    found = WORKSPACE.environment(name)
    rest = [spec for spec in found.specs if spec.split()[0] not in found.built]
    records: list[RepoDataRecord] = environment.solve(rest, others)
    assert {MatchSpec(spec).name.normalized for spec in rest} <= {record.name.normalized for record in records}
    paths = {
        package: PROJECT / table["path"]
        for feature in MANIFEST["feature"].values() for package, table in feature.get("dependencies", {}).items()
        if isinstance(table, dict) and "path" in table
    }  # fmt: skip
    assert set(found.built) <= paths.keys() and {makers[package] for package in found.built} == {
        paths[package] for package in found.built
    }


@pytest.mark.parametrize("cxx_stdlib", ["libcxx", "libstdcxx"])
def test_the_constraint_is_a_package_of_this_project(cxx_stdlib: str, outputs: list[Output]) -> None:
    (constraint,) = map(MatchSpec, WORKSPACE.environment(cxx_stdlib).constraints)
    fitting = [o for o in outputs if o.name == constraint.name.normalized and o.axes["cxx_stdlib"] == cxx_stdlib]
    assert fitting and all(constraint.matches(_record(o)) for o in fitting)
    other = [o for o in outputs if o.name == constraint.name.normalized and o not in fitting]
    assert other and not any(constraint.matches(_record(o)) for o in other)


def test_dev_has_the_tt_metal_that_torch_ttnn_fits() -> None:
    """Newer ones are compiled as well, and the solver would take the newest."""
    axes = yaml.safe_load((PROJECT / "variants.source.yaml").read_text())
    (fitting,) = (metal for metal, torch_ttnn in zip(axes["tt_metal_version"], axes["torch_ttnn_version"], strict=True)
                  if torch_ttnn != "none")  # fmt: skip
    assert f"tt-metal =={fitting}" in WORKSPACE.environment("dev").constraints


def _record(output: Output) -> PackageRecord:
    build = BuildString(output.rendered.recipe.build.string)
    return PackageRecord(PackageName(output.name), output.version, build, 0, "noarch")


def test_it_says_what_pyproject_says() -> None:
    project = load(PROJECT / "pyproject.toml")["project"]
    test = MANIFEST["feature"]["test"]
    pixi = {
        **MANIFEST["dependencies"], **MANIFEST["pypi-dependencies"], **test["dependencies"], **test["pypi-dependencies"]
    }  # fmt: skip
    for text in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        wanted = Requirement(text)
        name = CONDA_NAMES.get(wanted.name, wanted.name)
        assert name in pixi, name
        assert SpecifierSet("" if pixi[name] == "*" else pixi[name]) == wanted.specifier, name
    (s3,) = project["optional-dependencies"]["s3"]
    assert {s3} == {f"{name}{version}" for name, version in MANIFEST["feature"]["build"]["pypi-dependencies"].items()}
    assert pixi["python"] == project["requires-python"]
    assert {"bench", "dev", "s3"} == set(project["optional-dependencies"])


# --- tasks ---


@pytest.fixture(scope="module")
def tasks() -> Any:
    return loaded(PROJECT / "ci/tasks.py")


TASKS = [
    (feature, name, task)
    for feature, table in MANIFEST["feature"].items() for name, task in table.get("tasks", {}).items()
]  # fmt: skip
PROGRAMS = {"tt-conda": "tt-conda", "pytest": "pytest", "ruff": "ruff", "mypy": "mypy", "bash": "python"}
"""Program → the package, or PyPI's distribution, that has it; or, of bash, what its script runs."""


def test_tasks_come_after_what_they_need(tasks: Any) -> None:
    found = tasks.read(PROJECT / "pixi.toml")
    assert tasks.order(found, "test") == ["packages", "build", "test"]
    assert {"build", "test", "lint", "develop"} <= found.keys() and "tasks" not in MANIFEST
    assert len(found) == len(TASKS), "each name once: `ci/run` has one list"


@pytest.mark.parametrize(("feature", "name", "task"), TASKS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_task_has_its_programs_and_its_files(feature: str, name: str, task: dict[str, Any]) -> None:
    assert task["description"]
    homes = [e for e in WORKSPACE.names if feature in WORKSPACE._content.environments[e].features]
    assert len(homes) == 1, "`pixi run TASK` must not have to ask in which environment"
    home = WORKSPACE.environment(homes[0])
    has = {spec.split()[0] for spec in home.specs} | {path.name for path in home.editable}
    for part in task["cmd"].split("&&"):
        program = shlex.split(part)[0]
        assert PROGRAMS[program] in has or (program == "tt-conda" and PROJECT in home.editable), program
    for need in task.get("depends-on", []):
        need = need if isinstance(need, dict) else {"task": need, "environment": home.name}
        assert any(f in WORKSPACE._content.environments[need["environment"]].features and n == need["task"]
                   for f, n, _ in TASKS), need  # fmt: skip
    for pattern in task.get("inputs", []):
        assert any(PROJECT.glob(pattern)), pattern


def test_what_decides_about_the_packages_is_an_input_of_their_task() -> None:
    inputs = MANIFEST["feature"]["build"]["tasks"]["packages"]["inputs"]
    variants = {path.name for path in PROJECT.glob("variants*.yaml")}
    assert {"recipes/**", "src/**", "pyproject.toml", *variants} <= set(inputs)


# --- each recipe is a package of its own ---


@pytest.mark.parametrize(
    "folder", sorted({f.parent for f in PROJECT.glob("recipes/*/recipe.yaml")}), ids=lambda f: f.name
)
def test_a_recipe_is_a_pixi_package(folder: Path, outputs: list[Output], makers: dict[str, Path]) -> None:
    """The backend reads the axes beside the recipe, and takes from neighbours what the manifest says."""
    package = load(folder / "pixi.toml")["package"]
    assert package["build"]["backend"]["name"] == "pixi-build-rattler-build"
    MatchSpec(f"pixi-build-rattler-build {package['build']['backend']['version']}", strict=True)
    axes = folder / "variants.yaml"
    assert axes.is_symlink() and axes.resolve() == PROJECT / "variants.yaml"
    needed: dict[str, set[str]] = defaultdict(set)
    for output in (output for output in outputs if output.recipe.parent == folder):
        for section in ("build", "host", "run"):
            names = {spec.split()[0] for spec in output.rendered.recipe.requirements.to_dict().get(section, [])
                     if isinstance(spec, str)}  # fmt: skip
            needed[section] |= {name for name in names if name in makers and makers[name] != folder}
    mapped = {
        name: section for section in ("build", "host", "run") for name in package.get(f"{section}-dependencies", {})
    }
    wanted = {name: makers[name].name for name in set().union(*needed.values())}
    assert mapped.keys() == wanted.keys(), (
        f"{folder.name}/pixi.toml names all that neighbours make, and no more: {wanted}"
    )
    for name, section in mapped.items():
        path = package[f"{section}-dependencies"][name]
        assert name in needed[section] and list(path) == ["path"]
        assert (folder / path["path"]).resolve() == makers[name]


def test_tasks_take_what_is_not_built_from_its_channels() -> None:
    """tt-conda reads them from a variable; without it, it would assemble the embedded channel under pixi, too."""
    channels = MANIFEST["workspace"]["channels"]
    assert channels == MANIFEST["activation"]["env"]["TT_CONDA_CHANNELS"].split(",") == ["conda-forge"]
