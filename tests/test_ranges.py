"""The lowest py-rattler and py-rattler-build that pyproject.toml admits do what we need of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

from published import PROJECT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SMOKE = """
import importlib, json, pkgutil, sys
from pathlib import Path
import rattler, rattler_build, tt_conda
from tt_conda.building.variants import VariantConfig, render
from tt_conda.channel.index import publish
from tt_conda.environment.solver import solve

for module in pkgutil.walk_packages(tt_conda.__path__, "tt_conda."):
    importlib.import_module(module.name)
recipe, folder = Path(sys.argv[1]), Path(sys.argv[2])
(output,) = render([recipe], VariantConfig({"cxx_stdlib": ["libcxx"]}))
package = Path(output.rendered.run_build(output_dir=folder / "built", channels=[]).packages[0])
publish([package], folder / "channel")
(record,) = solve(["torch-cxx-stdlib * libcxx"], [folder / "channel"])
print(json.dumps([rattler.__file__, rattler_build.__file__, str(record.build)]))
"""


def test_the_lowest_versions_import_build_and_solve(tmp_path: Path) -> None:
    """The newest are what all other tests run with, as far as ci/requirements.txt has them."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    lowest = []
    for text in project["dependencies"]:
        requirement = Requirement(text)
        if requirement.name in ("py-rattler", "py-rattler-build"):
            (bound,) = (part.version for part in requirement.specifier if part.operator == ">=")
            lowest.append(f"{requirement.name}=={bound}.*")
    assert len(lowest) == 2
    libraries = tmp_path / "lowest"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--target", libraries]
    subprocess.run([*pip, *lowest], check=True)
    path = os.pathsep.join([str(libraries), str(PROJECT / "src")])
    recipe = PROJECT / "recipes/torch-cxx-stdlib/recipe.yaml"
    done = subprocess.run(
        [sys.executable, "-c", SMOKE, recipe, tmp_path],
        env={**os.environ, "PYTHONPATH": path}, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *places, build = json.loads(done.stdout.splitlines()[-1])
    assert all(Path(place).is_relative_to(libraries) for place in places) and build == "libcxx"
