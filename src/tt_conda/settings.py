"""Folders and environment variables: the only reader of ``os.environ``."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """The content-addressed cache: ``$TT_CONDA_CACHE``, else ``tt-conda`` in the user's cache folder."""
    if override := os.environ.get("TT_CONDA_CACHE"):
        return Path(override).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return (Path(base).expanduser() / "tt-conda").resolve()


def project_dir() -> Path:
    """The checkout whose ``recipes/`` are built: ``$TT_CONDA_PROJECT``, else the nearest one upwards."""
    if override := os.environ.get("TT_CONDA_PROJECT"):
        return Path(override).expanduser().resolve()
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if (folder / "recipes").is_dir() and (folder / "variants.yaml").is_file():
            return folder
    return here


def output_dir() -> Path:
    """Where built packages go: ``output/`` of the project."""
    return project_dir() / "output"


def channels() -> list[str]:
    """The channels that stand in for the embedded one: ``$TT_CONDA_CHANNELS``, separated by commas."""
    return [name.strip() for name in os.environ.get("TT_CONDA_CHANNELS", "").split(",") if name.strip()]


def environ() -> dict[str, str]:
    """A copy of this process's environment, for child processes.

    Without the part of PYTHONPATH that is ours: ``ci/run`` sets it to run this checkout.
    """
    variables = dict(os.environ)
    own = variables.pop("TT_CONDA_OWN_PYTHONPATH", None)
    if own:
        kept = [part for part in variables.pop("PYTHONPATH", "").split(os.pathsep) if part and part != own]
        if kept:
            variables["PYTHONPATH"] = os.pathsep.join(kept)
    return variables


def engine_environ() -> dict[str, str]:
    """The environment of a building process: its caches, and ours that recipes ask for, lie in the cache folder."""
    cache = cache_dir()
    return {**os.environ, "TT_CONDA_CACHE": str(cache), "RATTLER_CACHE_DIR": str(cache / "rattler")}


def pip_environ() -> dict[str, str]:
    """The environment for pip's downloads, which are pinned: conda builds set PIP_NO_INDEX against others."""
    variables = environ()
    if variables.get("CONDA_BUILD"):
        variables.pop("PIP_NO_INDEX", None)
    return variables
