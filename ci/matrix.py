"""The build matrix of the workflows, from the axes and recipes themselves: ``python ci/matrix.py ORIGIN...``.

Prints ``matrix=JSON``, a line for GitHub's ``$GITHUB_OUTPUT``: one entry for each combination of the axes that has
packages of its own, with the options of ``tt-conda build`` for it.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

from tt_conda.building.variants import narrow, render

PROJECT = Path(__file__).parents[1]
AXES = ("cxx_stdlib", "python")
"""What the runs of an origin are split by; what is left takes part in each."""
ORIGINS = ("wheel", "source")


def entries(origins: Sequence[str], project: Path = PROJECT) -> list[dict[str, str]]:
    """One entry per run: ``name`` and ``options``."""
    recipes = sorted(project.glob("recipes/*/recipe.yaml"))
    axes = narrow(project / "variants.yaml", {}).to_dict()
    found = []
    for values in itertools.product(origins, *(map(str, axes[axis]) for axis in AXES)):
        chosen = dict(zip(("origin", *AXES), values, strict=True))
        config = narrow(project / "variants.yaml", {axis: [value] for axis, value in chosen.items()})
        outputs = [output for output in render(recipes, config) if not output.on_request]
        if any("origin" in output.axes for output in outputs):
            options = [f"--{axis.replace('_', '-')} {value}" for axis, value in chosen.items()]
            found.append({"name": "-".join(values), "options": " ".join(options)})
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("origin", nargs="+", choices=ORIGINS, help=f"one of {', '.join(ORIGINS)}")
    print("matrix=" + json.dumps({"include": entries(parser.parse_args().origin)}))
