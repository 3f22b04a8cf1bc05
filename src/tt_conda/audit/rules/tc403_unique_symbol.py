"""Two packages define a symbol that is unique in the process, in two sizes.

**Why it matters.** GCC marks static members of templates, static variables of inline functions and inline variables
with STB_GNU_UNIQUE. The first definition that a process loads serves all others, whatever the flags of `dlopen`:
neither RTLD_LOCAL nor separate packages keep them apart. If another package has another type under the same name, it
works on memory of the wrong size: wrong results or a crash, without a message, and only in one order of loading.

A module that contains a static C++ runtime and exports it takes part with the runtime's own unique symbols: the first
one loaded serves the shared `libstdc++.so.6` too.

**Seen in the wild.** google-cloud-profiler 4.0, with a static libstdc++, before libsass 0.22: wrong CSS, no error.

**Bad.** Two packages, each with its own `struct Config` (4 bytes in one, 40 in the other) and `Registry<Config>`, whose
static member has one name in both: `nm -D` shows it with the letter `u`.

**Good.** The types are in the packages' own namespaces, or the objects are linked with a version script that exports
`PyInit_*` only, or compiled with `-fvisibility=hidden` or `-fno-gnu-unique`.

**What to do.** Hide the symbols of one of them: compile with `-fvisibility=hidden`, or link with
`-Wl,--exclude-libs,ALL` and a version script.

**Severity.** An error if the sizes differ between packages: that is proof of two types. A warning for an exported
static C++ runtime beside the shared one. A note if the sizes are equal: they usually are one library's in one version.

**False alarms.** Two packages that are never loaded in one process.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.exports import examples, of_the_runtime
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.objects import Object
from tt_conda.audit.rules import Rule
from tt_conda.audit.words import listed, plain_owner
from tt_conda.elf import soname_stem
from tt_conda.elf.demangle import demangle

RULE = Rule(
    "TC403", "unique-symbol", Severity.ERROR,
    "Two packages define a symbol that is unique in the process, in two sizes.",
    "Hide the symbols of one of them: -fvisibility=hidden, or a version script that exports PyInit_* only.",
)  # fmt: skip

_RUNTIMES = frozenset({"libstdc++.so", "libc++.so", "libc++abi.so"})
_ONLY_THERE = frozenset({"__cxa_throw", "_ZSt4cout", "_ZNSt6locale7classicEv"})
"""Names that only the runtime itself defines, not the parts that old toolsets link into everything."""


def check(analysis: Analysis) -> Iterator[Finding]:
    """One finding for each pair of packages."""
    items = [item for item in analysis.placed if item.elf.symbols.unique_sizes and not _is_runtime(item)]
    holders: dict[str, list[Object]] = defaultdict(list)
    for item in items:
        for name in item.elf.symbols.unique_sizes:
            holders[name].append(item)
    unequal: dict[tuple[str, str], dict[str, dict[Object, int]]] = defaultdict(dict)
    equal: dict[tuple[str, ...], dict[str, list[Object]]] = defaultdict(dict)
    for name, having in holders.items():
        sizes = {item: item.elf.symbols.unique_sizes[name] for item in having}
        owners = list(dict.fromkeys(item.owner for item in having))
        if len(owners) < 2 or of_the_runtime(name):
            continue
        if len(set(sizes.values())) == 1:
            equal[tuple(owners)][name] = having
            continue
        for at, one in enumerate(having):
            for other in having[at + 1 :]:
                if one.owner != other.owner and sizes[one] != sizes[other]:
                    found = unequal[one.owner, other.owner].setdefault(name, {})
                    found |= {one: sizes[one], other: sizes[other]}
    for (first, second), names in unequal.items():
        yield _clash(first, second, names)
    for group, same in equal.items():
        objects = list(dict.fromkeys(item for having in same.values() for item in having))
        yield RULE.finding(
            " ".join(map(plain_owner, group)),
            f"{listed(group, 3)} define {len(same):,} of the same symbols that are unique in a process, in the same "
            "sizes: the first one loaded serves all of them.", objects,
            severity=Severity.NOTE, evidence=[examples(same)],
            remedy="Nothing, if all have one version of the library that they are from; else hide them in one.",
        )  # fmt: skip
    yield from _static_runtimes(analysis)


def _clash(one: str, other: str, names: dict[str, dict[Object, int]]) -> Finding:
    objects = list(dict.fromkeys(item for sizes in names.values() for item in sizes))
    first = min(names, key=lambda name: (len(name), name))
    sizes = " and ".join(f"{size:,} bytes in {item.name}" for item, size in names[first].items())
    rest = f", and {len(names) - 1:,} more differ" if len(names) > 1 else ""
    return RULE.finding(
        demangle(first),
        f"{demangle(first)}, of which a process has only one, has {sizes}{rest}: whichever of {one} and {other} is "
        "loaded second uses the other one's.", objects,
        evidence=[f"{item}: {demangle(name)}, {size:,} bytes" for name in sorted(names)[:20]
                  for item, size in names[name].items()],
    )  # fmt: skip


def _is_runtime(item: Object) -> bool:
    return soname_stem(item.library) in _RUNTIMES


def _static_runtimes(analysis: Analysis) -> Iterator[Finding]:
    """Objects that export a static C++ runtime with unique symbols, where another package uses a shared one."""
    for item in analysis.placed:
        symbols = item.elf.symbols
        if item.is_program or _is_runtime(item) or not _ONLY_THERE & symbols.defined - symbols.borrowed:
            continue
        theirs = {name for name in symbols.unique_sizes if of_the_runtime(name)}
        users = [each for each in analysis.placed if each.owner != item.owner
                 and any(soname_stem(name) in _RUNTIMES for name in each.elf.needed)]  # fmt: skip
        if theirs and users:
            yield RULE.finding(
                f"{item.library} runtime",
                f"{item.name} exports the C++ runtime that it contains, {len(theirs):,} symbols of it unique in a "
                f"process: loaded first, it serves the shared runtime of "
                f"{listed(dict.fromkeys(each.owner for each in users), 3)} too.", [item, *users],
                severity=Severity.WARNING, evidence=[examples(theirs)],
                remedy="Link to the shared runtime, or hide the static one: -Wl,--exclude-libs,ALL",
            )  # fmt: skip
