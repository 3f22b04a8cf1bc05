"""Two different libraries export the same symbols.

**Why it matters.** The dynamic linker binds a name to the first object in its search order that defines it (gABI,
chapter 5, "Shared Object Dependencies"). Nothing happens while the two libraries are loaded separately. Once a program
links to both, or one is loaded with `RTLD_GLOBAL`, calls meant for one of them go to the other.

Only strong symbols count: every object may have weak and unique ones, from templates and inline functions. Symbols
with different symbol versions do not clash. If both libraries are loaded together and calls are actually intercepted,
TC402 reports it instead. TC105 and TC401 cover Python modules.

**Seen in the wild.** `libreadline` and `libedit`; a reference `liblapack` beside OpenBLAS; two forks of one library
under different names.

**What to do.** Link to only one of them. If the second is a bundled copy, hide its exports
(`-fvisibility=hidden`, `-Wl,--exclude-libs,ALL`).

**False alarms.** Libraries designed to replace each other (allocators, stubs, tracing wrappers).
"""

from __future__ import annotations

from collections.abc import Iterator

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.exports import THRESHOLD, examples
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.objects import Object
from tt_conda.audit.rules import Rule

RULE = Rule(
    "TC104", "same-exports", Severity.NOTE,
    "Two different libraries export the same symbols.",
    "Link to only one of them, or hide the other one's exports.",
)  # fmt: skip


def check(analysis: Analysis) -> Iterator[Finding]:
    """One finding for each pair of libraries that no load lets clash already."""
    said = analysis.interposed
    for (one, other), names in analysis.same_exports.items():
        if not (_is_library(one) and _is_library(other)) or analysis.are_copies(one, other):
            continue
        if analysis.are_one_build(one, other) and sum(not name.startswith("_Z") for name in names) < THRESHOLD:
            continue
        if (one, other) in said or (other, one) in said or _one_runtime(analysis, one, other):
            continue
        evidence = [f"{item}: {len(item.strong):,} strong symbols" for item in (one, other)]
        evidence.append(examples(names))
        for first, second in ((one, other), (other, one)):
            if closure := analysis.together.get((first, second)):
                evidence.append(f"{first.name} wins over {second.name} in what {closure.loaded[0].object.member} loads")
        yield RULE.finding(
            f"{one.library} {other.library}",
            f"{one.name} and {other.name} export {len(names):,} of the same symbols.",
            [one, other], evidence=evidence,
        )  # fmt: skip


def _is_library(item: Object) -> bool:
    return not item.is_program and not item.is_module


def _one_runtime(analysis: Analysis, one: Object, other: Object) -> bool:
    first, second = analysis.runtime_of(one), analysis.runtime_of(other)
    return first is not None and second is not None and first.family == second.family
