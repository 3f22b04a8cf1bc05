"""Whether everything that is installed in an environment would find its libraries, and find them there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tt_conda.audit.mapped import owners
from tt_conda.audit.scene import Object, Scene, on_disk
from tt_conda.carve.providers import load_providers
from tt_conda.elf import ElfError, is_shared_object, read


def unlinked(prefix: Path, packages: Iterable[str] = ()) -> list[str]:
    """Follow the NEEDED of every shared object of an environment by the dynamic linker's rules.

    Python modules are looked at as Python loads them, by dlopen from its program; nothing is loaded for it.

    Args:
        prefix: the environment.
        packages: look at the objects of these packages only; none means all.

    Returns:
        One sentence for each name that is found nowhere, or outside the environment (the C library excepted).
    """
    prefix, wanted = prefix.resolve(), set(packages)
    glibc = load_providers().system
    program = prefix / "bin" / "python"
    scene = Scene(program=str(program) if program.exists() else None)
    said: dict[str, None] = {}
    for path, package in sorted(owners(prefix).items()):
        if (wanted and package not in wanted) or path.is_symlink() or not path.is_file():
            continue
        try:
            if not is_shared_object(path):
                continue
            read(path)
        except (ElfError, OSError) as error:
            said[f"{package}: {error}"] = None
            continue
        if (start := on_disk(path, package, str(path))) is None:
            continue
        found = scene.closure(start)
        for name, needer in found.missing:
            said[f"{package}: {_where(needer.object, prefix)} needs {name}, which is nowhere"] = None
        for item in found.loaded[1:]:
            name = item.object.soname
            outside = not item.object.path.startswith(f"{prefix}/")
            if outside and name not in glibc and item.loader is not None:
                needer_at = _where(item.loader.object, prefix)
                said[f"{package}: {needer_at} finds {name} outside the environment: {item.object.path}"] = None
    return list(said)


def _where(found: Object, prefix: Path) -> str:
    return found.path.removeprefix(f"{prefix}/")
