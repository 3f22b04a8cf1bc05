"""The blocks of commands that are marked as such in the documents are run, whole, in an empty folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
BLOCK = re.compile(r"<!-- runs -->\n```sh\n(.*?)```", flags=re.S)
BLOCKS = [
    (document.relative_to(PROJECT), text)
    for document in [PROJECT / "README.md", *sorted(PROJECT.glob("docs/*.md"))]
    for text in BLOCK.findall(document.read_text())
]


def test_both_first_documents_have_one() -> None:
    assert {"README.md", "docs/installing.md"} <= {str(document) for document, _ in BLOCKS}


@pytest.mark.parametrize(("document", "text"), BLOCKS, ids=lambda value: str(value).split("\n")[0])
def test_it_runs(
    document: Path, text: str, tmp_path: Path, output: Path, others: Sequence[str | Path], pythons: Sequence[str]
) -> None:
    for version in re.findall(r"python (\d\.\d+)\.\*", text):
        if version not in pythons:
            pytest.skip(f"no CPython {version} on this machine")
    assert output.is_dir() and others
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/tt-conda"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tt_conda.cli "$@"\n')
    program.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONDA")}
    environ = {**kept, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "TT_CONDA_PROJECT": str(PROJECT)}
    (tmp_path / "work").mkdir()
    bash = shutil.which("bash")
    assert bash
    done = subprocess.run(
        [bash, "-euo", "pipefail", "-c", text], cwd=tmp_path / "work", env={**environ, "SHELL": bash},
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, f"{document}:\n{text}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
