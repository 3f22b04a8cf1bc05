"""The kinds of audit targets, all read into the same scene.

Each kind has its own module. Archives are read in place; nothing is installed, loaded or imported. The library that
reads conda packages is imported only if needed: the import takes as long as auditing a small wheel.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from tt_conda.audit.garbage import uncollected
from tt_conda.audit.scene import ROOT, Scene
from tt_conda.audit.targets import disk, process, wheel
from tt_conda.base.errors import TtCondaError
from tt_conda.base.location import is_channel

Environments = Callable[[Path], tuple[Sequence[Sequence[Path]], Sequence[Sequence[Path]]]]
"""Sorts the packages of a channel folder into environments that together install all of them; and each package that
cannot be installed, with its dependencies as far as they are there (:mod:`tt_conda.environment.coverage`)."""

_CPYTHON = re.compile(r"-cp(\d)(\d+)-cp\d+")
_CONDA_PYTHON = re.compile(r"^python-(\d)\.(\d+)\.\d+-|_py(\d)(\d+)_|py(\d)(\d+)h")


@uncollected()
def read_targets(
    targets: Sequence[Path], *, pid: int | None = None, once: bool = False,
    environments: Environments | None = None,
) -> Scene:  # fmt: skip
    """Read targets as if installed together into one environment.

    Args:
        targets: wheels, conda packages, channels, prefixes, virtual environments, other folders, shared objects.
        pid: a process whose mapped files are looked at instead.
        once: judge as if each library were there once (:attr:`Scene.once`).
        environments: sorts the packages of a channel folder; None: a channel is no target.

    Returns:
        The scene. Close it after use: it owns the unpacked packages.

    Raises:
        TtCondaError: a target does not exist or cannot be audited. Damaged ones are findings.
    """
    scene = Scene(once=once)
    if pid is not None:
        if targets:
            raise TtCondaError("a process is audited alone", "Leave out either --pid or the other targets.")
        scene.targets.append(f"process {pid}")
        process.read_into(scene, pid)
        return scene
    if not targets:
        raise TtCondaError("no targets to audit", "Name a wheel, a package, a folder, or --pid.")
    for target in targets:
        if not target.exists():
            raise _absent(str(target))
        if not (target.is_file() or target.is_dir()):
            raise TtCondaError(f"{target}: neither a file nor a folder", "Copy its content to a file, and name that.")
    root = next((str(t.resolve()) for t in targets if t.is_dir() and disk.is_prefix(t)), ROOT)
    python = _python(targets)
    try:
        for target in targets:
            scene.targets.append(str(target))
            before = len(scene.objects), len(scene.unreadable)
            _read(scene, target, root, python, environments)
            if len(scene.objects) == before[0] and len(scene.unreadable) > before[1] and target.is_file():
                scene.unread.append(str(target))
    except BaseException:
        scene.close()
        raise
    return scene


def _absent(target: str) -> TtCondaError:
    """The error for a target that does not exist. In a path, a URL has only one slash left."""
    url = re.match(r"([a-z][\w+.-]+):/+(.*)", target)
    if url is None:
        return TtCondaError(f"{target}: no such file or folder", "Check the path.")
    scheme, rest = url[1], url[2]
    given = f"{scheme}:///{rest}" if scheme == "file" else f"{scheme}://{rest}"
    if scheme == "file":
        way_out = f"Give the path: tt-conda audit /{rest}"
    elif scheme not in ("http", "https"):
        way_out = "Copy it to this machine, and name the file or folder."
    elif rest.endswith((".conda", ".tar.bz2", ".whl")):
        way_out = f"Fetch it first: curl -fO {given}, then tt-conda audit {rest.rpartition('/')[2]}"
    else:
        way_out = (
            "To audit a channel, install from it and audit the environment: "
            f"tt-conda install SPEC --prefix env -c {given} -c conda-forge, then tt-conda audit env"
        )
    return TtCondaError(f"{given}: the audit reads local files and folders, not URLs", way_out)


def _read(
    scene: Scene, target: Path, root: str, python: str, environments: Environments | None
) -> None:  # fmt: skip
    if target.is_dir():
        if is_channel(target):
            _read_channel(scene, target, environments)
        else:
            disk.read_into(scene, target)
    elif target.suffix == ".whl":
        wheel.read_into(scene, target, root, python)
    elif target.name.endswith((".conda", ".tar.bz2")):
        from tt_conda.audit.targets import conda

        conda.read_into(scene, target, root, python)
    elif disk.looks_like_object(target):
        disk.read_file_into(scene, target)
    else:
        raise TtCondaError(
            f"{target}: not a wheel, conda package, folder or shared object",
            "Name a .whl, .conda or .tar.bz2 file, a prefix, a folder, a channel, or --pid.",
        )


def _read_channel(scene: Scene, folder: Path, environments: Environments | None) -> None:
    from tt_conda.audit.targets import conda

    if environments is None:
        raise TtCondaError(
            f"{folder}: the packages of a channel are not all installed together",
            "Name some of them, or an environment; or use the command: tt-conda audit",
        )
    whole, broken = environments(folder)
    for number, packages in enumerate(whole):
        here = scene if number == 0 else scene.beside()
        here.kind = "installed"
        python = _python(packages)
        conda.read_all_into(here, packages, ROOT, python)
    for packages in broken:
        here = scene.beside()
        here.kind = "files"
        conda.read_all_into(here, packages, ROOT, _python(packages))


def _python(targets: Sequence[Path]) -> str:
    """The Python version of all targets: an environment's, else that of the first wheel with a CPython tag."""
    for target in targets:
        if target.is_dir() and (found := disk.python_of(target)):
            return found
    for target in targets:
        if match := _CPYTHON.search(target.name) or _CONDA_PYTHON.search(target.name):
            return ".".join(part for part in match.groups() if part)
    return "3.12"
