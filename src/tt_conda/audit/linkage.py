"""Whether everything that is installed in an environment would find its libraries, and find them there."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tt_conda.audit.loader import Loaded, System, closure, this_system
from tt_conda.audit.mapped import owners
from tt_conda.carve.providers import load_providers
from tt_conda.elf import ElfError, is_shared_object


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
    system, glibc = this_system(), load_providers().system
    host = _python(prefix, system)
    said: dict[str, None] = {}
    for path, package in sorted(owners(prefix).items()):
        if (wanted and package not in wanted) or path.is_symlink() or not path.is_file():
            continue
        try:
            if not is_shared_object(path):
                continue
            found = closure(path, system, host=host)
        except (ElfError, OSError) as error:
            said[f"{package}: {error}"] = None
            continue
        for name, needer in found.missing:
            said[f"{package}: {_where(needer.path, prefix)} needs {name}, which is nowhere"] = None
        for item in found.loaded[1:]:
            name = item.elf.soname or item.path.name
            if prefix not in item.path.parents and name not in glibc and item.loader is not None:
                needer_at = _where(item.loader.path, prefix)
                said[f"{package}: {needer_at} finds {name} outside the environment: {item.path}"] = None
    return list(said)


def _python(prefix: Path, system: System) -> list[Loaded]:
    """What is loaded when a module is: the program and its library."""
    program = prefix / "bin" / "python"
    if not program.exists():
        return []
    loaded = closure(program.resolve(), system).loaded
    return [item for item in loaded if prefix in item.path.parents]


def _where(path: Path, prefix: Path) -> str:
    return str(path.relative_to(prefix)) if prefix in path.parents else str(path)
