"""A library with a hash in its name is needed by another package than the one that vendors it.

**Why it matters.** auditwheel puts eight digits of a library's hash into its soname, so that nobody else finds it. Who
links to that name is bound to one build of the other package: the next release has another hash, and the library is
missing.

**Seen in the wild.** Extensions that were linked against the repaired wheel of ttnn or torch instead of its build tree
(`libtt_metal-f5848393.so`).

**What to do.** Link against the library under its plain soname, and let auditwheel leave it out
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
    "A library with a hash in its name is needed by another package than the one that vendors it.",
    "Link to its plain soname, and leave it out when auditwheel repairs the wheel (--exclude).",
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
            f"a copy that {provider.owner} vendors under a name which its next build will not have.",
            [*needers, provider],
        )
