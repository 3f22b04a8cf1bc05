"""A library's segments are not aligned to the pages of memory.

**Why it matters.** The linker maps each segment (PT_LOAD) from the file, which the kernel does in whole pages: address
and file offset must be equal modulo the page size. An object for which they are not fails with `ELF load command
address/offset not page-aligned`. Before glibc 2.35 the alignment that the header states (p_align) must be a multiple of
the page size as well, and hold: `ELF load command alignment not page-aligned`. Pages have 4 KiB on x86_64; on aarch64
they have 4, 16 or 64 KiB, as the kernel was configured.

**Seen in the wild.** scipy 0.19's libraries after `strip`; files rewritten by patchelf 0.18 and stripped later; numpy
1.19 for aarch64, linked for pages of 4 KiB.

**Bad.** `readelf -lW libx.so`: here the address and the offset differ by 0x...8.

    LOAD           0x0023e8 0x0000000000003e60 0x0000000000003e60 0x0001f8 0x000200 RW  0x1000

**Good.**

    LOAD           0x002e60 0x0000000000003e60 0x0000000000003e60 0x0001f8 0x000200 RW  0x1000

**What to do.** Build or fetch the file again: strip before patchelf, not after it, and use patchelf 0.19 or newer. For
aarch64, link with `-Wl,-z,max-page-size=65536`, binutils' default.

**Severity.** An error if no machine, or not each that the package promises, can load it. A warning if the oldest glibc
or the page size is not known from a promise.

**False alarms.** None known. Programs are left out where only p_align is wrong, as the kernel maps them; objects for
musl, whose linker rounds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.machine import Version
from tt_conda.audit.objects import Object
from tt_conda.audit.rules import Rule
from tt_conda.audit.words import listed, verb

RULE = Rule(
    "TC213", "page-alignment", Severity.ERROR,
    "A library's segments are not aligned to the pages of memory.",
    "Build or fetch it again: strip before patchelf, and use patchelf 0.19 or newer.",
)  # fmt: skip

_PAGES = {"x86_64": (4096,), "aarch64": (4096, 16384, 65536)}
"""Machine → the page sizes that kernels for it use, in bytes."""
_LENIENT = (2, 35)
"""The first glibc that ignores p_align (elf/dl-load.c, _dl_map_object_from_fd)."""


def check(analysis: Analysis) -> Iterator[Finding]:
    """One finding for each owner and reason."""
    promised = {each.owner: each.glibc for each in analysis.scene.baselines}
    groups: dict[tuple[str, tuple[str, Severity, str | None]], list[Object]] = defaultdict(list)
    for item in analysis.placed:
        if not item.is_for_musl and (fault := _fault(analysis, item, promised.get(item.owner))):
            groups[item.owner, fault].append(item)
    for (_, (effect, severity, remedy)), items in groups.items():
        yield RULE.finding(
            f"{items[0].library} alignment", f"{listed((item.name for item in items), 3)} "
            f"{verb(items, 'has', 'have')} segments that are not aligned: {effect}.", items,
            severity=severity, remedy=remedy, evidence=[line for item in items for line in _evidence(item)],
        )  # fmt: skip


def _fault(analysis: Analysis, item: Object, promised: Version | None) -> tuple[str, Severity, str | None] | None:
    """The effect of a fault, how bad it is, and what to do; None without one."""
    loads = item.elf.loads
    sizes = _PAGES.get(item.elf.machine, (4096,))
    failing = [size for size in sizes if any((s.address - s.offset) % size for s in loads)]
    if len(failing) == len(sizes):
        return "no machine can load it", Severity.ERROR, None
    is_promise = promised is not None or item.owner in analysis.scene.declarations
    if failing:
        kib = listed(f"{size // 1024}" for size in failing)
        return (
            f"machines with pages of {kib} KiB cannot load it",
            Severity.ERROR if is_promise else Severity.WARNING,
            "Link it with -Wl,-z,max-page-size=65536.",
        )
    if item.is_program:
        return None
    strict = [
        s for s in loads
        if s.alignment % sizes[0] or not s.alignment or (s.address - s.offset) % s.alignment
    ]  # fmt: skip
    if not strict or (promised is not None and promised >= _LENIENT):
        return None
    if promised is None and (analysis.scene.kind == "installed" or not analysis.scene.folders):
        return None  # it is loaded by the glibc that is there
    severity = Severity.ERROR if promised is not None else Severity.WARNING
    return "glibc before 2.35 cannot load it", severity, None


def _evidence(item: Object) -> Iterator[str]:
    for s in item.elf.loads:
        yield f"{item.member}: offset {s.offset:#x}, address {s.address:#x}, alignment {s.alignment:#x}"
