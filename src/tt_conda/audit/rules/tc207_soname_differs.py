"""A library's file name differs from its soname.

**Why it matters.** The linker writes a library's soname into each object linked to it, and the dynamic linker looks for
a *file* of that name. If the file has another name, and no symlink has the soname's, the library is not found although
it is in the right folder.

**Seen in the wild.** Libraries copied or renamed without their symlinks (`libfoo.so.1.2.3` without `libfoo.so.1`):
zip archives, and so wheels, cannot hold links.

**What to do.** Name the file after its soname, or set the soname to the file's name and update the objects that need it
(`patchelf --set-soname`, `--replace-needed`).

**False alarms.** None known: a differing name that no object needs is not reported.
"""

from __future__ import annotations

from collections.abc import Iterator

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.lost import Lost
from tt_conda.audit.objects import Object
from tt_conda.audit.rules import Rule
from tt_conda.audit.words import listed, verb

RULE = Rule(
    "TC207", "soname-differs", Severity.ERROR,
    "A library's file name differs from its soname.",
    "Name the file after its soname.",
)  # fmt: skip


def check(analysis: Analysis) -> Iterator[Finding]:
    """Say which libraries lie in a folder that is searched, under another name than their soname."""
    groups: dict[Object, list[Lost]] = {}
    for lost in analysis.lost:
        if lost.reason == "file name" and lost.provider:
            groups.setdefault(lost.provider, []).append(lost)
    for provider, found in groups.items():
        needers = list(dict.fromkeys(lost.needer for lost in found))
        yield RULE.finding(
            provider.soname,
            f"{listed((item.name for item in needers), 3)} {verb(needers, 'needs', 'need')} {provider.soname}; "
            f"the searched folder has it only as {provider.name}, so it is not found.",
            [provider, *needers],
            remedy=f"Rename the file to {provider.soname}, or add a symlink of that name.",
        )
