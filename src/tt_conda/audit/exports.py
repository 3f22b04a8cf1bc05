"""Exports of objects, and those shared by several of them: the common basis of the rules about symbols."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from itertools import combinations

from tt_conda.audit.loader import Closure, Loaded
from tt_conda.audit.objects import Object
from tt_conda.elf.demangle import demangle, namespace_of

THRESHOLD = 10
"""Minimum number of symbols exported by both objects. A few coincide by chance (``main``, ``init``, ``usage``) or by
convention (``qt_plugin_instance``, a plugin's four or five entry points). Ten strong ones never did in the wheels used
to try the rules, and the smallest library that people embed (zlib, bzip2) exports dozens."""

_STD = frozenset({"std", "__gnu_cxx", "__cxxabiv1"})
_START, _LENGTH, _NOTHING = re.compile(r"_ZN?[rVKRO]*"), re.compile(r"\d+"), re.compile("")
_RUNTIME = ("_Zn", "_Zd", "__cxa_", "__gxx_", "_Unwind_", "__gthread_", "__emutls_")


def of_the_runtime(name: str) -> bool:
    """Whether a name belongs to the C++ runtime: ``std``, ``operator new``, ``__cxa_…``.

    Compilers for old systems link exported parts of it into every object (``libstdc++_nonshared.a`` of the toolsets for
    manylinux wheels), which are meant to be merged.
    """
    if name.startswith(_RUNTIME):
        return True
    if "S" not in name[:9] and "__gnu_cxx" not in name and "__cxxabiv1" not in name:  # quick: there are many
        return False
    return namespace_of(name) in _STD


def is_vague(name: str) -> bool:
    """Whether every object may define it, regardless of its binding (vague linkage, Itanium C++ ABI, 5.2).

    These are type information, virtual tables, guards, and template instantiations. Link-time optimization turns the
    weak ones into strong symbols.
    """
    if not name.startswith("_Z"):
        return False
    if name.startswith(("_ZT", "_ZG")):
        return True
    if "I" not in name:  # quick: there are many
        return False
    at = _START.match(name)
    while at and (length := _LENGTH.match(name, at.end())):
        end = length.end() + int(length[0])
        if name[end : end + 1] == "I":
            return True
        at = _NOTHING.match(name, end)
    return False


def contested(items: Sequence[Object]) -> dict[Object, frozenset[str]]:
    """Of each object, the strong names that another one exports too. Linear in the symbols."""
    once: set[str] = set()
    twice: set[str] = set()
    for item in items:
        names = item.strong
        twice |= once & names if len(names) > len(once) else names & once
        once |= names
    twice = {name for name in twice if not (of_the_runtime(name) or is_vague(name))}
    found = {item: item.strong & twice for item in items}
    return {item: names for item, names in found.items() if names}


def same_exports(contested: Mapping[Object, frozenset[str]]) -> dict[tuple[Object, Object], frozenset[str]]:
    """Pairs of objects with at least :data:`THRESHOLD` strong names in common, and these; versions tell them apart.

    Two programs are no pair: they are never in one process.
    """
    many = [(item, names) for item, names in contested.items() if len(names) >= THRESHOLD]
    found = {}
    for (one, names), (other, others) in combinations(many, 2):
        if one.is_program and other.is_program:
            continue
        if one.elf.machine == other.elf.machine and not names.isdisjoint(others):
            both = without_versions_between(one, other, names & others)
            if len(both) >= THRESHOLD:
                found[one, other] = both
    return found


def without_versions_between(one: Object, other: Object, names: frozenset[str]) -> frozenset[str]:
    """Leave out names that two objects define in different versions: the linker distinguishes them."""
    mine, others = one.elf.symbols.given_versions, other.elf.symbols.given_versions
    if not mine or not others:
        return names
    apart = [name for name in names if name in mine and name in others and not set(mine[name]) & set(others[name])]
    return names.difference(apart)


def together(
    starts: Iterable[Object], contested: Container[Object], host: Sequence[Loaded],
    closure_of: Callable[[Object], Closure],
) -> dict[tuple[Object, Object], Closure]:  # fmt: skip
    """Pairs of contested objects that one load brings in, in the order of the linker's search; a load that does it.

    The scope of what dlopen opens is what the program started with (``host``), then what was opened (dlopen(3),
    RTLD_LOCAL).
    """
    found: dict[tuple[Object, Object], Closure] = {}
    there = {item.object for item in host}
    for start in starts:
        if not start.is_program and start in there:
            continue
        closure = closure_of(start)
        before = [] if start.is_program else host
        scope = dict.fromkeys(item.object for item in (*before, *closure.loaded) if item.object in contested)
        for pair in combinations(scope, 2):
            found.setdefault(pair, closure)
    return found


def family(names: Iterable[str]) -> str:
    """The common part of most names: a C++ namespace, or the prefix of C names before the first ``_``."""
    counts: Counter[str] = Counter()
    for name in names:
        if name.startswith("_Z"):
            counts[namespace_of(name)] += 1
        else:
            head, bar, _ = name.lstrip("_").partition("_")
            counts[head if bar and len(head) > 1 else ""] += 1
    for each in ("", *_STD):
        counts.pop(each, None)
    return counts.most_common(1)[0][0] if counts else ""


def families(names: Iterable[str]) -> dict[str, list[str]]:
    """Names by family, the largest first; ``""`` has those without one."""
    found: dict[str, list[str]] = defaultdict(list)
    for name in names:
        found[family([name])].append(name)
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


def examples(names: Iterable[str], count: int = 3) -> str:
    """A few names, demangled and cut, the shortest first."""
    items = sorted(names, key=lambda name: (len(name), name))
    shown = [demangle(name) for name in items[:count]]
    text = ", ".join(name if len(name) <= 100 else name[:97] + "..." for name in shown)
    return f"{text} and {len(items) - count:,} more" if len(items) > count else text
