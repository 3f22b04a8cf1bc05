"""Two packages install different objects at the same path.

**Why it matters.** The package installed last wins, and the other one then runs with a library that it was not built
with. Removing either package deletes the file for both. conda prints a clobber warning and continues; pip prints
nothing.

**Seen in the wild.** `opencv-python` and `opencv-python-headless` both install `cv2/cv2.abi3.so`;
`psycopg2` and `psycopg2-binary` both install `psycopg2/_psycopg…so`.

**What to do.** Install only one of the two. If both packages are yours, move the file to a third package and depend on
it.

**False alarms.** None known: identical content at one path is not reported.
"""

from __future__ import annotations

from collections.abc import Iterator

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.rules import Rule

RULE = Rule(
    "TC103", "file-replaced", Severity.WARNING,
    "Two packages install different objects at the same path.",
    "Install only one of the two, or make both depend on a package with the file.",
)  # fmt: skip


def check(analysis: Analysis) -> Iterator[Finding]:
    """One finding for each path and pair of owners."""
    for before, after in analysis.scene.replaced:
        if before.identity != after.identity:
            yield RULE.finding(
                after.member,
                f"{after.owner} overwrites {before.name} of {before.owner} with a different file at the same path.",
                [after, before], bytes=before.size,
                evidence=[f"{item}: {item.size:,} bytes, build-id {item.elf.build_id}" for item in (before, after)],
            )  # fmt: skip
