"""Child processes run our code, and nothing that lies about."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tt_conda.base import process, settings

KEY = "a-key-that-nobody-may-read"


@pytest.mark.parametrize("module", ["tt_conda.channel.upload", "tt_conda.building.worker", "tt_conda.offline.ask"])
def test_the_working_folder_is_no_code(tmp_path: Path, module: str) -> None:
    """Nor are PYTHONPATH, PYTHONSTARTUP and a person's own site-packages."""
    for place in ("here", "path"):
        (tmp_path / place).mkdir()
        for name in (
            "yaml",
            "json",
            "rattler",
            "rattler_build",
            "pydantic",
            "tt_conda",
            "sitecustomize",
            "usercustomize",
        ):
            (tmp_path / place / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write(__name__)")
    environ = {**os.environ, "PYTHONPATH": str(tmp_path / "path"), "PYTHONINSPECT": "", "PYTHONHOME": ""}
    command = process.python(module, "x")
    done = subprocess.run(command, cwd=tmp_path / "here", env=environ, capture_output=True, text=True)
    assert not (tmp_path / "ran").exists(), (tmp_path / "ran").read_text()
    assert "tt_conda" in done.stderr and "ModuleNotFoundError" not in done.stderr


def test_no_python_module_is_started_otherwise() -> None:
    """``-m`` searches the working folder. pip runs in a folder of its own (inputs/wheels.py)."""
    home = Path(process.__file__).parents[1]
    found = {file.relative_to(home).as_posix() for file in home.rglob("*.py") if '"-m", "tt_conda' in file.read_text()}
    assert found == set()


def test_a_child_gets_its_own_key_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    others = ["PREFIX_API_KEY", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "PYTHONPATH", "SOMETHING", "LD_PRELOAD"]
    for name in (*others, "QUETZ_API_KEY", "https_proxy", "LC_ALL"):
        monkeypatch.setenv(name, KEY)
    environ = settings.child_environ("QUETZ_API_KEY")
    assert not set(others) & environ.keys()
    assert {"QUETZ_API_KEY", "https_proxy", "LC_ALL", "PATH"} <= environ.keys()


def test_builds_get_no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secrets = ["PREFIX_API_KEY", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "DB_PASSWORD", "PYTHONPATH", "PYTHONSTARTUP"]
    for name in (*secrets, "SCCACHE_REDIS_PASSWORD", "MAX_JOBS"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.delenv("SCCACHE_BUCKET", raising=False)
    environ = settings.worker_environ()
    assert not set(secrets) & environ.keys()
    assert {"SCCACHE_REDIS_PASSWORD", "MAX_JOBS", "PATH"} <= environ.keys()
    assert Path(environ["TT_CONDA_PROJECT"]).is_absolute()
    monkeypatch.setenv("SCCACHE_BUCKET", "bucket")
    assert settings.worker_environ()["AWS_SECRET_ACCESS_KEY"] == KEY
