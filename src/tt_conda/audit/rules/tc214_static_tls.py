"""A library's thread-local variables do not fit into the static TLS that is left for opened libraries.

**Why it matters.** Thread-local variables that are accessed in the initial-exec model lie at a fixed distance from the
thread pointer, in a block whose size is fixed when the process starts. For libraries that are opened later (`dlopen`,
`import`), glibc keeps 1,664 bytes in reserve, for all of them together. When it is used up, opening the next one ends
with `cannot allocate memory in static TLS block`. So it does at once for a variable aligned to more than 64 bytes.

**Seen in the wild.** `libgomp` and `libtcmalloc` opened after many others; jemalloc, unless it was built with
`--disable-initial-exec-tls`.

**Bad.** In a library that is opened:

    __thread char buffer[1700] __attribute__((tls_model("initial-exec")));

**Good.** The same without the attribute: the default model of shared libraries takes no static TLS.

**What to do.** Compile with `-ftls-model=global-dynamic`, or keep only a pointer in the variable. A program may link
the library, or preload it (`LD_PRELOAD`): what is there at start is not taken from the reserve.

**How it is checked.** The reserve is that of glibc 2.31 to 2.41 (rtld.optional_static_tls and rtld.nns at their
defaults), tried on three of them. An object takes its PT_TLS if one of its relocations, or one of an object loaded with
it, needs an offset into it (R_X86_64_TPOFF64, R_AARCH64_TLS_TPREL64).

**Severity.** An error if one opened object and its dependencies need more than the reserve. A note if only all opened
objects of the targets together do, or if the object has a `malloc` of its own and nothing depends on it: sanitizers and
allocators are linked to programs, or preloaded.

**False alarms.** A library that is only ever linked by programs or preloaded. A machine where the tunable
`glibc.rtld.optional_static_tls` is set higher.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.loader import Closure
from tt_conda.audit.machine import glibc_sonames
from tt_conda.audit.objects import Object
from tt_conda.audit.rules import Rule
from tt_conda.audit.words import listed, verb

RULE = Rule(
    "TC214", "static-tls", Severity.ERROR,
    "A library's thread-local variables do not fit into the static TLS left for opened libraries.",
    "Compile it with -ftls-model=global-dynamic, or link the library to the program.",
)  # fmt: skip

_RESERVE = 1664
"""Bytes (elf/dl-tls.c, _dl_tls_static_surplus_init; before 2.32 TLS_STATIC_SURPLUS), without what rounding adds."""
_ALIGNMENT = 64
"""Bytes: that of the thread control block, which fixes the alignment of the whole."""


def check(analysis: Analysis) -> Iterator[Finding]:
    """One finding for each set of objects that does not fit, and one for all together."""
    said: set[frozenset[Object]] = set()
    every: dict[Object, None] = {}
    at_start = analysis.host_objects
    for root in analysis.roots:
        if root.is_program or root.is_for_musl:
            continue
        closure = analysis.closure(root)
        takers = [item for item in _takers(closure) if item not in at_start and item.soname not in glibc_sonames()]
        every.update(dict.fromkeys(takers))
        total = _total(takers)
        coarse = [item for item in takers if item.elf.tls[1] > _ALIGNMENT]
        if (total <= _RESERVE and not coarse) or frozenset(takers) in said:
            continue
        said.add(frozenset(takers))
        need = (
            f"{listed((item.name for item in takers), 3)} {verb(takers, 'needs', 'need')} {total:,} bytes of static TLS"
        )
        why = f"and opened libraries get {_RESERVE:,}"
        if coarse:
            need += f" aligned to {max(item.elf.tls[1] for item in coarse):,}"
            why = f"and opened libraries get {_RESERVE:,}, aligned to {_ALIGNMENT}"
        preloaded = "malloc" in root.elf.symbols.defined
        yield RULE.finding(
            max(takers, key=lambda item: item.elf.tls[0]).library, f"{need}, {why}: {root.name} cannot be opened.",
            [*takers, *([root] if root not in takers else [])], evidence=_evidence(takers),
            severity=Severity.NOTE if preloaded else Severity.ERROR,
        )  # fmt: skip
    if not said and (total := _total(every)) > _RESERVE:
        yield RULE.finding(
            "all together", f"{len(every)} objects need {total:,} bytes of static TLS, and opened libraries get "
            f"{_RESERVE:,} in one process: not all of them can be opened in one.", every, severity=Severity.NOTE,
            remedy="Open few of them in one process, or raise glibc.rtld.optional_static_tls in GLIBC_TUNABLES.",
            evidence=_evidence(every),
        )  # fmt: skip


def _takers(closure: Closure) -> list[Object]:
    """The objects of a load whose thread-local variables must be in the static block."""
    objects = [loaded.object for loaded in closure.loaded]
    found: dict[Object, None] = {}
    for item in objects:
        for name in item.elf.symbols.static_tls:
            owner = item
            if name and name not in item.elf.symbols.defined:
                owner = next((each for each in objects if name in each.elf.symbols.defined), item)
            if owner.elf.tls[0]:
                found[owner] = None
    return list(found)


def _total(items: Iterable[Object]) -> int:
    """Bytes taken by blocks one after the other, each at its alignment (elf/dl-reloc.c)."""
    total = 0
    for item in items:
        size, alignment = item.elf.tls
        total = -(-(total + size) // alignment) * alignment
    return total


def _evidence(items: Iterable[Object]) -> list[str]:
    return [f"{item}: {item.elf.tls[0]:,} bytes, aligned to {item.elf.tls[1]}" for item in items]
