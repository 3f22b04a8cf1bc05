"""The same library is there more than once.

**Why it matters.** Each copy costs its size on every machine. When two of them get into one process, which takes no
more than two packages that each bring their own, there are two sets of the library's global variables: two device
registries, two thread pools, two memory caches, and a handle that one copy made means nothing to the other.

Copies are told by their soname with auditwheel's hash undone (`libdevice-79b22e8e.so` is `libdevice.so`), where they
export the same names; by the build-id that the linker wrote; or by equal content. Python modules and plugins share
names without being copies (`_C.so`), so only equal build-ids or content count for them. Runtimes of which a process
must have only one are TC106's, copies within one folder that were symbolic links are TC102's.

**Seen in the wild.** `torch-ttnn-shutov` 0.1.0 brings `libtt_metal.so`, `libdevice.so`, `_ttnncpp.so` and
`libtt_stl.so` again, which `ttnn-shutov` has. `ttnn` 0.63.0 has `libdevice.so` and `libdevice-79b22e8e.so`.
`psycopg2-binary` brings a second `libssl.so.3` and `libcrypto.so.3`, next to those that Python's own `ssl` uses
(psycopg/psycopg2#543).

**What to do.** Ship the library in one package and depend on it. In a wheel, leave it out of the repair
(`auditwheel repair --exclude libtt_metal.so`); in a conda recipe, put its package into `host`.

**False alarms.** Two packages may need builds of one library that differ (an older version, other options) although
they carry one soname; then it is still two copies, but one cannot serve for both until that is resolved.
"""

from __future__ import annotations

from collections.abc import Iterator

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.chains import without_chains
from tt_conda.audit.copies import Copies
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.objects import Object
from tt_conda.audit.rules import Rule
from tt_conda.elf import plain_soname

RULE = Rule(
    "TC101", "library-twice", Severity.WARNING,
    "The same library is there more than once.",
    "Ship it in one package and let the others depend on that.",
)  # fmt: skip

_FEW = 5
"""Exported names; with fewer of them, nothing can be concluded from those that differ."""


def check(analysis: Analysis) -> Iterator[Finding]:
    """One finding for each library, with all its copies."""
    linked = {plain_soname(name) for item in analysis.scene for name in item.elf.needed}
    for group in analysis.copies:
        kept = without_chains(group.objects)
        is_linked = any(item.library in linked for item in kept)
        kept = [item for item in kept if any(_alike(item, other, is_linked) for other in kept if other is not item)]
        if len(kept) < 2 or analysis.runtime_of(kept[0]):
            continue
        owners = list(dict.fromkeys(item.owner for item in kept))
        superfluous = sum(item.size for item in kept) - max(item.size for item in kept)
        where = f"in {' and in '.join(owners)}" if len(owners) > 1 else f"in {owners[0]}"
        yield RULE.finding(
            group.library,
            f"{group.library} is there {len(kept)} times, {where}.",
            kept, bytes=superfluous, evidence=_evidence(group, kept), remedy=_remedy(kept, owners),
        )  # fmt: skip


def _remedy(items: list[Object], owners: list[str]) -> str | None:
    if len(owners) > 1:
        return None
    if all(item.is_program for item in items):
        return "Keep one of the files; make the others links to it, or scripts that start it."
    return "Keep one of the files, and give what needs it a search path that leads there."


def _alike(one: Object, other: Object, is_linked: bool) -> bool:
    """Whether two objects of one name are one library, and not two plugins or two authors' ``libcommon.so``.

    Of what nothing links to by this name, the exports must show it; of a library, they must not contradict.
    """
    if one.identity == other.identity or _build_ids([one, other]) == 1:
        return True
    names, others = one.elf.symbols.defined, other.elf.symbols.defined
    fewer = min(len(names), len(others))
    if fewer < _FEW:
        return is_linked
    return len(names & others) * (10 if is_linked else 2) >= fewer


def _build_ids(items: list[Object]) -> int:
    """How many different ones they have; 0 where one has none."""
    found = {item.elf.build_id for item in items}
    return 0 if None in found else len(found)


def _evidence(group: Copies, items: list[Object]) -> Iterator[str]:
    if len({item.identity for item in items}) == 1:
        yield "equal content"
    elif _build_ids(items) == 1:
        yield f"one build-id, {items[0].elf.build_id}: one link made them, what differs was changed later"
    else:
        names = sorted({item.soname for item in items})
        if len({item.library for item in items}) == 1:
            undone = ", auditwheel's hash undone" if any(item.soname != item.library for item in items) else ""
            yield f"one soname{undone}: {', '.join(names)}"
        else:
            yield f"sonames of one library: {', '.join(names)}"
        counts = [len(item.elf.symbols.defined) for item in items]
        both = frozenset.intersection(*(item.elf.symbols.defined for item in items))
        yield f"different builds: {len(both):,} of {max(counts):,} exported names are in each"
    for item in items:
        yield f"{item}: {item.size:,} bytes"
