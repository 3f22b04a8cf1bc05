"""The project's pixi.toml, those of the workspaces and of the recipes, held to pixi's rules without pixi.

The rules are those of pixi v0.77.0, cited by file and line; tests/pixi has the same with pixi itself.
"""

from __future__ import annotations

import importlib.resources
import json
import re
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
from tt_conda.base import settings
from tt_conda.building.variants import Output, render
from tt_conda.environment import solver
from tt_conda.simulator import package as ttsim
from tt_conda.workspace import manifest as manifests

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = Path(__file__).parents[2]
STACK = sorted(PROJECT.glob("workspaces/*/pixi.toml"))
WORKSPACES = [PROJECT / "pixi.toml", PROJECT / "recipes/pixi.toml", *STACK]
PACKAGES = sorted(PROJECT.glob("recipes/*/pixi.toml"))
CONDA_NAMES = {"isal": "python-isal", "msgpack": "msgpack-python"}

MANIFEST = tomllib.loads(WORKSPACES[0].read_text())
WORKSPACE = manifests.read(WORKSPACES[0])


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


@pytest.mark.parametrize("file", [*WORKSPACES, *PACKAGES], ids=lambda file: file.parent.name)
def test_pixi_s_own_schema_accepts_it(file: Path) -> None:
    resource = importlib.resources.files("validate_pyproject_schema_store") / "resources/pixi.schema.json"
    schema = json.loads(resource.read_text())
    jsonschema.validators.validator_for(schema)(schema).validate(load(file))
    broken = load(file)
    (broken.get("workspace") or broken["package"]["build"])["nonsense"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, schema)


@pytest.mark.parametrize("file", WORKSPACES, ids=lambda file: file.parent.name)
def test_what_pixi_asks_of_a_workspace(file: Path) -> None:
    """Its platforms, and the features for them: the reader's own tests have the rules."""
    workspace, content = manifests.read(file), load(file)
    assert all(workspace.has_here(name) for name in workspace.names)
    used = {feature for name in workspace.names for feature in workspace._content.environments[name].features
            } if "environments" in content else set()  # fmt: skip
    assert used == set(content.get("feature", ())), "each feature is of some environment"


def test_the_project_s_own_work_depends_on_conda_forge_alone() -> None:
    """pixi locks every environment of a manifest before it runs any task of it (prefix-dev/pixi#4517)."""
    workspace = MANIFEST["workspace"]
    assert WORKSPACE.names == ["default", "build", "test"]
    assert workspace["channels"] == ["conda-forge"] and workspace["platforms"] == ["linux-64", "linux-aarch64"]
    assert "preview" not in workspace and not any("platforms" in feature for feature in MANIFEST["feature"].values())
    condas = [MANIFEST["dependencies"], *(f.get("dependencies", {}) for f in MANIFEST["feature"].values())]
    assert all(isinstance(spec, str) for specs in condas for spec in specs.values()), "no packages from sources"


@pytest.mark.parametrize("file", WORKSPACES, ids=lambda file: file.parent.name)
def test_activation_leaves_the_person_s_own_choice_of_channels(file: Path) -> None:
    """What a manifest sets is set after the activation scripts, over what is set already.

    (crates/pixi_core/src/activation.rs:180)
    """
    content = load(file)
    tables = [content, *content.get("feature", {}).values()]
    names = [name for table in tables for name in table.get("activation", {}).get("env", {})]
    assert not [name for name in names if name.startswith(("TT_CONDA_", "RATTLER_", "PIXI_"))]


@pytest.mark.parametrize("file", WORKSPACES, ids=lambda file: file.parent.name)
def test_a_pixi_that_cannot_read_it_says_so(file: Path) -> None:
    """Platforms with a glibc came with pixi 0.71 (its commit dcadcb5b2); an older one is told by requires-pixi.

    (crates/pixi_manifest/src/discovery.rs:502, before the rest is read)
    """
    workspace = load(file)["workspace"]
    if any(isinstance(platform, dict) for platform in workspace["platforms"]):
        asked = SpecifierSet(workspace["requires-pixi"])
        assert "0.70.2" not in asked and "0.71.0" in asked and "0.77.0" in asked
    else:
        assert "requires-pixi" not in workspace


