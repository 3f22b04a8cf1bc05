"""What the packages set in an environment, they set alike in every shell that conda activates."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from published import PROJECT

FOLDER = PROJECT / "recipes/tt-metal"
SHELLS = {"sh": ["sh", "bash", "dash", "zsh"], "csh": ["tcsh", "csh"], "fish": ["fish"]}
SETS = {"sh": r"export (\w+)=(\S+)", "csh": r"^ +setenv (\w+) (\S+)", "fish": r"set -gx (\w+) (\S+)"}
UNSETS = {"sh": r"unset (\w+)", "csh": r"unsetenv (\w+)", "fish": r"set -e (\w+)"}
PUT = {"sh": "export {}='{}'", "csh": "setenv {} '{}'", "fish": "set -gx {} '{}'"}
THERE = [(kind, shell) for kind, names in SHELLS.items() for shell in names if shutil.which(shell)]
"""The shells of this machine; it has ``sh``."""


def test_every_shell_sets_and_takes_back_the_same() -> None:
    found = {}
    for kind in SHELLS:
        on, off = ((FOLDER / f"{name}.{kind}").read_text() for name in ("activate", "deactivate"))
        values = {name: re.sub(r"[\"{}]", "", value) for name, value in re.findall(SETS[kind], on, flags=re.M)}
        assert set(re.findall(UNSETS[kind], off)) == set(values), kind
        found[kind] = values, [line for line in on.splitlines() if line.startswith("#")]
    expected = {
        "TT_METAL_RUNTIME_ROOT": "$CONDA_PREFIX/share/tt-metalium",
        "_TT_METAL_RUNTIME_ROOT_SET": "$TT_METAL_RUNTIME_ROOT",
    }
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
    """Activation and deactivation in the order in which conda runs the scripts, with the values after each step."""
    call = "source {}" if kind == "csh" else ". {}"
    on, off = (call.format(FOLDER / f"{name}.{kind}") for name in ("activate", "deactivate"))
    say = 'echo "$TT_METAL_RUNTIME_ROOT"'
    nothing = "env | grep TT_METAL_"
    a, b, a_root, b_root = "/env a", "/env b", "/env a/share/tt-metalium", "/env b/share/tt-metalium"

    def put(value: str, name: str = "TT_METAL_RUNTIME_ROOT") -> str:
        return PUT[kind].format(name, value)

    def env(prefix: str) -> str:
        return put(prefix, "CONDA_PREFIX")

    steps = [
        ([env(a), on, say], [a_root]),
        ([off, nothing], []),
        # the person's own: set before, and in the active environment
        ([put("/mine too"), on, say, off, say], ["/mine too"] * 2),
        ([put(""), on, say], [a_root]),
        ([put("/mine too"), off, say, on, say], ["/mine too"] * 2),
        ([put(""), on, say], [a_root]),
        # conda activate --stack: no deactivate script in between
        ([env(b), on, say], [b_root]),
        # conda deactivate, stacked and not: B's scripts, then A's once more
        ([off, env(a), on, say], [a_root]),
        # conda activate without --stack
        ([off, env(b), on, say], [b_root]),
        ([off, env(a), on, say], [a_root]),
        # the package, and its scripts, were removed from the active environment
        ([env(b), on, say, off, nothing], [b_root]),
    ]
    (tmp_path / "script").write_text("".join(f"{line}\n" for lines, _ in steps for line in lines))
    environ = {name: value for name, value in os.environ.items() if "TT_METAL" not in name}
    environ |= {"HOME": str(tmp_path)}
    done = subprocess.run([shell, tmp_path / "script"], env=environ, capture_output=True, text=True)
    expected = [line for _, said in steps for line in said]
    assert (done.stdout.splitlines(), done.stderr, done.returncode) == (expected, "", 1)  # 1: grep found nothing


def test_in_our_own_shell(tmp_path: Path) -> None:
    """``tt-conda run`` inside ``tt-conda run``: B's value, then A's again; none where the package is not."""
    for name in ("a", "b", "without"):
        (tmp_path / name / "conda-meta").mkdir(parents=True)
    for name in ("a", "b"):
        for kind in ("activate", "deactivate"):
            folder = tmp_path / name / f"etc/conda/{kind}.d"
            folder.mkdir(parents=True)
            shutil.copy(FOLDER / f"{kind}.sh", folder / "tt-metal-kernels.sh")

    def nested(*names: str, **variables: str) -> list[str]:
        say, script = 'echo "${TT_METAL_RUNTIME_ROOT-}"', ""
        for name in reversed(names):
            command = shlex.join([sys.executable, "-m", "tt_conda.cli", "run", "--prefix", str(tmp_path / name)])
            script = f"{command} sh -c {shlex.quote(f'{say}; {script}')}; {say}"
        environ = {name: value for name, value in os.environ.items() if "TT_METAL" not in name}
        done = subprocess.run(["sh", "-c", script], env={**environ, **variables}, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    a, b = (f"{tmp_path / name}/share/tt-metalium" for name in ("a", "b"))
    assert nested("a", "b") == [a, b, a, ""]
    assert nested("a", "without") == [a, "", a, ""]
    assert nested("a", "b", TT_METAL_RUNTIME_ROOT="/mine") == ["/mine"] * 4
    shutil.rmtree(tmp_path / "a/etc")  # removed while active
    removed = {"CONDA_PREFIX": str(tmp_path / "a"), "TT_METAL_RUNTIME_ROOT": a, "_TT_METAL_RUNTIME_ROOT_SET": a}
    assert nested("b", **removed) == [b, a]
