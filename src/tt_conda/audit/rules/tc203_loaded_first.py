"""A library is found only if another object was loaded first.

**Why it matters.** The dynamic linker reuses a loaded library with the needed soname, wherever it came from. An object
whose own search path does not lead to its dependencies therefore works after one `import` and fails after another, and
it gets whichever copy came first.

**Seen in the wild.** ttnn-shutov 0.65.0: `ttnn/__init__.py` opens nine libraries in order with `dlopen`, because the
OpenMPI in the wheel does not find its own parts. PyTorch extensions that rely on `import torch`.

**How it is checked.** The load is simulated after whatever has the missing libraries. The finding names what has to be
loaded first only if the object then loads; otherwise it says why not, and TC208, TC301 and TC302 compare versions,
symbols and C++ types with the libraries that it names.

**Example.** Bad: `ext/ext.so` needs `libcore.so`, which is in `core/`, and has no search path; it works after
`import core`, unless `libcore.so` lacks a function that it calls. Good: the same with the RUNPATH `$ORIGIN/../core`.

**What to do.** Give the object a search path to the library: `$ORIGIN/…` in a wheel, `$ORIGIN/../lib` in an
environment. If it must rely on an import, make that import in the package's `__init__`, before the extension is loaded.

**False alarms.** The package's own `__init__` loads the libraries in the right order; the audit does not run it. Then
it works unless the extension is opened in another way.
"""

from __future__ import annotations

from collections.abc import Iterator

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.lost import Lost, search_paths
from tt_conda.audit.rules import Rule
from tt_conda.audit.words import listed, plain_owner, verb

RULE = Rule(
    "TC203", "loaded-first", Severity.WARNING,
    "A library is found only if another object was loaded first.",
    "Give the object a search path to the library, relative to $ORIGIN.",
)  # fmt: skip


def check(analysis: Analysis) -> Iterator[Finding]:
    """Say what is in the targets but not where it is looked for, by who needs it of whom."""
    groups: dict[tuple[str, str], list[Lost]] = {}
    for lost in analysis.lost:
        if lost.reason == "loaded first" and lost.provider:
            groups.setdefault((lost.needer.owner, lost.provider.owner), []).append(lost)
    for (owner, provider), found in groups.items():
        needers = list(dict.fromkeys(lost.needer for lost in found))
        names = sorted({lost.name for lost in found})
        yield RULE.finding(
            plain_owner(provider),
            f"{listed((item.name for item in needers), 3)} of {owner} {verb(needers, 'needs', 'need')} "
            f"{listed(names)}, which {'it' if owner == provider else provider} has in a folder that is not searched; "
            f"{_outcome(analysis, found)}.",
            needers,
            remedy=f"Give {verb(needers, 'it', 'them')} a search path to that folder: "
            f"patchelf --set-rpath '{':'.join(search_paths(found))}'."
            if len({lost.needer.path.rpartition('/')[0] for lost in found}) == 1 else None,
            evidence=[f"{lost.needer.member} needs {lost.name}, which is {lost.provider.member}" for lost in found
                      if lost.provider],
        )  # fmt: skip


def _outcome(analysis: Analysis, found: list[Lost]) -> str:
    """What comes of it if the libraries are loaded first, as simulated: the worst case of what needs them."""
    works = ""
    for root in dict.fromkeys(root for lost in found for root in lost.roots):
        ready = analysis.prepared(root)
        before = listed((item.member for item in ready.first), 3)
        if why := analysis.failure(ready.closure):
            return f"{root.name} does not load even after {before}: {why}"
        works = works or f"{root.name} works after {before}"
    return works
