"""A recipe builds with rattler-build alone: without our driver, our engine's settings and our cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rattler.package_streaming import extract

from tt_conda.base.location import channel_url
from tt_conda.channel import network

PROJECT = Path(__file__).parents[2]
BUILD = """
import sys
from rattler_build import Stage0Recipe, ToolConfiguration, VariantConfig
recipe, variants, output, *channels = sys.argv[1:]
for variant in Stage0Recipe.from_file(recipe).render(VariantConfig.from_file(variants)):
    result = variant.run_build(
        output_dir=output, channels=channels, tool_config=ToolConfiguration(test_strategy="skip")
    )
    print("built", *result.packages)
"""


def contents(package: Path, folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    extract(package, folder)
    listed = json.loads((folder / "info/paths.json").read_text())["paths"]
    index = json.loads((folder / "info/index.json").read_text())
    index["depends"].sort()
    # compiled Python files hold the time of their source
    digests = {p["_path"]: "" if p["_path"].endswith(".pyc") else p.get("sha256", "") for p in listed}
    return {key: value for key, value in index.items() if key != "timestamp"}, digests


def test_torch_ttnn(output: Path, channels: Sequence[str | Path], pythons: Sequence[str], tmp_path: Path) -> None:
    """Its wheel then comes by pip, checked against the recipe's lock file."""
    if "3.10" not in pythons:
        pytest.skip("no CPython 3.10 on this machine")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("TT_CONDA", "CONDA", "PIP_"))}
    clean |= {"RATTLER_CACHE_DIR": str(tmp_path / "rattler"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    arguments = [PROJECT / "recipes/torch-ttnn/recipe.yaml", PROJECT / "variants.yaml", tmp_path / "output"]
    urls = [network.mirrored(channel_url(channel)) for channel in channels]
    done = subprocess.run(
        [sys.executable, "-c", BUILD, *map(str, arguments), *urls],
        env=clean, cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (built,) = (tmp_path / "output").glob("*/torch-ttnn-*.conda")
    ours = output / "linux-64" / built.name
    assert ours.is_file()
    index, files = contents(built, tmp_path / "built")
    our_index, our_files = contents(ours, tmp_path / "ours")
    assert index == our_index
    assert files == our_files and len(files) > 100
