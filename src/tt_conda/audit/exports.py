"""Exports of objects, and those shared by several of them: the common basis of the rules about symbols."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from functools import lru_cache, wraps
from itertools import combinations
from typing import TypeVar
from weakref import WeakKeyDictionary

from tt_conda.audit.copies import Copies, copies
from tt_conda.audit.demangle import demangle, namespace_of
from tt_conda.audit.loader import Closure
from tt_conda.audit.scene import Object, Scene

T = TypeVar("T")

THRESHOLD = 10
"""Minimum number of symbols exported by both objects. A few coincide by chance (``main``, ``init``, ``usage``) or by
convention (``qt_plugin_instance``, a plugin's four or five entry points). Ten strong ones never did in the wheels used
to try the rules, and the smallest library that people embed (zlib, bzip2) exports dozens."""

_LINKER = frozenset(
    ("_init", "_fini", "__bss_start", "_edata", "edata", "_end", "end", "__data_start", "data_start", "main", "_start")
)
_ENTRIES = ("PyInit_", "PyInitU_", "PyModExport_", "_cffi_pypyinit_", "init_module_")
_STD = frozenset({"std", "__gnu_cxx", "__cxxabiv1"})
_START, _LENGTH, _NOTHING = re.compile(r"_ZN?[rVKRO]*"), re.compile(r"\d+"), re.compile("")
_RUNTIME = ("_Zn", "_Zd", "__cxa_", "__gxx_", "_Unwind_", "__gthread_", "__emutls_")


def per_scene(function: Callable[[Scene], T]) -> Callable[[Scene], T]:
    """Remember what a function says of a scene as long as the scene is there."""
    known: WeakKeyDictionary[Scene, T] = WeakKeyDictionary()

    @wraps(function)
    def remembered(scene: Scene) -> T:
        if scene not in known:
            known[scene] = function(scene)
        return known[scene]

    return remembered


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


@lru_cache(maxsize=4096)
def strong(item: Object) -> frozenset[str]:
    """The names that an object exports as its own: not weak, not unique, nothing that linkers and Python ask for.

    Weak and unique ones are templates' and inline functions', which the C++ ABI lets every object have (Itanium C++
    ABI, 5.2). The names of versions are absolute symbols (LSB, symbol versioning). Those of the C++ runtime are among
    the result: :func:`of_the_runtime` tells them.
    """
    symbols = item.elf.symbols
    names = symbols.defined - symbols.weak - symbols.unique - symbols.borrowed - _LINKER
    names = names.difference(item.elf.version_gives)
    entries = [name for name in names if name.startswith(_ENTRIES)] if item.is_module else []
    return names.difference(entries)


@per_scene
def copied(scene: Scene) -> list[Copies]:
    """The libraries that are there more than once; none where the scene is judged as if they were not."""
    return [] if scene.once else copies(scene)


@per_scene
def judged(scene: Scene) -> list[Object]:
    """The objects, without those that :attr:`Scene.once` takes away."""
    if not scene.once:
        return list(scene)
    gone = {item for group in copies(scene) for item in group.objects[1:]}
    return [item for item in scene if item not in gone]


@per_scene
def _leaders(scene: Scene) -> dict[Object, Object]:
    return {item: group.objects[0] for group in copied(scene) for item in group.objects}


def are_copies(scene: Scene, one: Object, other: Object) -> bool:
    """Whether two objects are copies of one library."""
    leaders = _leaders(scene)
    return leaders.get(one, one) is leaders.get(other, other)


@per_scene
def contested(scene: Scene) -> dict[Object, frozenset[str]]:
    """Of each object, the strong names that another one exports too. Linear in the symbols."""
    once: set[str] = set()
    twice: set[str] = set()
    for item in judged(scene):
        names = strong(item)
        twice |= once & names if len(names) > len(once) else names & once
        once |= names
    twice = {name for name in twice if not (of_the_runtime(name) or is_vague(name))}
    found = {item: strong(item) & twice for item in judged(scene)}
    return {item: names for item, names in found.items() if names}


@per_scene
def same_exports(scene: Scene) -> dict[tuple[Object, Object], frozenset[str]]:
    """Pairs of objects with at least :data:`THRESHOLD` strong names in common, and these; versions tell them apart.

    Two programs are no pair: they are never in one process.
    """
    many = [(item, names) for item, names in contested(scene).items() if len(names) >= THRESHOLD]
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


@per_scene
def together(scene: Scene) -> dict[tuple[Object, Object], Closure]:
    """Pairs of contested objects that one load brings in, in the order of the linker's search; a load that does it.

    The scope of what dlopen opens is what the program started with, then what was opened (dlopen(3), RTLD_LOCAL).
    """
    interesting = contested(scene)
    found: dict[tuple[Object, Object], Closure] = {}
    for start in judged(scene):
        if not start.is_program and start in scene.host_objects:
            continue
        closure = scene.closure(start)
        host = [] if start.is_program else scene.host
        scope = dict.fromkeys(item.object for item in (*host, *closure.loaded) if item.object in interesting)
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
