"""A library is needed that nothing provides: neither the targets nor, where that is allowed, the machine.

**Why it matters.** The dynamic linker loads all that is NEEDED or nothing: `import` and `dlopen` end with
`cannot open shared object file: No such file or directory`.

**Seen in the wild.** `libtracy` missing beside ttnn's `libtt_metal.so`; Qt plugins in PyQt5 that need parts of Qt which
are not in the wheel (`libQt53DCore.so.5`).

**What to do.** Ship the library in the package, or depend on the package that brings it and make the search path lead
to it. When only some of the packages are audited, name the one that brings it as another target.

**Severity.** An error where a program, a Python module or a library of the environment's `lib/` does not load. A
warning for what is only opened by name, as plugins are: who opens it usually does without. A note for a library that a
package is known to bring which is not among the targets.

**False alarms.** Code that loads a library of this name by its path before, from a place outside of the targets. Of a
wheel that is audited alone, what its dependencies bring: the linker's rules cannot tell this from a library that was
forgotten, so it is a warning unless the name has auditwheel's hash or all folders in which it is looked for are there.
"""

from __future__ import annotations

from collections.abc import Iterator

from tt_conda.audit.finding import Certainty, Finding, Severity
from tt_conda.audit.loader import expanded
from tt_conda.audit.lost import Lost
from tt_conda.audit.rules import Rule
from tt_conda.audit.scene import Object, Scene
from tt_conda.audit.words import listed, verb
from tt_conda.carve.providers import load_providers
from tt_conda.elf import plain_soname

RULE = Rule(
    "TC201", "missing-library", Severity.ERROR,
    "A library is needed that nothing provides.",
    "Ship the library, or depend on the package that brings it and make the search path lead to it.",
)  # fmt: skip


def check(scene: Scene) -> Iterator[Finding]:
    """Say which names are nowhere; those that the same objects cannot load without are one finding."""
    by_name: dict[str, list[Lost]] = {}
    for lost in scene.lost:
        if lost.reason == "nowhere" and not (scene.kind == "files" and lost.name in scene.from_machine):
            by_name.setdefault(lost.name, []).append(lost)
    groups: dict[tuple[Severity, frozenset[Object]], dict[str, list[Lost]]] = {}
    for name, found in by_name.items():
        blocked = frozenset(root for lost in found for root in lost.roots)
        groups.setdefault((_severity(scene, name, found), blocked), {})[name] = found
    for (severity, _), names in groups.items():
        yield _finding(scene, severity, names)


def _finding(scene: Scene, severity: Severity, found: dict[str, list[Lost]]) -> Finding:
    names = sorted(found)
    needers = list(dict.fromkeys(lost.needer for name in names for lost in found[name]))
    blocked = list(dict.fromkeys(root for name in names for lost in found[name] for root in lost.roots))
    packages = sorted({spec for name in names if (spec := _package(name))})
    what = f"{listed(names)}, which {listed((n.name for n in needers), 3)} {verb(needers, 'needs', 'need')},"
    where = "nowhere in the targets" if scene.kind == "files" else "neither in the environment nor on this machine"
    remedy = None
    if packages:
        remedy = f"It comes from {listed(packages)}: depend on it, and name it as another target to audit both."
    elif scene.from_machine.issuperset(names):
        remedy = "Install it on this machine: packages count on it."
    elif scene.kind == "files" and severity is not Severity.ERROR:
        remedy = "Name the package that brings it as another target; if none does, ship the library."
    return RULE.finding(
        names[0],
        f"{what} {verb(names, 'is', 'are')} {where}: {listed((item.name for item in blocked), 3)} "
        f"{verb(blocked, 'does', 'do')} not load.",
        needers,
        severity=severity,
        remedy=remedy,
        certainty=Certainty.CERTAIN if severity is Severity.ERROR or scene.kind != "files" else Certainty.LIKELY,
        evidence=[f"{item.member} needs {name}" for name in names for item in needers if name in item.elf.needed],
    )  # fmt: skip


def _package(name: str) -> str | None:
    known = load_providers().find(plain_soname(name)) if plain_soname(name) == name else None
    return known[1] if known else None


def _severity(scene: Scene, name: str, lost: list[Lost]) -> Severity:
    if scene.kind == "files":
        if plain_soname(name) != name:
            return Severity.ERROR
        if _package(name):
            return Severity.NOTE
        if not all(_is_complete(scene, each.needer) for each in lost):
            return Severity.WARNING
    matters = any(is_opened_for_sure(scene, root) for each in lost for root in each.roots)
    return Severity.ERROR if matters else Severity.WARNING


def is_opened_for_sure(scene: Scene, item: Object) -> bool:
    """Whether it is a program, a module that is imported, or a library that everybody can link to."""
    return (
        item.is_program or item.is_python_module or item.path in {f"{each}/lib/{item.name}" for each in scene.folders}
    )


def _is_complete(scene: Scene, needer: Object) -> bool:
    """Whether every folder in which a needed library is looked for is among the targets."""
    folders = expanded(needer.elf.search_path, needer.path, scene.system)
    return bool(folders) and all(scene.is_folder(folder) for folder in folders)
