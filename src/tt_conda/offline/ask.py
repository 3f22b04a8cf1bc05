"""Have rattler-build fetch sources and build nothing: ``python -m tt_conda.offline.ask CACHE SOURCES ANSWERS``.

In a process of its own: rattler-build holds the interpreter until it is done. ``SOURCES`` is a JSON list of sources as
recipes have them, ``ANSWERS`` becomes the list of its errors, one for each: empty where it is in ``CACHE`` now.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from rattler_build import RattlerBuildError, Stage0Recipe, VariantConfig
from rattler_build.debug import DebugSession


def fetch(source: dict[str, Any], cache: Path, folder: Path) -> str:
    """Have it fetch one source; what it said if it failed.

    Args:
        source: as in a recipe.
        cache: its source cache.
        folder: an empty one.
    """
    recipe = {"package": {"name": "sources", "version": "0"}, "build": {"noarch": "generic"}, "source": [source]}
    file = folder / "recipe.yaml"
    file.write_text(json.dumps(recipe))
    (folder / "src_cache").symlink_to(cache)
    try:
        (variant,) = Stage0Recipe.from_file(file).render(VariantConfig({}))
        DebugSession.create(variant, output_dir=folder, channels=[])
    except RattlerBuildError as error:
        return str(error) or type(error).__name__
    return ""


def main(cache: Path, sources: Path, answers: Path) -> None:
    """Fetch one after another."""
    os.umask(0o022)  # what is unpacked gets into packages with its modes
    said = []
    for source in json.loads(sources.read_text()):
        with tempfile.TemporaryDirectory(dir=sources.parent) as folder:
            said.append(fetch(source, cache, Path(folder)))
    answers.write_text(json.dumps(said))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
    sys.stdout.flush()
    os._exit(0)  # its threads may still be at work
