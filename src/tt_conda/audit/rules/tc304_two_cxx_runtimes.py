"""Two C++ runtimes are loaded together.

**Why it matters.** libstdc++ and libc++ have different types under the same source names, and each has its own
exception and stream state. They can coexist as long as only C functions are called across. An object that passes a
`std::string`, or a class that contains one, to an object of the other kind corrupts memory, or does not load (TC302).
Two copies of one runtime share symbol names, so parts of one use parts of the other.

**Seen in the wild.** pytorch/TensorRT#4592, isl-org/Open3D#1757: crashes in `std::` code after importing two libraries
with their own runtimes.

**What to do.** Compile objects that call each other with the same standard library. Do not ship a runtime that other
packages also bring.

**How it is checked.** An error if an object takes C++ symbols (other than the runtimes' own) from an object compiled
with the other library; otherwise a note.

**False alarms.** C++ interfaces that pass no standard library types, neither as arguments nor inside a class.
"""

from __future__ import annotations

from collections.abc import Iterator

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.finding import Certainty, Finding, Severity
from tt_conda.audit.flavour import RUNTIMES, Flavour, flavour_of
from tt_conda.audit.objects import Object
from tt_conda.audit.rules import Rule
from tt_conda.audit.words import listed
from tt_conda.elf.demangle import demangle, namespace_of

RULE = Rule(
    "TC304", "two-cxx-runtimes", Severity.NOTE,
    "Two C++ runtimes are loaded together.",
    "Compile objects that call each other with the same C++ standard library.",
)  # fmt: skip

_RUNTIMES_OWN = frozenset({"std", "__gnu_cxx", "__cxxabiv1"})


def check(analysis: Analysis) -> Iterator[Finding]:
    """Say where two runtimes meet in one closure, and whether C++ is called across."""
    together: dict[frozenset[Object], list[Object]] = {}
    for root in analysis.roots:
        runtimes = frozenset(
            item.object for item in analysis.closure(root).loaded if item.object.library in RUNTIMES
        ) | (frozenset() if root.is_program else frozenset(o for o in analysis.host_objects if o.library in RUNTIMES))
        if len(runtimes) > 1:
            together.setdefault(runtimes, []).append(root)
    flavours: dict[Object, Flavour | None] = {}
    for runtimes, roots in together.items():
        names = sorted({item.soname for item in runtimes})
        crossing: dict[tuple[Object, Object], frozenset[str]] = {}
        for root in roots:
            objects = [item.object for item in analysis.closure(root).loaded if item.object.library not in RUNTIMES]
            for item in objects:
                flavours.setdefault(item, flavour_of(item))
            for taker in objects:
                for giver in objects:
                    if {flavours[taker], flavours[giver]} == {"libc++", "libstdc++"} and (taker, giver) not in crossing:
                        crossing[taker, giver] = _cxx(taker, giver)
        crossing = {pair: found for pair, found in crossing.items() if found}
        if not crossing:
            severity = Severity.NOTE if len({item.library for item in runtimes}) > 1 else Severity.WARNING
            yield RULE.finding(
                " ".join(names),
                f"{listed((root.name for root in roots), 3)} brings in {listed(names)} together; no C++ calls "
                "between objects of the two kinds.",
                [*roots, *sorted(runtimes, key=lambda item: item.path)],
                severity=severity,
                evidence=[item.path for item in sorted(runtimes, key=lambda item: item.path)],
            )
        for (taker, giver), found in crossing.items():
            texts = sorted(demangle(name) for name in found)
            yield RULE.finding(
                f"{taker.soname} {giver.soname}",
                f"{taker.name}, compiled with {flavours[taker]}, calls C++ functions of {giver.name}, compiled with "
                f"{flavours[giver]}: {listed(texts, 3)}.",
                [taker, giver],
                severity=Severity.ERROR,
                certainty=Certainty.LIKELY,
                evidence=texts[:50],
            )


def _cxx(taker: Object, giver: Object) -> frozenset[str]:
    """The C++ symbols that one object takes from another, except the runtimes' own."""
    shared = taker.elf.symbols.undefined & giver.elf.symbols.defined
    return frozenset(name for name in shared if name.startswith("_Z") and namespace_of(name) not in _RUNTIMES_OWN)
