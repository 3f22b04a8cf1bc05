"""A needed library is missing: not in the targets and, if the machine may provide it, not there either.

**Why it matters.** The dynamic linker loads every NEEDED library or fails: `import` and `dlopen` end with
`cannot open shared object file: No such file or directory`.

**Seen in the wild.** `libtracy` missing beside ttnn's `libtt_metal.so`. Qt plugins in PyQt5 that need parts of Qt not
included in the wheel (`libQt53DCore.so.5`). torch's `bin/test_shim`, whose search path is that of torch's build
instead of the `lib/` beside it.

**What to do.** Ship the library in the package, or depend on the package that provides it and set the search path
accordingly. If you audit only some of the packages, add the providing package as another target.

A program also fails to start if its library is in a folder that is not searched. (For a library or module that is
TC203, as something else may have loaded it first.)

**Severity.** An error if a program, a Python module or a library in the environment's `lib/` does not load. A warning
for objects that are only opened by name, such as plugins: their host usually copes without them. For wheels and
packages that are not installed: an error if the name has auditwheel's hash, as no other package can provide it then; a
note if a package outside the targets is known to provide it; otherwise a warning. This machine's own libraries do not
count, only those that every machine can be expected to have.

An object that nothing loads, and in whose place its package has another one that loads (a build for GPU beside one for
CPU, MKL's threading layers), is a warning at most.

**False alarms.** A program started by a wrapper with LD_LIBRARY_PATH. Code that first loads a library of this name by
path, from outside the targets. For a wheel audited alone, the libraries of its dependencies.
"""

from __future__ import annotations

from collections.abc import Iterator

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.finding import Certainty, Finding, Severity
from tt_conda.audit.lost import Lost, search_paths
from tt_conda.audit.objects import Object
from tt_conda.audit.rules import Rule
from tt_conda.audit.words import listed, verb
from tt_conda.elf import plain_soname
from tt_conda.providers import load_providers

RULE = Rule(
    "TC201", "missing-library", Severity.ERROR,
    "A needed library is missing.",
    "Ship the library, or depend on the package that provides it and set the search path accordingly.",
)  # fmt: skip


def check(analysis: Analysis) -> Iterator[Finding]:
    """Say which names are nowhere; those that the same objects cannot load without are one finding."""
    by_name: dict[str, list[Lost]] = {}
    for lost in analysis.lost:
        if lost.reason == "nowhere" and not (
            analysis.scene.is_for_any_machine and lost.name in analysis.scene.from_machine
        ):
            by_name.setdefault(lost.name, []).append(lost)
    groups: dict[tuple[Severity, frozenset[Object]], dict[str, list[Lost]]] = {}
    for name, found in by_name.items():
        blocked = frozenset(root for lost in found for root in lost.roots)
        groups.setdefault((_severity(analysis, name, found), blocked), {})[name] = found
    for (severity, _), names in groups.items():
        yield _finding(analysis, severity, names)
    yield from _not_searched(analysis)


def _not_searched(analysis: Analysis) -> Iterator[Finding]:
    """Programs whose libraries are there, in folders in which they do not look; those that lack the same are one."""
    programs: dict[Object, list[Lost]] = {}
    for lost in analysis.lost:
        if lost.reason == "elsewhere":
            for root in lost.roots:
                programs.setdefault(root, []).append(lost)
    groups: dict[frozenset[Lost], list[Object]] = {}
    for root, found in programs.items():
        groups.setdefault(frozenset(found), []).append(root)
    for group, roots in groups.items():
        found = sorted(group, key=lambda lost: lost.name)
        names = list(dict.fromkeys(lost.name for lost in found))
        needers = list(dict.fromkeys(lost.needer for lost in found))
        folders = sorted({lost.provider.member.rpartition("/")[0] or "." for lost in found if lost.provider})
        yield RULE.finding(
            names[0],
            f"{listed(names)}, which {listed((item.name for item in needers), 3)} {verb(needers, 'needs', 'need')}, "
            f"{verb(names, 'is', 'are')} in {listed(folders)}, which is not searched: "
            f"{listed((item.name for item in roots), 3)} {verb(roots, 'does', 'do')} not start.",
            [*needers, *(root for root in roots if root not in needers)],
            remedy=f"Give {listed((item.name for item in needers), 3)} the search path: "
            f"patchelf --set-rpath '{':'.join(search_paths(found))}'.",
            evidence=[f"{lost.needer.member} needs {lost.name}, which is {lost.provider.member}" for lost in found
                      if lost.provider],
        )  # fmt: skip


def _finding(analysis: Analysis, severity: Severity, found: dict[str, list[Lost]]) -> Finding:
    names = sorted(found)
    needers = list(dict.fromkeys(lost.needer for name in names for lost in found[name]))
    blocked = list(dict.fromkeys(root for name in names for lost in found[name] for root in lost.roots))
    packages = sorted({package for name in names if (package := _package(analysis, name))})
    remedy = None
    if packages:
        remedy = f"It comes from {listed(packages)}: depend on it, and name it as another target to audit both."
    elif analysis.scene.is_for_any_machine and severity is not Severity.ERROR:
        remedy = "Ship the library, or depend on the package that brings it and name that as another target."
    elif analysis.scene.from_machine.issuperset(names):
        remedy = "Install it on this machine: packages count on it."
    where = "neither in the targets nor on this machine"
    if analysis.scene.is_for_any_machine:
        where = "nowhere in the targets, and not among what may come from the machine"
    return RULE.finding(
        names[0],
        f"{listed(names)}, which {listed((item.name for item in needers), 3)} {verb(needers, 'needs', 'need')}, "
        f"{verb(names, 'is', 'are')} {where}: {listed((item.name for item in blocked), 3)} "
        f"{verb(blocked, 'does', 'do')} not load{' without' if packages else ''}.",
        needers,
        severity=severity,
        remedy=remedy,
        certainty=Certainty.CERTAIN
        if severity is Severity.ERROR or not analysis.scene.is_for_any_machine
        else Certainty.LIKELY,
        evidence=[f"{item.member} needs {name}" for name in names for item in needers if name in item.elf.needed],
    )


def _package(analysis: Analysis, name: str) -> str | None:
    """The package that is known to bring a library and is not audited: conda's, for wheels PyPI's."""
    providers = load_providers()
    known = providers.find(name) if analysis.scene.is_for_any_machine else None
    if not known or not known[1]:
        return None
    return known[1] if analysis.scene.is_conda else providers.wheels.get(known[1])


def _severity(analysis: Analysis, name: str, lost: list[Lost]) -> Severity:
    if analysis.scene.is_for_any_machine:
        if plain_soname(name) != name:
            return Severity.ERROR
        return Severity.NOTE if _package(analysis, name) else Severity.WARNING
    matters = any(_is_opened_for_sure(analysis, root) for each in lost for root in each.roots)
    return Severity.ERROR if matters else Severity.WARNING


def _is_opened_for_sure(analysis: Analysis, item: Object) -> bool:
    """Whether it is a program, a module that is imported, or a library that everybody can link to.

    Not if nothing loads it and its package has another one in its place.
    """
    return not analysis.is_spare(item) and (
        item.is_program
        or item.is_python_module
        or item.path in {f"{each}/lib/{item.name}" for each in analysis.scene.folders}
    )
