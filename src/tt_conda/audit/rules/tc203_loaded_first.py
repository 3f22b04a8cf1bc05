"""A library is found only because something else happened to be loaded before.

**Why it matters.** The dynamic linker uses a library again that has the needed soname, wherever it came from. An object
whose own search path does not lead to what it needs therefore works after one `import` and fails after another, and it
gets whichever copy came first.

**Seen in the wild.** ttnn-shutov 0.65.0: `ttnn/__init__.py` opens nine libraries in order with `dlopen`, because the
OpenMPI in the wheel does not find its own parts. Extensions of PyTorch that rely on `import torch`.

**What to do.** Give the object a search path that leads there: `$ORIGIN/…` in a wheel, `$ORIGIN/../lib` in an
environment. If it must rely on an import, let the package's `__init__` make it before the extension is loaded.

**False alarms.** The package's own `__init__` sees to the order; the audit does not run it. Then it works, as long as
nobody opens the extension in another way.
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
    "A library is found only because something else happened to be loaded before.",
    "Give the object a search path, relative to $ORIGIN, that leads to the library.",
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
            f"{listed(names)}, which {'it' if owner == provider else provider} has in a folder that is not searched: "
            f"loading works only after something else has loaded {verb(names, 'it', 'them')}.",
            needers,
            remedy=f"Give {verb(needers, 'it', 'them')} a search path that leads there: "
            f"patchelf --set-rpath '{':'.join(search_paths(found))}'."
            if len({lost.needer.path.rpartition('/')[0] for lost in found}) == 1 else None,
            evidence=[f"{lost.needer.member} needs {lost.name}, which is {lost.provider.member}" for lost in found
                      if lost.provider],
        )  # fmt: skip
