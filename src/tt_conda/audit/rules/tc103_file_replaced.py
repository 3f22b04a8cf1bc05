"""Two packages put different objects at one path.

**Why it matters.** The one that is installed last wins, and the other package then runs with a library that it was
not built with. Removing either one deletes the file for both. conda says that a path is clobbered and goes on; pip
says nothing at all.

**Seen in the wild.** `opencv-python` and `opencv-python-headless` both install `cv2/cv2.abi3.so`;
`psycopg2` and `psycopg2-binary` both install `psycopg2/_psycopg…so`.

**What to do.** Install one of the two. If both packages are yours, move the file into a third one that both depend on.

**False alarms.** None known: equal content at one path is not reported.
"""

from __future__ import annotations

from collections.abc import Iterator

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.rules import Rule

RULE = Rule(
    "TC103", "file-replaced", Severity.WARNING,
    "Two packages put different objects at one path.",
    "Install one of the two, or let both depend on a package that has the file.",
)  # fmt: skip


def check(analysis: Analysis) -> Iterator[Finding]:
    """One finding for each path and pair of owners."""
    for before, after in analysis.scene.replaced:
        if before.identity != after.identity:
            yield RULE.finding(
                after.member,
                f"{after.owner} replaces {before.name}, which {before.owner} put at the same path, by another one.",
                [after, before], bytes=before.size,
                evidence=[f"{item}: {item.size:,} bytes, build-id {item.elf.build_id}" for item in (before, after)],
            )  # fmt: skip
