"""Add to installed kernels what upstream's install components lack, and check that what they include is there.

The components list files one by one and get out of date: the Debian packages made of them lacked 13 headers that
kernels include (0.79.0-dev20260902; https://github.com/tenstorrent/tt-metal/issues/55308, mended in pull request 55358)
and 142 kernels (pull request 56174). The published wheels have them: setup.py copies whole folders.

    python kernels.py TT_METAL STAGE/share/tt-metalium PART...
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

FOLDERS = {
    "tt_metal": (
        "tt_metal/core_descriptors",
        "tt_metal/fabric/hw",
        "tt_metal/fabric/impl/kernels",
        "tt_metal/fabric/mesh_graph_descriptors",
        "tt_metal/hostdevcommon/api",
        "tt_metal/hw",
        "tt_metal/impl/*/kernels",
        "tt_metal/include",
        "tt_metal/kernels",
        "tt_metal/soc_descriptors",
        "tt_metal/third_party/tt_llk/tt_llk_*",
        "tt_metal/tools/profiler",
        "tt_metal/tt-llk/common",
        "tt_metal/tt-llk/tt_llk_*",
    ),
    "ttnn": (
        "ttnn/cpp/ttnn/kernel",
        "ttnn/cpp/ttnn/kernel_lib",
        "ttnn/cpp/ttnn/deprecated/**/kernels*",
        "ttnn/cpp/ttnn/operations/**/kernels*",
        "ttnn/cpp/ttnn/operations/ccl",
        "ttnn/cpp/ttnn/operations/data_movement",
        "ttnn/cpp/ttnn/operations/kernel_helper_functions",
        "ttnn/cpp/ttnn/operations/moreh",
    ),
}
"""Part of the tree -> its folders that the published wheels of 0.65 and 0.79 have."""

CODE = {".S", ".c", ".cc", ".cpp", ".h", ".hpp", ".inl", ".tpp"}
KINDS = CODE | {".def", ".json", ".ld", ".textproto", ".yaml"}

INCLUDE_FOLDERS = ("tt_metal/hw/inc", "tt_metal", "ttnn")
"""Where ``api/...`` is looked for, below the root, besides beside the file that includes it."""

NOWHERE = {"api/remote_circular_buffer_api.h", "api/ttnn/tensor/layout/layout.hpp"}
"""What files of the published wheels include and these lack too: two kernels of ccl, and firmware for a later chip."""


def wanted(sources: Path, part: str) -> Iterator[Path]:
    """The files of a part that belong to kernels, relative to the sources."""
    for pattern in FOLDERS[part]:
        for folder in sources.glob(pattern):
            for path in folder.rglob("*") if folder.is_dir() else ():
                if path.suffix in KINDS and path.is_file():
                    yield path.relative_to(sources)


def add(sources: Path, root: Path, part: str) -> list[Path]:
    """Copy what is missing below the root; returns it."""
    missing = sorted({path for path in wanted(sources, part) if not (root / path).exists()})
    for path in missing:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(sources / path, root / path)
    return missing


def without_a_file(root: Path) -> list[str]:
    """Every ``#include`` of an ``api/...`` below the root that finds no file there."""
    found = []
    for path in sorted(root.rglob("*")):
        if path.suffix not in CODE or not path.is_file():
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for name in re.findall(r'^[ \t]*#[ \t]*include[ \t]*["<](api/[^">]+)[">]', text, flags=re.M):
            folders = (path.parent, *(root / folder for folder in INCLUDE_FOLDERS))
            if name not in NOWHERE and not any((folder / name).is_file() for folder in folders):
                found.append(f"{path.relative_to(root)} includes {name}")
    return found


def main(sources: str, root: str, *parts: str) -> None:
    """Add and check."""
    for part in parts:
        for path in add(Path(sources), Path(root), part):
            print(f"not in upstream's component: {path}", flush=True)
    if bad := without_a_file(Path(root)):
        sys.exit("\n".join(["error: kernels include what is not there:", *bad]))


if __name__ == "__main__":
    main(*sys.argv[1:])
