"""A static library is linked into several objects.

**Why it matters.** Each object contains its own copy of the code, with its own global variables. A security fix must
reach every copy, and no package manager knows about them. If the copies' symbols are also exported, they can interfere
with each other (TC401).

The audit also finds copies with hidden symbols. `assert`, error macros and logging embed the name of the source file,
so the path of an implementation file (`.c`, `.cc`, `.cpp`, `.cu`) in two objects means that both contain its code.
Some libraries also embed a version string (`deflate 1.3.1 Copyright …`). Header paths do not count, since inline
functions and templates (Boost, fmt, pybind11, nlohmann-json) are compiled wherever they are included. Generated code
(Cython, protobuf messages) and weak symbols do not count either.

Certainty: **certain** if several objects export the library's symbols; **likely** if they name ten or more of its
source files, or contain its version string; **possible** otherwise.

**Seen in the wild.** `cyllama` has ggml in each of its extensions; `pyarrow` has OpenSSL in `libarrow`,
`libarrow_flight`, `libarrow_s3` and `libparquet`, and `psycopg2-binary` ships it as a shared library besides.

**What to do.** Link to one shared library. If each object needs its own copy, hide its symbols; the note then lists the
objects to update when the library has a vulnerability.

**False alarms.** Data that contains source paths, such as a list of kernels that a program compiles at run time.
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
    "A static library is linked into several objects.",
    "Link to one shared library; if each object needs its own copy, hide its symbols.",
)  # fmt: skip

_SURE = 10
"""Number of common source files that makes a finding likely."""


def check(analysis: Analysis) -> Iterator[Finding]:
    """One finding for each library."""
    for item in analysis.embedded:
        exporting = len(item.symbols) > 1
        sources = sorted((len(names) for names in item.sources.values()), reverse=True)
        sure = len(item.banners) > 1 or (len(sources) > 1 and sources[1] >= _SURE)
        certainty = Certainty.CERTAIN if exporting else Certainty.LIKELY if sure else Certainty.POSSIBLE
        objects = item.objects
        how = "which export its symbols" if exporting else "identified by strings from its sources"
        yield RULE.finding(
            item.name, f"Code of {item.name} is in {len(objects)} objects, {how}.", objects,
            certainty=certainty, evidence=_evidence(item),
        )  # fmt: skip


def _evidence(item: Embedded) -> Iterator[str]:
    every = frozenset().union(*item.sources.values()) if item.sources else frozenset()
    for each in item.objects:
        facts = []
        if names := item.symbols.get(each):
            facts.append(f"exports {len(names):,} symbols also exported by others: {examples(names)}")
        if tails := item.sources.get(each):
            shown = ", ".join(sorted(tails)[:3])
            facts.append(f"names {len(tails)} of the {len(every)} source files named by several objects: {shown}")
        if version := item.banners.get(each):
            facts.append(f"its version string says {version}")
        yield f"{each}: {'; '.join(facts)}"
