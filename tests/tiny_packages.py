"""Tiny packages and channels: fixtures, which conftest.py of a folder takes."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from rattler_build import assemble_package

from tt_conda.channel import index

PLACEHOLDER = "/opt/placeholder" + "_placehold" * 8

Make = Callable[..., Path]
Pack = Callable[..., Path]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "cache"
    monkeypatch.setenv("TT_CONDA_CACHE", str(cache))
    for name in ("CONDA_PREFIX", "VIRTUAL_ENV", "SHELL"):
        monkeypatch.delenv(name, raising=False)
    return cache


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make a package of ``files`` (path → content) in ``tmp_path/made``."""

    def make(name: str, version: str = "1.0", files: dict[str, str] | None = None, build: str = "0",
             depends: Sequence[str] = (), **more: Any) -> Path:  # fmt: skip
        staged = tmp_path / "staged" / f"{name}-{version}-{build}-{len(list(tmp_path.glob('staged/*')))}"
        for path, content in (files or {f"share/{name}": f"{name} {version} {build}"}).items():
            (staged / path).parent.mkdir(parents=True, exist_ok=True)
            (staged / path).write_text(content)
            (staged / path).chmod(0o755 if path.startswith("bin/") else 0o644)
        (tmp_path / "made").mkdir(exist_ok=True)
        target = "noarch" if more.get("noarch") else "linux-64"
        return assemble_package(
            name, version, target, build, tmp_path / "made", files_dir=staged, depends=list(depends), **more
        ).path

    return make


@pytest.fixture
def make_placed(tmp_path: Path) -> Make:
    """Make a .tar.bz2 package whose one file holds the prefix it is installed into."""

    def make(name: str, run_exports: Sequence[str] = (), path: str = "") -> Path:
        content = f"#!/bin/sh\necho {PLACEHOLDER}/share\n".encode()
        paths = [{"_path": path or f"bin/{name}", "path_type": "hardlink", "file_mode": "text",
                  "prefix_placeholder": PLACEHOLDER, "size_in_bytes": len(content),
                  "sha256": hashlib.sha256(content).hexdigest()}]  # fmt: skip
        record = {"name": name, "version": "1.0", "build": "0", "build_number": 0, "depends": [],
                  "subdir": "linux-64"}  # fmt: skip
        files = {
            "info/index.json": json.dumps(record).encode(),
            "info/paths.json": json.dumps({"paths": paths, "paths_version": 1}).encode(),
            "info/files": f"bin/{name}\n".encode(),
            "info/run_exports.json": json.dumps({"weak": list(run_exports)}).encode(),
            f"bin/{name}": content,
        }
        package = tmp_path / f"{name}-1.0-0.tar.bz2"
        with tarfile.open(package, "w:bz2") as tar:
            for file, data in files.items():
                member = tarfile.TarInfo(file)
                member.size, member.mode = len(data), 0o755
                tar.addfile(member, io.BytesIO(data))
        return package

    return make


@pytest.fixture
def channel(tmp_path: Path, make: Make) -> Path:
    """``tool`` (activation, exit code 7) depends on ``lib`` 1.0 or 2.0."""
    folder = tmp_path / "channel"
    index.publish(
        [
            make("lib", "1.0"),
            make("lib", "2.0"),
            make("tool", files={
                "bin/tool": "#!/bin/sh\necho tool $GREETING $FROM_JSON $#\nexit 7\n",
                "etc/conda/activate.d/tool.sh": 'export GREETING="hello $CONDA_PREFIX"\n',
                "etc/conda/deactivate.d/tool.sh": 'unset GREETING; export LEFT="$CONDA_PREFIX"\n',
                "etc/conda/env_vars.d/tool.json": '{"FROM_JSON": "a $b c"}',
            }, depends=["lib >=1"]),
        ],
        folder,
    )  # fmt: skip
    return folder


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
