"""An object intercepts symbols that another one defines and uses itself.

**Why it matters.** A shared object compiled with default visibility calls its own exported functions, and reads its own
exported variables, by name. The linker binds the name to the first object that defines it, in load order: the program,
then its libraries, breadth first (ld.so(8), dlopen(3)). The second library then runs the first one's code on its own
data. If the two are different versions, their structures differ and memory is corrupted; if they are equal, half of the
second copy's state is the first copy's.

For two different objects of one package, which come from one build, it is a note, and only C names count.

A symbol counts if it is strong, both objects define it, and the second object's relocations refer to it. It does not
count if the second object protects it (`-Bsymbolic`, `STV_PROTECTED`, `-fno-semantic-interposition` at compile time),
if its symbol versions differ, if it is a program's copy of a library's variable (copy relocation), or if it is weak or
unique (templates and inline functions, which are meant to be merged).

**Seen in the wild.** Two copies of `libtt_metal` in one closure. A module with a static OpenSSL, linked to a library
that needs `libssl.so.3` (as in psycopg/psycopg2#543).

**What to do.** Have one definition: link both to the same shared library. If the second must keep its own, hide it
(`-fvisibility=hidden`, a version script) or bind it (`-Wl,-Bsymbolic`).

**False alarms.** Libraries that interpose on purpose: allocators, sanitizers, tracing.
"""

from __future__ import annotations

from collections.abc import Iterator

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.exports import examples, families
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.rules import Rule

RULE = Rule(
    "TC402", "interposition", Severity.WARNING,
    "An object intercepts symbols that another one defines and uses itself.",
    "Link both to one definition, or hide the second one (`-fvisibility=hidden`, `-Wl,-Bsymbolic`).",
)  # fmt: skip


def check(analysis: Analysis) -> Iterator[Finding]:
    """One finding for each pair of objects."""
    pairs = analysis.interposed
    for (first, second), item in pairs.items():
        reverse = pairs.get((second, first))
        if reverse and len(reverse.names) > len(item.names):
            continue
        if reverse and len(reverse.names) == len(item.names) and first.path > second.path:
            continue
        start = item.closure.loaded[0].object
        evidence = [f"when {start.member} is loaded, {first.name} comes before {second.name}"]
        if reverse:
            evidence.append(f"when {reverse.closure.loaded[0].object.member} is loaded, it is the other way round")
        evidence += [
            f"{len(names):,} of {name}: {examples(names)}" if name else f"{len(names):,}: {examples(names)}"
            for name, names in list(families(item.names).items())[:5]
        ]
        yield RULE.finding(
            f"{first.library} {second.library}",
            f"{first.name} intercepts {len(item.names):,} symbols that {second.name} defines and uses itself.",
            [second, first], evidence=evidence,
            severity=Severity.NOTE if analysis.are_one_build(first, second) else Severity.WARNING,
        )  # fmt: skip