@pytest.mark.parametrize("folder", [file.parent for file in PACKAGES], ids=lambda folder: folder.name)
def test_the_workspace_above_a_package_lets_packages_be(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The nearest one upwards, past the package's own manifest (crates/pixi_manifest/src/discovery.rs:540).

    Without the preview, pixi refuses the package (crates/pixi_manifest/src/toml/manifest.rs:598).
    """
    monkeypatch.delenv("TT_CONDA_PROJECT", raising=False)
    monkeypatch.chdir(folder)
    found = settings.workspace_file()
    assert found == PROJECT / "recipes/pixi.toml"
    assert load(found)["workspace"]["preview"] == ["pixi-build"]
    assert "dependencies" not in load(found), "a failing package must not keep another one from being built"


@pytest.mark.parametrize(
    ("folder", "nearest"),
    [(".", "."), ("src/tt_conda", "."), ("workspaces", "."), *((f.parent, f.parent) for f in WORKSPACES)],
    ids=str,
)
def test_where_a_workspace_is_looked_for(
    folder: str | Path, nearest: str | Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.delenv("TT_CONDA_PROJECT", raising=False)
    monkeypatch.chdir(PROJECT / folder)
    assert settings.workspace_file() == PROJECT / nearest / "pixi.toml"


# --- the stack's workspaces ---


@pytest.mark.parametrize("file", STACK, ids=lambda file: file.parent.name)
def test_a_workspace_of_the_stack(file: Path) -> None:
    """One environment each: what another one lacks does not keep it from being locked."""
    workspace, content = manifests.read(file), load(file)
    assert workspace.names == ["default"] and content["workspace"]["name"] == file.parent.name
    assert workspace.channels == [PROJECT / "output", "conda-forge"]
    assert all(isinstance(spec, str) for spec in content["dependencies"].values()), "packages, not sources"


def test_workspaces_are_found_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TT_CONDA_PROJECT", raising=False)
    monkeypatch.chdir(PROJECT / "src")
    names = ["default", "build", "test", "dev", "libcxx", "libstdcxx", "sim"]
    assert manifests.known() == names
    found = {name: manifests.find(name)[1] for name in names}
    assert found["build"].prefix == PROJECT / ".tt-conda/envs/build"
    assert found["dev"].prefix == PROJECT / "workspaces/dev/.tt-conda/envs/dev"
    assert found["dev"].lock == PROJECT / "workspaces/dev/tt-conda.lock"
    monkeypatch.chdir(PROJECT / "workspaces/dev")
    assert manifests.find("libcxx")[1] == found["libcxx"]
    assert manifests.find("default")[1].manifest == found["dev"].manifest
    grouped = manifests.grouped(["dev", "libcxx"])
    assert [(workspace.file, names) for workspace, names in grouped] == [
        (found[name].manifest, ["default"]) for name in ("dev", "libcxx")
    ]


def test_the_glibc_that_is_promised_is_the_one_that_packages_need(outputs: list[Output]) -> None:
    """pixi solves for it, wherever it runs; of linux-64 alone it assumes 2.28."""
    needs = {spec.split(">=")[1] for output in outputs for spec in _run(output) if spec.startswith("__glibc")}
    highest = max(needs, key=lambda text: tuple(map(int, text.split("."))))
    for file in (PROJECT / "recipes/pixi.toml", *STACK):
        assert load(file)["workspace"]["platforms"] == [{"platform": "linux-64", "glibc": highest}], file


def _run(output: Output) -> list[str]:
    found = output.rendered.recipe.requirements.to_dict().get("run", [])
    return [spec for spec in found if isinstance(spec, str)]


# --- dependencies ---


@pytest.mark.parametrize("name", ["default", "build", "test"])
def test_what_has_packages_here_is_solved(name: str, others: list[str | Path]) -> None:
    found = WORKSPACE.environment(name)
    records = {record.name.normalized: record for record in solver.solve(found.specs, others)}
    for spec in map(MatchSpec, found.specs):
        assert spec.matches(records[spec.name.normalized]), spec


@pytest.mark.parametrize("file", STACK, ids=lambda file: file.parent.name)
def test_the_rest_of_an_environment_on_the_stack_is_solved(
    file: Path, others: list[str | Path], makers: dict[str, Path]
) -> None:
    """All but what the project builds, or makes of a file that a person has."""
    found = manifests.read(file).environment("default")
    own = [spec for spec in found.specs if spec.split()[0] in {*makers, ttsim.NAME}]
    rest = [spec for spec in found.specs if spec not in own]
    records: list[RepoDataRecord] = solver.solve(rest, others)
    assert own and {MatchSpec(spec).name.normalized for spec in rest} <= {r.name.normalized for r in records}


@pytest.mark.parametrize(("name", "cxx_stdlib"), [("libcxx", "libcxx"), ("libstdcxx", "libstdcxx"), ("dev", "libcxx")])
def test_the_constraint_is_a_package_of_this_project(name: str, cxx_stdlib: str, outputs: list[Output]) -> None:
    constraint = MatchSpec(manifests.find(name)[1].constraints[0])
    fitting = [o for o in outputs if o.name == constraint.name.normalized and o.axes["cxx_stdlib"] == cxx_stdlib]
    assert fitting and all(constraint.matches(_record(o)) for o in fitting)
    other = [o for o in outputs if o.name == constraint.name.normalized and o not in fitting]
    assert other and not any(constraint.matches(_record(o)) for o in other)


def test_dev_has_the_tt_metal_that_torch_ttnn_fits() -> None:
    """Newer ones are compiled as well, and the solver would take the newest."""
    axes = yaml.safe_load((PROJECT / "variants.source.yaml").read_text())
    (fitting,) = (metal for metal, torch_ttnn in zip(axes["tt_metal_version"], axes["torch_ttnn_version"], strict=True)
                  if torch_ttnn != "none")  # fmt: skip
    assert f"tt-metal =={fitting}" in manifests.find("dev")[1].constraints


def test_what_dev_offers_to_compile_is_what_it_then_takes(outputs: list[Output]) -> None:
    """It opens without: both exist for libc++ only where they were compiled."""
    text = (PROJECT / "workspaces/dev/pixi.toml").read_text()
    (command,) = re.findall(r"^#   tt-conda build (.*)$", text, flags=re.M)
    names, options = command.split(" --", 1)
    assert options == "origin source --cxx-stdlib libcxx"
    assert set(names.split()) == set(re.findall(r'^# ([\w-]+) = "\*"$', text, flags=re.M))
    for name in names.split():
        made = [o.axes for o in outputs if o.name == name and o.axes.get("cxx_stdlib", "libcxx") == "libcxx"]
        assert made and {axes["origin"] for axes in made} == {"source"}


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
PROGRAMS = {"tt-conda": "tt-conda", "pytest": "pytest", "ruff": "ruff", "mypy": "mypy", "lint-imports": "import-linter"}
"""Program → the package, or PyPI's distribution, that has it."""


def test_tasks_come_after_what_they_need(tasks: Any) -> None:
    found = tasks.read(PROJECT / "pixi.toml")
    assert tasks.order(found, "test") == ["packages", "build", "test"]
    assert {"build", "test", "lint", "serve"} <= found.keys() and "tasks" not in MANIFEST
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


def test_the_task_of_dev_has_its_script() -> None:
    """pixi runs a task in the folder of its manifest."""
    task = load(PROJECT / "workspaces/dev/pixi.toml")["tasks"]["develop"]
    program, script, checkout = re.split(r" (?!checkout|}})", task["cmd"])
    assert program == "bash" and (PROJECT / "workspaces/dev" / script).is_file() and checkout == "{{ checkout }}"
    assert task["description"] and task["args"] == [{"arg": "checkout", "default": "."}]


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
