"""A file that should be a shared object, or an archive, cannot be read.

**Why it matters.** The dynamic linker refuses such a file too, and whatever needs it fails to start. Everything else
of the target is still audited.

**Seen in the wild.** A download that was cut off; a Git LFS pointer that was packed in place of the library; a `.so`
that a full disk left empty.

**What to do.** Fetch or build it again. If the file is data that only looks like a library, ignore the rule for this
path, with the reason, in the configuration file.

**False alarms.** Deliberately damaged files in test suites.
"""

from __future__ import annotations

from collections.abc import Iterator

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.finding import Finding, Place, Severity
from tt_conda.audit.rules import Rule

RULE = Rule(
    "TC901", "unreadable-file", Severity.ERROR,
    "A file that should be a shared object or an archive cannot be read.",
    "Fetch or build it again.",
)  # fmt: skip


def check(analysis: Analysis) -> Iterator[Finding]:
    """Say what could not be read and why."""
    for item in analysis.scene.unreadable:
        place = Place(owner=item.owner, path=item.member)
        yield RULE.finding(item.member.rpartition("/")[2], f"{item.member}: {item.why}", [place])
