"""A shared object or archive cannot be read.

**Why it matters.** The dynamic linker rejects such a file too, and everything that needs it fails to start. The rest of
the target is still audited.

**Seen in the wild.** A truncated download. A Git LFS pointer packaged instead of the library. An empty `.so` left by a
full disk.

A library that a process has mapped, but that was replaced or deleted since (an upgrade under a running process), is a
warning: the process still runs the old file, what it opens from now on is new, and the two may not fit.

**What to do.** Restart a process whose files were replaced. Otherwise download or build the file again. If the file is
data that only looks like a library, ignore the rule for this path, with a reason, in the configuration file.

**False alarms.** Deliberately damaged files in test suites.
"""

from __future__ import annotations

from collections.abc import Iterator

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.finding import Finding, Place, Severity
from tt_conda.audit.rules import Rule

RULE = Rule(
    "TC901", "unreadable-file", Severity.ERROR,
    "A shared object or archive cannot be read.",
    "Download or build it again.",
)  # fmt: skip


def check(analysis: Analysis) -> Iterator[Finding]:
    """Say what could not be read and why."""
    for item in analysis.scene.unreadable:
        place = Place(owner=item.owner, path=item.member)
        severity = Severity.WARNING if item.is_in_use else None
        yield RULE.finding(
            item.member.rpartition("/")[2], f"{item.member}: {item.why}", [place],
            remedy=item.way_out or None, severity=severity,
        )  # fmt: skip
