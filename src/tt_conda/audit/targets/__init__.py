"""What an audit can be pointed at, each read into the same scene.

Every kind has a file: archives are read where they are, nothing is installed, loaded or imported.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tt_conda.audit.scene import ROOT, Scene
from tt_conda.audit.targets import disk, wheel
from tt_conda.errors import TtCondaError

_CPYTHON = re.compile(r"-cp(\d)(\d+)-cp\d+")


def read_targets(targets: Sequence[Path], *, pid: int | None = None, once: bool = False) -> Scene:
    """Read targets as they would be installed together, into one environment.

    Args:
        targets: wheels, conda packages, channels, prefixes, virtual environments, other folders, shared objects.
        pid: a process whose mapped files are looked at instead.
        once: judge as if each library were there once (:attr:`Scene.once`).

    Raises:
        TtCondaError: a target does not exist or is nothing that can be audited. Damaged ones are findings.
    """
    scene = Scene(once=once)
    del pid
    root = next((str(t.resolve()) for t in targets if t.is_dir() and disk.is_prefix(t)), ROOT)
    python = _python(targets)
    for target in targets:
        if not target.exists():
            raise TtCondaError(f"{target}: there is no such file or folder", "Check the path.")
        scene.targets.append(str(target))
        if target.is_dir():
            disk.read_into(scene, target)
        elif target.suffix == ".whl":
            wheel.read_into(scene, target, root, python)
        elif disk.looks_like_object(target):
            disk.read_file_into(scene, target)
        else:
            raise TtCondaError(
                f"{target}: neither a wheel, a conda package, a folder nor a shared object",
                "Name a .whl, .conda or .tar.bz2 file, a prefix, a folder, a channel, or --pid.",
            )
    return scene


def _python(targets: Sequence[Path]) -> str:
    """The Python that all are for: an environment's own, else what the first wheel with a CPython tag says."""
    for target in targets:
        if target.is_dir() and (found := disk.python_of(target)):
            return found
    for target in targets:
        if match := _CPYTHON.search(target.name):
            return f"{match[1]}.{match[2]}"
    return "3.12"
