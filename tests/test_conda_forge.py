"""conda-forge's own linter on the recipes, where one is: conda-smithy, in the Python that TT_CONDA_SMITHY names."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from published import PROJECT
from tools import require

LINT = """
import json, sys
from conda_smithy.lint_recipe import main
print(json.dumps(main(sys.argv[1], return_hints=True)))
"""

WITHOUT_HASH = "When defining a source/url please add a sha256, sha1 or md5 checksum"
MAINTAINERS = "The recipe could do with some maintainers listed in the `extra/recipe-maintainers` section"
KNOWN = {
    "sfpi": ("license_file entry is missing", WITHOUT_HASH),
    "tt-conda": ("The homepage item is expected in the about section",),
    "tt-metal": (WITHOUT_HASH,),
}
"""Findings that docs/unverified.md gives a reason for; each recipe's maintainers are one of them."""


@pytest.mark.parametrize("recipe", sorted(PROJECT.glob("recipes/*/recipe.yaml")), ids=lambda recipe: recipe.parent.name)
def test_the_linter_finds_what_is_known(recipe: Path) -> None:
    done = subprocess.run(
        [require("smithy"), "-c", LINT, recipe.parent], check=False, capture_output=True, text=True
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lints, hints = json.loads(done.stdout.splitlines()[-1])
    known = (MAINTAINERS, *KNOWN.get(recipe.parent.name, ()))
    found = Counter(next((words for words in known if lint.startswith(words)), lint) for lint in lints)
    assert found.keys() == set(known) and not hints, (lints, hints)
