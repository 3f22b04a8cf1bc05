"""What the packages set in an environment, they set alike in every shell that conda activates."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from published import PROJECT

FOLDER = PROJECT / "recipes/tt-metal"
SHELLS = {"sh": ["sh", "bash", "dash", "zsh"], "csh": ["tcsh", "csh"], "fish": ["fish"]}
SETS = {"sh": r"export (\w+)=(\S+)", "csh": r"^ +setenv (\w+) (\S+)", "fish": r"set -gx (\w+) (\S+)"}
UNSETS = {"sh": r"unset (.+)", "csh": r"unsetenv (\w+)", "fish": r"set -e (\w+)"}
PUT = {"sh": "export {}='{}'", "csh": "setenv {} '{}'", "fish": "set -gx {} '{}'"}
THERE = [(kind, shell) for kind, names in SHELLS.items() for shell in names if shutil.which(shell)]
"""The shells of this machine; it has ``sh``."""


def test_every_shell_sets_and_takes_back_the_same() -> None:
    found = {}
    for kind in SHELLS:
        on, off = ((FOLDER / f"{name}.{kind}").read_text() for name in ("activate", "deactivate"))
        values = {name: re.sub(r"[\"{}]", "", value) for name, value in re.findall(SETS[kind], on, flags=re.M)}
        assert set(" ".join(re.findall(UNSETS[kind], off)).split()) == set(values), kind
        found[kind] = values, [line for line in on.splitlines() if line.startswith("#")]
    expected = {"TT_METAL_RUNTIME_ROOT": "$CONDA_PREFIX/share/tt-metalium", "_TT_METAL_RUNTIME_ROOT_SET": "1"}
    assert found["sh"][0] == expected
    assert found["csh"] == found["fish"] == found["sh"]


def test_the_recipe_installs_each() -> None:
    recipe = (FOLDER / "recipe.yaml").read_text()
    for kind in SHELLS:
        for name in ("activate", "deactivate"):
            place = f"etc/conda/{name}.d/tt-metal-kernels.{kind}"
            assert f'"$RECIPE_DIR/{name}.{kind}" "$PREFIX/{place}"' in recipe and f"- {place}\n" in recipe


@pytest.mark.parametrize(("kind", "shell"), THERE)
def test_in_the_shells_of_this_machine(tmp_path: Path, kind: str, shell: str) -> None:
    on, off = (f". {FOLDER}/{name}.{kind}" for name in ("activate", "deactivate"))
    if kind == "csh":
        on, off = on.replace(".", "source", 1), off.replace(".", "source", 1)
    say, mine = 'echo "$TT_METAL_RUNTIME_ROOT"', PUT[kind].format("TT_METAL_RUNTIME_ROOT", "/mine too")
    lines = [on, say, off, "env | grep TT_METAL_", mine, on, say, off, say]
    lines += [PUT[kind].format("TT_METAL_RUNTIME_ROOT", ""), on, say]
    (tmp_path / "script").write_text("\n".join(lines) + "\n")
    environ = {name: value for name, value in os.environ.items() if "TT_METAL" not in name}
    done = subprocess.run(
        [shell, tmp_path / "script"], env={**environ, "CONDA_PREFIX": "/an env", "HOME": str(tmp_path)},
        capture_output=True, text=True,
    )  # fmt: skip
    expected = ["/an env/share/tt-metalium", "/mine too", "/mine too", "/an env/share/tt-metalium"]
    assert (done.stdout.splitlines(), done.stderr, done.returncode) == (expected, "", 0)
