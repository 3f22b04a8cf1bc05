"""Several copies of the same library.

**Why it matters.** Each copy takes up space on every machine. If two packages bundle the same library, one process can
load both copies. It then has two sets of the library's global variables: two device registries, two thread pools, two
memory caches. A handle created by one copy is meaningless to the other.

Two files are copies if they have the same soname, ignoring auditwheel's hash (`libdevice-79b22e8e.so` is
`libdevice.so`), and export the same names; or if they have the same build-id or the same content. Copies of different
packages are also found under another name (`libcurl-fiona.so.4` beside `libcurl.so.4`), if nine in ten of their exports
are the same. Python modules and
plugins share names without being copies (`_C.so`), so for them only build-id and content count. TC106 covers runtimes
that must be unique in a process, TC102 copies within one folder that used to be symbolic links.

**Seen in the wild.** `torch-ttnn-shutov` 0.1.0 bundles `libtt_metal.so`, `libdevice.so`, `_ttnncpp.so` and
`libtt_stl.so`, which are also in `ttnn-shutov`. `ttnn` 0.63.0 has `libdevice.so` and `libdevice-79b22e8e.so`.
`psycopg2-binary` bundles a second `libssl.so.3` and `libcrypto.so.3`, beside those used by Python's own `ssl`
(psycopg/psycopg2#543).

**What to do.** Ship the library in one package and depend on it. For a wheel, exclude it from the repair
(`auditwheel repair --exclude libtt_metal.so`); in a conda recipe, add its package to `host`.

**False alarms.** Two packages may need different builds of a library (an older version, other options) under the same
soname. These are still two copies, but one cannot replace the other until the difference is resolved.
"""

from __future__ import annotations

from collections.abc import Iterator

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.chains import without_chains
from tt_conda.audit.copies import Copies, superfluous
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.objects import Object
from tt_conda.audit.rules import Rule
from tt_conda.elf import plain_soname, soname_stem

RULE = Rule(
    "TC101", "library-twice", Severity.WARNING,
    "Several copies of the same library.",
    "Ship it in one package and make the others depend on that package.",
)  # fmt: skip

_FEW = 5
"""Exported names; with fewer, differences prove nothing."""


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
        linked_hard = len({item.file for item in kept}) == 1
        where = f"in {' and in '.join(owners)}" if len(owners) > 1 else f"in {owners[0]}"
        yield RULE.finding(
            group.library,
            f"{len(kept)} {'hard links to one file' if linked_hard else 'copies'} of {group.library}, {where}.",
            kept, severity=Severity.NOTE if linked_hard else None, bytes=superfluous(kept),
            evidence=_evidence(group, kept), remedy=_remedy(kept, owners, linked_hard),
        )  # fmt: skip


def _remedy(items: list[Object], owners: list[str], linked_hard: bool) -> str | None:
    if linked_hard:
        return "None needed: the linker loads the file once. An installer that copies files makes copies of it."
    if len(owners) > 1:
        return None
    if all(item.is_program for item in items):
        return "Keep one of the files; replace the others by links to it, or by scripts that start it."
    return "Keep one of the files, and add its folder to the search paths of the objects that need it."


def _alike(one: Object, other: Object, is_linked: bool) -> bool:
    """Whether two objects with one name are one library, and not two plugins or two authors' ``libcommon.so``.

    If nothing links to the name, the exports must agree; for a linked library, they must only not contradict it.
    """
    if one.identity == other.identity or _build_ids([one, other]) == 1:
        return True
    names, others = one.elf.symbols.defined, other.elf.symbols.defined
    fewer = min(len(names), len(others))
    if fewer < _FEW:
        return is_linked
    return len(names & others) * (10 if is_linked else 2) >= fewer


def _build_ids(items: list[Object]) -> int:
    """Number of different build-ids; 0 if an object has none."""
    found = {item.elf.build_id for item in items}
    return 0 if None in found else len(found)


def _evidence(group: Copies, items: list[Object]) -> Iterator[str]:
    if len({item.identity for item in items}) == 1:
        yield "identical content"
    elif _build_ids(items) == 1:
        yield f"same build-id {items[0].elf.build_id}: linked once, modified later"
    else:
        names = sorted({item.soname for item in items})
        if len({item.library for item in items}) == 1:
            undone = ", ignoring auditwheel's hash" if any(item.soname != item.library for item in items) else ""
            yield f"same soname{undone}: {', '.join(names)}"
        elif len({soname_stem(item.library) for item in items}) > 1:
            yield f"the same exports under other names: {', '.join(names)}"
        else:
            yield f"sonames of one library: {', '.join(names)}"
        counts = [len(item.elf.symbols.defined) for item in items]
        both = frozenset.intersection(*(item.elf.symbols.defined for item in items))
        yield f"different builds: {len(both):,} of {max(counts):,} exported names are common to all"
    for item in items:
        yield f"{item}: {item.size:,} bytes"
