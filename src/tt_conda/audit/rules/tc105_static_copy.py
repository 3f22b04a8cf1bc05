"""A static library is embedded in several objects.

**Why it matters.** Each object carries its own copy of the code, and each copy its own global variables. A security
fix must reach all of them, and no package manager knows that they are there. Where their symbols are exported as
well, they can get into each other's way (TC401 says how).

The audit finds copies whose symbols are hidden, too. `assert`, error macros and logging compile the name of the source
file in, so a path of an implementation file (`.c`, `.cc`, `.cpp`, `.cu`) in two objects means that both contain its
code; some libraries keep a line with their version among their constants (`deflate 1.3.1 Copyright …`). Paths of
headers do not count, since inline functions and templates (Boost, fmt, pybind11, nlohmann-json) are compiled wherever
they are included; neither does generated code (Cython, protobuf messages), nor weak symbols.

How sure it is: **certain** where several objects export the library's symbols; **likely** where they name ten or more
of its sources, or carry its banner; **possible** below that.

**Seen in the wild.** `cyllama` has ggml in each of its extensions; `pyarrow` has OpenSSL in `libarrow`,
`libarrow_flight`, `libarrow_s3` and `libparquet`, and `psycopg2-binary` brings it as a library beside it.

**What to do.** Link to a shared library that is there once. If each object needs its own copy, hide its symbols; the
note then says what to update when the library has a flaw.

**False alarms.** Data that contains paths of sources, such as the list of kernels that a program compiles at run time.
"""

from __future__ import annotations

from collections.abc import Iterator

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.embedded import Embedded
from tt_conda.audit.exports import examples
from tt_conda.audit.finding import Certainty, Finding, Severity
from tt_conda.audit.rules import Rule

RULE = Rule(
    "TC105", "static-copy", Severity.NOTE,
    "A static library is embedded in several objects.",
    "Link to a shared library that is there once; if each needs its own copy, hide its symbols.",
)  # fmt: skip

_SURE = 10
"""Source files in common from which on it is likely."""


def check(analysis: Analysis) -> Iterator[Finding]:
    """One finding for each library."""
    for item in analysis.embedded:
        exporting = len(item.symbols) > 1
        sources = sorted((len(names) for names in item.sources.values()), reverse=True)
        sure = len(item.banners) > 1 or (len(sources) > 1 and sources[1] >= _SURE)
        certainty = Certainty.CERTAIN if exporting else Certainty.LIKELY if sure else Certainty.POSSIBLE
        objects = item.objects
        how = "which export its symbols" if exporting else "found by what its sources leave in the constants"
        yield RULE.finding(
            item.name, f"Code of {item.name} is in {len(objects)} objects, {how}.", objects,
            certainty=certainty, evidence=_evidence(item),
        )  # fmt: skip


def _evidence(item: Embedded) -> Iterator[str]:
    every = frozenset().union(*item.sources.values()) if item.sources else frozenset()
    for each in item.objects:
        facts = []
        if names := item.symbols.get(each):
            facts.append(f"exports {len(names):,} symbols that others export too: {examples(names)}")
        if tails := item.sources.get(each):
            shown = ", ".join(sorted(tails)[:3])
            facts.append(f"names {len(tails)} of the {len(every)} source files that several objects name: {shown}")
        if version := item.banners.get(each):
            facts.append(f"its banner says version {version}")
        yield f"{each}: {'; '.join(facts)}"
