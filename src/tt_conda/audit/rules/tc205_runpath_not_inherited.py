"""A library is missed because a RUNPATH serves only the object that has it.

**Why it matters.** A DT_RPATH is also searched for what the libraries need that it found; a DT_RUNPATH is not
(ld.so(8)). Linkers write RUNPATH by default (`--enable-new-dtags`), so a program or module that worked with RPATH stops
finding the dependencies of its dependencies.

**Seen in the wild.** ttnn-shutov 0.65.0: `libtt_metal.so` has the RUNPATH `…:$ORIGIN` and finds `libmpi.so.40` by it;
`libmpi.so.40` has no search path, and does not find `libopen-pal.so.80` in the same folder.

**What to do.** Give the library that needs it a search path of its own (`$ORIGIN`): that is right with both tags. Or
link with `-Wl,--disable-new-dtags`.

**Severity.** An error where a program does not start because of it: before that, nothing can have loaded the library.

**False alarms.** Something opens the missed library before, by its path; see TC203.
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
    "A library is missed because a RUNPATH serves only the object that has it.",
    "Give the library that needs it a search path of its own: patchelf --set-rpath '$ORIGIN'.",
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
            f"of {via.name}, which would lead there, is not used for what {needer.name} needs; "
            f"{listed((item.name for item in blocked), 3)} "
            f"{verb(blocked, 'does', 'do')} not load by itself.",
            [needer, via],
            severity=Severity.ERROR if any(item.is_program for item in blocked) else None,
            remedy=f"Give {needer.name} a search path of its own: "
            f"patchelf --set-rpath '{':'.join(search_paths(found))}'.",
            evidence=[f"RUNPATH {via.elf.runpath} of {via.member}",
                      *(f"{lost.name} is {lost.provider.member}" for lost in found if lost.provider)],
        )  # fmt: skip
