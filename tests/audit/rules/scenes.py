"""Scenes for the rules' tests: wheels, and what gcc makes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from published import other_wheel, published
from toolchain import program
from tt_conda.audit.analysis import Analysis
from tt_conda.audit.finding import Finding
from tt_conda.audit.rules import all_rules
from tt_conda.audit.scene import Scene
from tt_conda.audit.targets import read_targets
from tt_conda.embedded.assemble import ensure_channel

TTNN_062 = "ttnn-shutov-0.62.0.dev20250916-3.10"
TORCH_010 = "torch-ttnn-shutov-0.1.0-3.10"


@lru_cache
def scene_of(*labels: str) -> Scene:
    """Pinned wheels together: the stack's by name-version-python, others by name."""
    return read_targets([published(each) if "ttnn" in each else other_wheel(each) for each in labels])


def embedded(name: str) -> Path:
    """A package of the embedded channel."""
    folder = ensure_channel() / "linux-64"
    records = json.loads((folder / "repodata.json").read_text())["packages.conda"]
    (file,) = (file for file, record in records.items() if record["name"] == name)
    return folder / str(file)


_analysis = lru_cache(maxsize=4)(Analysis)


def found(scene: Scene, code: str) -> list[Finding]:
    """What one rule says of a scene."""
    return list(all_rules()[code].check(_analysis(scene)))


def by_subject(findings: Iterable[Finding]) -> dict[str, Finding]:
    """Findings by subject, each of which must be there once."""
    items = list(findings)
    result = {item.subject: item for item in items}
    assert len(result) == len(items)
    return result


def compile_library(file: Path, code: str, *options: str, needs: Sequence[Path] = (), soname: str | None = "") -> Path:
    """Link C code into a shared object that finds what it needs in its own folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    source = file.with_suffix(".c")
    source.write_text(code)
    name = [] if soname is None else [f"-Wl,-soname,{soname or file.name}"]
    subprocess.run(
        [program("gcc"), "-shared", "-fPIC", "-O1", "-nostdlib", "-o", file, source, *name, *options,
         "-Wl,--no-as-needed", *needs, "-Wl,-rpath,$ORIGIN"],
        check=True,
    )  # fmt: skip
    source.unlink()
    return file


def functions(names: Iterable[str], body: str = "{ return 1; }") -> str:
    """C functions of these names."""
    return "".join(f"int {name}(void) {body}\n" for name in names)
