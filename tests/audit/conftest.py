"""Packages made of compiled files."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from rattler_build import assemble_package

Pack = Callable[..., Path]


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    """Make a package of files (path in the prefix → file, or link target)."""

    def make(
        name: str, files: dict[str, Path | str], version: str = "1.0", build: str = "0", noarch: str | None = None,
        depends: Sequence[str] = (), constrains: Sequence[str] = (),
    ) -> Path:  # fmt: skip
        staged = tmp_path / f"staged-{name}-{version}-{build}"
        for path, source in files.items():
            (staged / path).parent.mkdir(parents=True, exist_ok=True)
            if isinstance(source, Path):
                shutil.copy(source, staged / path)
            else:
                (staged / path).symlink_to(source)
        (tmp_path / "made").mkdir(exist_ok=True)
        target = "noarch" if noarch else "linux-64"
        return assemble_package(
            name, version, target, build, tmp_path / "made", files_dir=staged, noarch=noarch, depends=list(depends),
            constrains=list(constrains),
        ).path  # fmt: skip

    return make
