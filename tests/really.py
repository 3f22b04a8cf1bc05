"""Really open shared objects, and compare what the linker says with what the audit says."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.resolve import missing_versions
from tt_conda.audit.targets import read_targets

DISAGREEMENTS: dict[str, str] = {}
"""Path in the environment → why the audit says otherwise than the linker. There is none."""

OPEN = """
import ctypes, os, sys
for path in sys.stdin.read().splitlines():
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            ctypes.CDLL(path, os.RTLD_NOW | os.RTLD_LOCAL)
        except OSError as error:
            os.write(writer, str(error).encode())
        os._exit(0)
    os.close(writer)
    error = b""
    while part := os.read(reader, 65536):
        error += part
    os.close(reader)
    status = os.waitpid(child, 0)[1]
    print(path, status, error.decode().replace("\\n", " "), sep="\\t", flush=True)
"""


def really(program: str, paths: list[str], folder: Path) -> dict[str, str]:
    """Open each file in a process that has loaded Python and nothing else: path → what the linker says against it."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("LD_", "PYTHON"))}
    done = subprocess.run(
        [program, "-c", OPEN],
        input="\n".join(paths),
        capture_output=True,
        text=True,
        cwd=folder,
        env=environ,
        check=True,
    )
    found = {}
    for line in done.stdout.splitlines():
        path, status, error = line.split("\t")
        found[path] = error or ("" if status == "0" else f"ended with status {status}")
    assert found.keys() == set(paths), done.stderr
    return found


def audited(analysis: Analysis, path: str) -> str:
    """What the audit says against opening a file, as the linker would: the first thing that is wrong."""
    closure = analysis.closure(analysis.scene.objects[path])
    if closure.missing:
        return f"{closure.missing[0][0]}: cannot open shared object file"
    if versions := missing_versions(closure):
        return f"version `{versions[0].version}' not found"
    if undefined := analysis.resolver.unresolved(closure):
        return "undefined symbol: " + " ".join(sorted(name for names in undefined.values() for name in names))
    return ""


def agree(said: str, told: str) -> bool:
    """Whether both say that it loads, or name the same missing library, version or symbol."""
    if not said or not told:
        return said == told
    if said.startswith("undefined symbol: "):
        return told.partition("undefined symbol: ")[2].partition(",")[0].split(" ")[0] in said.split()[2:]
    return said in told


def compare(prefix: Path, folder: Path) -> tuple[int, list[str]]:
    scene = read_targets([prefix])
    analysis = Analysis(scene)
    assert scene.program
    # Sanitizers' runtimes are loaded first or not at all; what belongs to another system is a cross compiler's.
    paths = [
        item.path for item in scene
        if not item.is_program and "/sysroot/" not in item.path and "libclang_rt." not in item.name
    ]  # fmt: skip
    told = really(scene.program, paths, folder)
    wrong = []
    for path in paths:
        said = audited(analysis, path)
        if not agree(said, told[path]) and os.path.relpath(path, prefix) not in DISAGREEMENTS:
            wrong.append(f"{os.path.relpath(path, prefix)}: the linker says {told[path]!r}, the audit {said!r}")
    return len(paths), wrong
