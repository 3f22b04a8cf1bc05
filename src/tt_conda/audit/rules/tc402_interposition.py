"""In one search order, an object takes over symbols that another one defines and uses itself.

**Why it matters.** A shared object that is compiled with default visibility calls its own exported functions, and
reads its own exported variables, by name. The linker gives the name to the first object that defines it, in the order
of loading: the program, then what was loaded, breadth first (ld.so(8), dlopen(3)). So the second library runs the
first one's code on its own data. If the two are different versions, structures differ and memory is corrupted; if
they are equal, half of the second copy's state is the first copy's.

Two different objects of one package, which come from one build, make it a note, and only names of C count there.

Counted are strong symbols that both define and that the second object's relocations name. What the second one
protects (`-Bsymbolic`, `STV_PROTECTED`, `-fno-semantic-interposition` at compile time), what differs in its symbol
version, the place that a program keeps for a library's variable (copy relocations), and weak or unique symbols
(templates, inline functions, which are meant to be merged) do not count.

**Seen in the wild.** Two copies of `libtt_metal` in one closure; a module with a static OpenSSL, linked to a library
that needs `libssl.so.3` (psycopg/psycopg2#543 was of this kind).

**What to do.** Have one definition: link both to the same shared library. Where the second must keep its own, hide it
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
    "An object takes over symbols that another one defines and uses itself.",
    "Have one definition that both link to, or hide the second one (`-fvisibility=hidden`, `-Wl,-Bsymbolic`).",
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
        evidence = [f"in what {start.member} loads, {first.name} comes before {second.name}"]
        if reverse:
            evidence.append(f"in what {reverse.closure.loaded[0].object.member} loads, it is the other way round")
        evidence += [
            f"{len(names):,} of {name}: {examples(names)}" if name else f"{len(names):,}: {examples(names)}"
            for name, names in list(families(item.names).items())[:5]
        ]
        yield RULE.finding(
            f"{first.library} {second.library}",
            f"{first.name} takes over {len(item.names):,} symbols that {second.name} defines and uses itself.",
            [second, first], evidence=evidence,
            severity=Severity.NOTE if analysis.are_one_build(first, second) else Severity.WARNING,
        )  # fmt: skip
