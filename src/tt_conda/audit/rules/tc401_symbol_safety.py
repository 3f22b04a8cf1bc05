"""Symbol safety of Python extensions that bundle static libraries.

**Why it matters.** A static library linked into a Python extension without hidden visibility leaves all of its symbols
in the extension's export table. The effect depends on how extensions are loaded:

- Python opens extensions with `RTLD_LOCAL` (`sys.getdlopenflags()`). Strong symbols of one extension then do not
  intercept those of another: each is looked up in its own scope, after the program's. Several copies coexist.
- After `sys.setdlopenflags(os.RTLD_GLOBAL | …)`, with `LD_PRELOAD`, or when a program links to or opens the extension
  globally, its exports take precedence for everything loaded later. Two versions of one library then mix.
- `STB_GNU_UNIQUE` symbols (static variables of inline functions and templates, as emitted by GCC) are merged across the
  whole process regardless of flags (glibc, elf/dl-lookup.c, do_lookup_unique), and keep the object loaded.

The grades: **good**: the bundled library's symbols are hidden, and only Python's entry point is exported. **depends**:
symbols of its own or of a bundled library are exported, but nothing else in this environment exports the same ones, so
the result depends on future additions. **poor**: another extension here exports the same symbols, and only `RTLD_LOCAL`
keeps them apart. All grades are notes: as long as Python loads extensions in its default way, nothing breaks.

**Seen in the wild.** `cyllama` 0.2.18 has ggml, hidden, in four extensions, which is good. Its web server's extension
exports 204 names of Mongoose (`mg_…`), so its overall grade is depends.

**What to do.** Compile static libraries with `-fvisibility=hidden -fvisibility-inlines-hidden`, or link with
`-Wl,--exclude-libs,ALL` or a version script that exports only `PyInit_*`. To have one copy, link all extensions to one
shared library. Splitting the extensions into several packages does not change their exports.

**False alarms.** Extensions whose exports are an interface that others link to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.exports import THRESHOLD, examples, families, is_vague, of_the_runtime
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.objects import Object
from tt_conda.audit.rules import Rule

RULE = Rule(
    "TC401", "symbol-safety", Severity.NOTE,
    "Symbol safety of extensions that bundle static libraries, as a grade.",
    "Hide the bundled symbols: compile with `-fvisibility=hidden`, or link with `-Wl,--exclude-libs,ALL`.",
)  # fmt: skip

_GRADES = ("poor", "depends", "good")


@dataclass
class _Graded:
    extension: Object
    exports: frozenset[str]
    shared: list[tuple[Object, frozenset[str]]] = field(default_factory=list)
    """Other extensions, with the strong symbols that they also export."""
    bundles: list[str] = field(default_factory=list)

    @property
    def grade(self) -> str:
        if self.shared:
            return "poor"
        return "depends" if len(self.exports) >= THRESHOLD else "good"


def check(analysis: Analysis) -> Iterator[Finding]:
    """One finding for each owner whose extensions export or bundle something."""
    graded = {
        item: _Graded(item, _without_runtime(item.strong))
        for item in analysis.judged if item.is_module and _is_extension(item)
    }  # fmt: skip
    for (one, other), names in analysis.same_exports.items():
        if one in graded and other in graded and not analysis.are_copies(one, other):
            graded[one].shared.append((other, names))
            graded[other].shared.append((one, names))
    for library in analysis.embedded:
        for item in library.objects:
            if item in graded:
                graded[item].bundles.append(library.name)
    owners: dict[str, list[_Graded]] = defaultdict(list)
    for each in graded.values():
        if each.grade != "good" or each.bundles:
            owners[each.extension.owner].append(each)
    for owner, members in owners.items():
        members.sort(key=lambda each: (_GRADES.index(each.grade), -len(each.exports), each.extension.path))
        yield _finding(owner, members)


def _without_runtime(names: frozenset[str]) -> frozenset[str]:
    return frozenset(name for name in names if not (of_the_runtime(name) or is_vague(name)))


def _is_extension(item: Object) -> bool:
    """Whether Python imports it."""
    return item.is_python_module or f"PyInit_{item.name.partition('.')[0]}" in item.elf.symbols.defined


def _finding(owner: str, members: list[_Graded]) -> Finding:
    worst = members[0].grade
    count = len(members)
    which = f"{count} extensions of {owner} bundle" if count > 1 else f"An extension of {owner} bundles"
    if worst == "poor":
        poor = [each for each in members if each.grade == "poor"]
        names = [name for each in poor for _, shared in each.shared for name in shared]
        of = [name for name in list(families(set(names)))[:3] if name]
        said = f"{len(poor)} of them export the same symbols as others here" + (f", of {', '.join(of)}" if of else "")
    elif worst == "depends":
        said = "their exports clash with nothing here"
    else:
        said = "the bundled symbols are hidden"
    return RULE.finding(
        owner.partition(" ")[0],
        f"{which} or {'export' if count > 1 else 'exports'} libraries; symbol safety is {worst}: {said}.",
        [each.extension for each in members], evidence=[line for each in members for line in _evidence(each)],
    )  # fmt: skip


def _evidence(each: _Graded) -> Iterator[str]:
    name = each.extension.member
    groups = [f"{family} {len(names):,}" for family, names in list(families(each.exports).items())[:5] if family]
    exports = f"{len(each.exports):,} strong symbols besides PyInit" if each.exports else "nothing besides PyInit"
    bundles = f"; bundles {', '.join(each.bundles)}" if each.bundles else ""
    yield f"{name}: {each.grade}: exports {exports}{' (' + ', '.join(groups) + ')' if groups else ''}{bundles}"
    for other, names in each.shared:
        if other.path > each.extension.path:
            yield (
                f"{name} and {other.member} would interpose {len(names):,} symbols if either were loaded with "
                f"RTLD_GLOBAL: {examples(names)}"
            )
            unique = each.extension.elf.symbols.unique & other.elf.symbols.unique
            if unique := frozenset(name for name in unique if not of_the_runtime(name)):
                yield f"and share {len(unique):,} STB_GNU_UNIQUE symbols in any case: {examples(unique)}"
