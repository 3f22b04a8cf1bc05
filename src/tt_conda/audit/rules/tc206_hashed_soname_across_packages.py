"""A package links to another package's vendored library by its hashed name.

**Why it matters.** auditwheel adds eight digits of a library's hash to its soname to keep the library private. An
object that links to that name works with only one build of the other package: in the next release the hash changes, and
the library is missing.

**Seen in the wild.** Extensions linked against the repaired wheel of ttnn or torch instead of its build tree
(`libtt_metal-f5848393.so`).

**What to do.** Link to the library under its plain soname, and exclude it from the repair
(`auditwheel repair --exclude`).

**False alarms.** Two wheels that are always released together and pin each other exactly.
"""

from __future__ import annotations

from collections.abc import Iterator

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.objects import Object
from tt_conda.audit.rules import Rule
from tt_conda.audit.words import listed, verb
from tt_conda.elf import plain_soname

RULE = Rule(
    "TC206", "hashed-soname-across-packages", Severity.WARNING,
    "A package links to another package's vendored library by its hashed name.",
    "Link to its plain soname, and exclude it from the repair (auditwheel repair --exclude).",
)  # fmt: skip


def check(analysis: Analysis) -> Iterator[Finding]:
    """Say which hashed names are needed across owners."""
    groups: dict[tuple[str, str], list[tuple[Object, Object]]] = {}
    for item in analysis.scene:
        for name in item.elf.needed:
            if plain_soname(name) == name:
                continue
            providers = analysis.files.named(name)
            if providers and all(provider.owner != item.owner for provider in providers):
                groups.setdefault((name, item.owner), []).append((item, providers[0]))
    for (name, owner), found in groups.items():
        provider = found[0][1]
        needers = [item for item, _ in found]
        yield RULE.finding(
            name,
            f"{listed((item.name for item in needers), 3)} of {owner} {verb(needers, 'needs', 'need')} {name}, "
            f"a copy vendored by {provider.owner} under a name that changes with its next build.",
            [*needers, provider],
        )
