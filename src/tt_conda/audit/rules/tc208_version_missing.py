"""A library is found but lacks a required symbol version.

**Why it matters.** Before looking up any symbol, the dynamic linker compares the versions required by an object with
those defined by the library, and refuses: ``version `GLIBCXX_3.4.31' not found (required by …)``. The library found is
older than the one used at link time, or a different build of it.

**Seen in the wild.** A conda environment whose `libstdc++.so.6` is older than a package's compiler. An
`LD_LIBRARY_PATH` or RPATH that finds the machine's `libstdc++.so.6` before the environment's.

**What to do.** Put the newer library first, or build against the older one. For glibc, build on an older system or
against an older sysroot.

**False alarms.** None known. For wheels and packages that are not installed, the machine's libraries are not compared:
see TC303.
"""

from __future__ import annotations

from collections.abc import Iterator

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.objects import Object
from tt_conda.audit.rules import Rule
from tt_conda.audit.words import listed

RULE = Rule(
    "TC208", "version-missing", Severity.ERROR,
    "A library is found but lacks a required symbol version.",
    "Provide the newer library, or build against the older one.",
)  # fmt: skip


def check(analysis: Analysis) -> Iterator[Finding]:
    """Say which versions the libraries that are found lack."""
    groups: dict[tuple[Object, str, Object | None], list[str]] = {}
    roots: dict[Object, list[Object]] = {}
    for root in analysis.roots:
        for each in analysis.missing_versions(analysis.prepared(root).closure):
            provider = each.provider.object if each.provider else None
            versions = groups.setdefault((each.needer.object, each.library, provider), [])
            roots.setdefault(each.needer.object, []).append(root)
            if each.version not in versions:
                versions.append(each.version)
    for (needer, library, provider), versions in groups.items():
        if provider is None:
            yield RULE.finding(
                library,
                f"{needer.name} needs versions of {library}, which none of its NEEDED entries brings in: the dynamic "
                "linker stops with a failed assertion.",
                [needer],
                remedy="NEEDED was changed without the version table: use patchelf 0.18 or newer, or relink.",
                evidence=versions,
            )
            continue
        yield RULE.finding(
            library,
            f"{needer.name} needs {listed(versions)} of {library}, which {provider} does not define.",
            [needer, provider],
            severity=Severity.WARNING if all(map(analysis.is_spare, roots[needer])) else None,
            evidence=[f"{provider.member} defines up to {provider.elf.version_gives[-1]}"],
        )
