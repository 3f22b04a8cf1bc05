"""A running process: its mapped files (proc(5), maps), read from disk; the process is not touched."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tt_conda.audit.objects import Object
from tt_conda.audit.scene import SYSTEM, Scene, Unreadable
from tt_conda.audit.targets import disk
from tt_conda.audit.targets.candidates import unreadable
from tt_conda.base.errors import TtCondaError
from tt_conda.elf import HEAD, ElfError, is_object, read

_SITE = re.compile(r"^(.*)/lib(?:64)?/python3\.\d+(?:/|$)")
_DELETED = " (deleted)"


def read_into(scene: Scene, pid: int) -> None:
    """Read a process's mapped shared objects into a scene.

    Raises:
        TtCondaError: there is no such process, or it belongs to another user.
    """
    proc = Path("/proc", str(pid))
    try:
        lines = (proc / "maps").read_text(errors="surrogateescape").splitlines()
        program = str((proc / "exe").readlink())
    except FileNotFoundError:
        raise TtCondaError(f"there is no process {pid}", "List yours: ps -u $USER") from None
    except (PermissionError, ProcessLookupError) as error:
        raise TtCondaError(
            f"the process {pid} cannot be read: {error.strerror}", "It must be your own and still running."
        ) from error
    scene.kind = "process"
    scene.program = program
    top = str((proc / "root").readlink()) if os.access(proc / "root", os.R_OK) else "/"
    base = "" if top == "/" else str(proc / "root")
    files = dict.fromkeys(
        fields[5] for line in lines if len(fields := line.split(None, 5)) == 6 and fields[5][0] == "/"
    )
    owners: dict[str, str] = {}
    for prefix in sorted({folder for file in files if (folder := _environment(file, base))}):
        scene.folders.append(prefix)
        found = disk.owners(Path(base + prefix), scene.depends)
        owners |= {path.removeprefix(base): owner for path, owner in found.items()}
    for file in files:
        _file(scene, file, base, owners, pid)


def _file(scene: Scene, file: str, base: str, owners: dict[str, str], pid: int) -> None:
    path = Path(base + file)
    is_gone = file.endswith(_DELETED) and not path.exists()
    file = file.removesuffix(_DELETED) if is_gone else file
    owner = owners.get(file, SYSTEM)
    member = next((file[len(f) + 1 :] for f in scene.folders if file.startswith(f + "/")), file)
    try:
        if is_gone:
            if ".so" in file.rpartition("/")[2]:
                done = "replaced" if Path(base + file).exists() else "deleted"
                why = f"{done} since the process mapped it: the process still runs the old file"
                way_out = f"Restart the process {pid}, and audit the new one."
                scene.unreadable.append(Unreadable(owner, member, why, way_out, is_in_use=True))
            return
        if path.exists() and not path.is_file():
            return  # a device, or a FIFO by now
        with path.open("rb") as opened:
            head = opened.read(HEAD)
        if is_object(head):
            scene.add(Object(file, owner, member, path.stat().st_size, read(path, symbols=True), path.read_bytes))
    except (ElfError, OSError) as error:
        unreadable(scene, owner, member, str(error).removeprefix(f"{path}: "))


def _environment(file: str, base: str) -> str | None:
    """The environment of a mapped file, by its Python's folder or conda's records."""
    if match := _SITE.match(file):
        return match[1] if match[1] not in ("/usr", "/usr/local", "") else None
    for folder in Path(file).parents:
        if str(folder) != "/" and Path(f"{base}{folder}", "conda-meta").is_dir():
            return str(folder)
    return None
