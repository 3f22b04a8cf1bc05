"""A library is not found because RUNPATH does not apply to indirect dependencies.

**Why it matters.** A DT_RPATH is also searched for the dependencies of the libraries found through it; a DT_RUNPATH is
not (ld.so(8)). Linkers write RUNPATH by default (`--enable-new-dtags`), so a program or module that worked with RPATH
no longer finds the dependencies of its dependencies.

**Seen in the wild.** ttnn-shutov 0.65.0: `libtt_metal.so` finds `libmpi.so.40` through its RUNPATH `…:$ORIGIN`.
`libmpi.so.40` has no search path, and does not find `libopen-pal.so.80` in the same folder.

**What to do.** Give the library with the missing dependency its own search path (`$ORIGIN`); that works with both tags.
Or link with `-Wl,--disable-new-dtags`.

**Severity.** An error if it keeps a program from starting, since nothing can have loaded the library before that.

**False alarms.** Some code opens the missing library by path first; see TC203.
"""

from __future__ import annotations

from collections.abc import Iterator

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.lost import Lost, search_paths
from tt_conda.audit.objects import Object
from tt_conda.audit.rules import Rule
from tt_conda.audit.words import listed, verb

RULE = Rule(
    "TC205", "runpath-not-inherited", Severity.WARNING,
    "A library is not found because RUNPATH does not apply to indirect dependencies.",
    "Give the library with the missing dependency its own search path: patchelf --set-rpath '$ORIGIN'.",
)  # fmt: skip


def check(analysis: Analysis) -> Iterator[Finding]:
    """Say which libraries would be found if the RUNPATH of what loads their needer were an RPATH."""
    groups: dict[tuple[Object, Object], list[Lost]] = {}
    for lost in analysis.lost:
        if lost.reason == "runpath" and lost.via:
            groups.setdefault((lost.needer, lost.via), []).append(lost)
    for (needer, via), found in groups.items():
        names = sorted({lost.name for lost in found})
        blocked = list(dict.fromkeys(root for lost in found for root in lost.roots))
        yield RULE.finding(
            needer.soname,
            f"{needer.name} needs {listed(names)} and does not find {'it' if len(names) == 1 else 'them'}: the RUNPATH "
            f"of {via.name} leads there but does not apply to the dependencies of {needer.name}; "
            f"{listed((item.name for item in blocked), 3)} "
            f"{verb(blocked, 'does', 'do')} not load by itself.",
            [needer, via],
            severity=Severity.ERROR if any(item.is_program for item in blocked) else None,
            remedy=f"Give {needer.name} its own search path: "
            f"patchelf --set-rpath '{':'.join(search_paths(found))}'.",
            evidence=[f"RUNPATH {via.elf.runpath} of {via.member}",
                      *(f"{lost.name} is {lost.provider.member}" for lost in found if lost.provider)],
        )  # fmt: skip
