"""An object loads alone, but not after another package's copy of one of its libraries.

**Why it matters.** The dynamic linker does not search for a library whose name is already loaded: it reuses that file,
wherever it is, even if it was opened with `RTLD_LOCAL`. If two packages bundle different builds of a library under one
soname, the first import decides which one both get. The second import then fails with `undefined symbol` or
``version `…' not found``, or it doesn't, depending on the order.

**Seen in the wild.** PySide6 6.7 and PyQt6 6.9, each with its own `libQt6Core.so.6`. A wheel that bundles a
`libstdc++.so.6` older than the environment's: whatever is imported later and needs a newer `GLIBCXX` fails.

**Example.** Bad: `pa/libfoo.so.1` defines `foo`, `pb/libfoo.so.1` defines `foo` and `foo_new`, which `pb/ext.so` calls.
`import pb` works; `import pa, pb` fails. Good: one package has `libfoo.so.1`, in the newer build, and the others depend
on it; or `pb` gives its copy a soname of its own (`libfoo-1a2b3c4d.so.1`, as auditwheel does).

**What to do.** Ship the library in one package. If both need their own build, rename one: `patchelf --set-soname`, and
`--replace-needed` in the objects that use it.

**How it is checked.** Wherever one NEEDED name leads to different files, the loads are simulated in both orders. An
error if one process is bound to load both: one package declares the other as a dependency, or one object loads both.
Otherwise a warning.

**False alarms.** Two packages that are installed together but never imported in one process.
"""

from __future__ import annotations

from collections.abc import Iterator

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.order import Disorder
from tt_conda.audit.rules import Rule
from tt_conda.audit.words import listed, plain_owner, verb

RULE = Rule(
    "TC221", "import-order", Severity.WARNING,
    "An object loads alone, but not after another package's copy of one of its libraries.",
    "Ship the library in one package, or give one of the copies a soname of its own.",
)  # fmt: skip


def check(analysis: Analysis) -> Iterator[Finding]:
    """One finding for each pair of folders whose copies take each other's place."""
    groups: dict[tuple[str, str, str, str], list[Disorder]] = {}
    for each in analysis.disorders:
        taken, own = each.taken, each.own
        key = (taken.owner, taken.path.rpartition("/")[0], own.owner, own.path.rpartition("/")[0])
        groups.setdefault(key, []).append(each)
    for found in groups.values():
        bound = [each for each in found if analysis.are_loaded_together(each.first, each.then)]
        worst = (bound or found)[0]
        then = list(dict.fromkeys(each.then for each in found))
        yield RULE.finding(
            f"{plain_owner(worst.taken.owner)} {plain_owner(worst.own.owner)} {worst.name}".strip(),
            f"{listed((item.name for item in then), 3)} {verb(then, 'does', 'do')} not load after "
            f"{worst.first.member}: {worst.name} is then {worst.taken} instead of {worst.own.member}.",
            list(dict.fromkeys(item for each in found for item in (each.taken, each.own, each.then))),
            severity=Severity.ERROR if bound else None,
            evidence=[f"{each.first.member}, then {each.then.member}: {each.name} is {each.taken.member}: {each.why}"
                      for each in found],
        )  # fmt: skip
