"""A needed symbol has no provider.

**Why it matters.** Python binds all symbols of a module when it opens it (RTLD_NOW): a symbol that nothing in the
module's closure defines ends the import with `undefined symbol: _ZN…`. Elsewhere it ends the program at the first call.

**Seen in the wild.** torch-ttnn-shutov 0.1.0 beside ttnn-shutov 0.62.0 lacks
`ttnn::operations::conv::conv_transpose2d::ConvTranpose2dOperation::invoke(ttsl::StrongType<unsigned char,
ttnn::QueueIdTag>, …)`: the two were not built from the same sources.

**What to do.** Build against the installed version of the library, or pin the version used in the build. To catch a
library missing from your own link line, link with `-Wl,--no-undefined`.

**How it is checked.** Every strong undefined symbol is looked up as in glibc (elf/dl-lookup.c), with its version, in
the program's initial scope and in the closure of the opened object. Symbols of the Python interpreter count as provided
if no interpreter is among the targets. If a needed library is not among the targets, its symbols are not reported
again: only those whose outermost C++ namespace is exported by a library that *is* present.

**False alarms.** Plugins take symbols from the program that opens them. For an object that neither Python imports nor a
program or imported module needs, the finding is a note if another target has the symbols, else a warning.
"""

from __future__ import annotations

from collections.abc import Iterator

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.chains import without_chains
from tt_conda.audit.finding import Certainty, Finding, Severity
from tt_conda.audit.objects import Object
from tt_conda.audit.rules import Rule
from tt_conda.audit.undefined import Undefined
from tt_conda.audit.words import listed, verb
from tt_conda.elf.demangle import demangle, namespace_of

RULE = Rule(
    "TC301", "undefined-symbol", Severity.ERROR,
    "A needed symbol has no provider.",
    "Build against the installed version of the library, or pin the version used in the build.",
)  # fmt: skip


def check(analysis: Analysis) -> Iterator[Finding]:
    """Say what is undefined, by the object that needs it and by namespace."""
    for each in analysis.undefined:
        groups: dict[str, list[str]] = {}
        for name in sorted(each.names - analysis.other_library(each).keys()):
            groups.setdefault(namespace_of(name), []).append(name)
        for namespace, names in groups.items():
            yield _finding(analysis, each, namespace, names)


def _who_has(analysis: Analysis, each: Undefined, names: list[str]) -> Object | None:
    """The object that has all of these symbols, although nothing brings it in; a library before a module."""
    wanted = frozenset(names)
    there = (
        item
        for item in analysis.scene
        if item is not each.item and analysis.files.substitute(item.soname) in (None, item)
    )
    others = [item for item in there if wanted <= item.elf.symbols.defined]
    return min(without_chains(others), key=lambda item: (item.is_module, item.is_program, item.path), default=None)


def _finding(analysis: Analysis, each: Undefined, namespace: str, names: list[str]) -> Finding:
    item = each.item
    elsewhere = _who_has(analysis, each, names)
    readable = [demangle(name) for name in names]
    severity, certainty = Severity.ERROR, Certainty.CERTAIN
    if not any(root.is_program or root.is_python_module or item in analysis.needed for root in each.roots):
        # A plugin, or a library that is only opened by name: its opener may have the symbols.
        severity = Severity.NOTE if elsewhere else Severity.WARNING
        certainty = Certainty.POSSIBLE if elsewhere else Certainty.LIKELY
    whose = f" of {namespace}::" if namespace else ""
    that = f"none of its libraries has; {elsewhere.name} has {verb(names, 'it', 'them')}" if elsewhere else None
    return RULE.finding(
        readable[0] if len(names) == 1 else namespace or names[0],
        f"{item.name} needs {readable[0]}, which {that or 'nothing provides'}."
        if len(names) == 1
        else f"{item.name} needs {len(names)} symbols{whose} that {that or 'nothing provides'}: {listed(readable, 2)}.",
        [item, *([elsewhere] if elsewhere else [])],
        remedy=f"Link {item.name} to {elsewhere.soname}, or open that first with RTLD_GLOBAL."
        if elsewhere else None,
        severity=severity,
        certainty=certainty,
        evidence=[*(f"{name}  {text}" if text != name else name for name, text in zip(names, readable, strict=True)),
                  f"{listed((root.name for root in each.roots), 3)} {verb(each.roots, 'does', 'do')} not load"],
    )  # fmt: skip
