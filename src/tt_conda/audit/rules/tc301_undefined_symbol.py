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
from tt_conda.audit.openers import Opening
from tt_conda.audit.remedies import add_needed
from tt_conda.audit.rules import Rule
from tt_conda.audit.undefined import Undefined
from tt_conda.audit.words import listed, plain_owner, verb
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


def _who_has(analysis: Analysis, each: Undefined, names: frozenset[str]) -> Object | None:
    """The object that has all of these symbols, although nothing brings it in: a library before a module.

    One of the consumer's package comes first, then one of a package that it depends on.
    """
    there = (
        item
        for item in analysis.scene
        if item is not each.item and analysis.files.substitute(item.soname) in (None, item)
    )
    others = without_chains([item for item in there if names <= item.elf.symbols.defined])
    others.sort(key=lambda item: (item.is_module, item.is_program, item.path))
    return next(iter(analysis.nearest(each.item, others)), None)


def _finding(analysis: Analysis, each: Undefined, namespace: str, names: list[str]) -> Finding:
    item, wanted = each.item, frozenset(names)
    opening = analysis.opening(item, wanted)
    has = opening.providers(wanted) if opening else [found for found in [_who_has(analysis, each, wanted)] if found]
    readable = [demangle(name) for name in names]
    severity, certainty = Severity.ERROR, Certainty.CERTAIN
    if opening:
        severity, certainty = Severity.NOTE, Certainty.POSSIBLE
    elif all(analysis.is_spare(root) for root in each.roots):
        severity = Severity.WARNING
    elif not any(root.is_program or root.is_python_module or item in analysis.needed for root in each.roots):
        # A plugin, or a library that is only opened by name: its opener may have the symbols.
        severity = Severity.WARNING
        certainty = Certainty.POSSIBLE if has else Certainty.LIKELY
    owner = _owner_of_version(each, names) if not has else None
    whose = f" of {namespace}::" if namespace else ""
    subject = readable[0] if len(names) == 1 else f"{len(names)} symbols{whose}"
    return RULE.finding(
        readable[0] if len(names) == 1 else namespace or names[0],
        f"{item.name} needs {subject}{_version(item, names)}, which {_that(item, names, opening, has, owner)}"
        f"{'' if len(names) == 1 else f': {listed(readable, 2)}'}.",
        [item, *has, *([owner] if owner else [])],
        remedy=_remedy(analysis, item, opening, has, owner),
        severity=severity,
        certainty=certainty,
        evidence=[*(f"{name}  {text}" if text != name else name for name, text in zip(names, readable, strict=True)),
                  f"{listed((root.name for root in each.roots), 3)} {verb(each.roots, 'does', 'do')} not load"],
    )  # fmt: skip


def _that(item: Object, names: list[str], opening: Opening | None, has: list[Object], owner: Object | None) -> str:
    """Where the symbols are, or should be."""
    them = verb(names, "it", "them")
    if opening and [each.name for each in has] == [opening.opener]:
        return f"none of its libraries has; {opening.opener} opens {item.name} and has {them}"
    if opening:
        which = f"{listed((each.name for each in has), 3)}, which {verb(has, 'has', 'have')} {them},"
        return f"none of its libraries has; {opening.opener} opens {which} and {item.name}"
    if has:
        return f"none of its libraries has; {has[0].name} has {them}"
    return f"{owner} lacks" if owner else "nothing provides"


def _library(item: Object, names: list[str]) -> str:
    """The library from which an object wants all of these symbols, by their versions."""
    versions = {item.elf.symbols.wanted_versions.get(name, "") for name in names}
    found = [library for library, known in item.elf.version_needs.items() if versions <= set(known)]
    return found[0] if len(found) == 1 else ""


def _version(item: Object, names: list[str]) -> str:
    versions = sorted({item.elf.symbols.wanted_versions.get(name, "") for name in names})
    library = _library(item, names)
    return f" in version {listed(versions, 2)} of {library}" if library else ""


def _owner_of_version(each: Undefined, names: list[str]) -> Object | None:
    """The object that is loaded as the library to which the symbols' versions belong."""
    library = _library(each.item, names)
    there = sorted((item for item in each.around if library in (item.soname, item.name)), key=lambda item: item.path)
    return there[0] if library and there else None


def _remedy(
    analysis: Analysis, item: Object, opening: Opening | None, has: list[Object], owner: Object | None
) -> str | None:
    if opening:
        return f"None needed if {opening.opener} is what opens it; to load it alone, link it to what has the symbols."
    if owner:
        package = plain_owner(owner.owner)
        return (
            f"Install the version of {package or owner.member} with which {item.name} was built: {owner.name} lacks it."
        )
    if not has:
        return None
    provider = has[0]
    if not analysis.depends(item.owner, provider.owner):
        return (
            f"No package on which {plain_owner(item.owner) or item.owner} depends has it. {provider.owner} has: "
            f"declare it as a dependency, and link {item.name} to {provider.soname}; or ship the library."
        )
    if provider.is_python_module or provider.is_program:
        return f"Move it to a library, and link both {item.name} and {provider.name} to that."
    return f"Link {item.name} to {provider.soname}: {add_needed(item, provider)}"
