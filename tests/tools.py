"""Programs of other projects that some tests run: those that a variable names, or PATH has."""

from __future__ import annotations

import os
import shutil

import pytest

VARIABLES = {
    "buildah": "TT_CONDA_BUILDAH",
    "conda": "TT_CONDA_CONDA",
    "mamba": "TT_CONDA_MAMBA",  # or a micromamba, which has the same commands
    "pixi": "TT_CONDA_PIXI",
    "smithy": "TT_CONDA_SMITHY",  # a Python that can import conda_smithy
    "pixi-build-rattler-build": "TT_CONDA_PIXI_BUILD_BACKEND",
    "quetz": "TT_CONDA_QUETZ",
    "conda-build": "TT_CONDA_CONDA_BUILD",
    "conda-lock": "TT_CONDA_CONDA_LOCK",
    "conda-pack": "TT_CONDA_CONDA_PACK",
    "distccd": "TT_CONDA_DISTCCD",
    **{shell: f"TT_CONDA_{shell.upper()}" for shell in ("bash", "dash", "fish", "tcsh", "zsh")},
}
"""Program → the variable that names one."""


def require(name: str) -> str:
    """The path of a program; the test is left out where there is none."""
    variable = VARIABLES[name]
    found = os.environ.get(variable) or shutil.which(name) or (name == "mamba" and shutil.which("micromamba"))
    if not found:
        pytest.skip(f"no {name} on PATH, and {variable} names none")
    assert shutil.which(found), f"{variable} is {found}, which is no program"
    return found
