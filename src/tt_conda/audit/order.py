"""What a load comes to when something else was opened before it.

A library that is loaded satisfies every later NEEDED entry of its name, wherever it is (elf/dl-load.c,
_dl_map_object). So an object can find a library that its own search path does not lead to, and it can get another
package's copy instead of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from tt_conda.audit.loader import Closure
from tt_conda.audit.objects import Object
from tt_conda.audit.resolve import Resolver

ClosureAfter = Callable[[Object, Sequence[Closure]], Closure]
"""Everything that loading an object brings in after these were opened."""


@dataclass(frozen=True)
class Prepared:
    """The closure of an object for which its libraries were opened first."""

    closure: Closure
    first: tuple[Object, ...]
    """What has to be opened before, in this order; empty if nothing is lost."""


def prepared(
    root: Object, closure_after: ClosureAfter, provider_of: Callable[[Object, str], Object | None]
) -> Prepared:  # fmt: skip
    """Load an object after whatever it does not find, but the targets have.

    Args:
        root: what is opened.
        closure_after: simulates a load.
        provider_of: the object of the targets that has a name which a consumer does not find.
    """
    opened: list[Closure] = []
    first: list[Object] = []

    def load(item: Object, above: Collection[Object]) -> Closure:
        while True:
            found = closure_after(item, opened)
            new = [
                provider for name, needer in found.missing
                if (provider := provider_of(needer.object, name)) and provider not in first and provider not in above
            ]  # fmt: skip
            if not new:
                return found
            opened.append(load(new[0], [*above, item]))
            first.append(new[0])

    return Prepared(load(root, ()), tuple(first))


@dataclass(frozen=True)
class Disorder:
    """An object that loads alone, but not after another one."""

    first: Object
    """What was opened before."""
    then: Object
    """What does not load."""
    name: str
    """The NEEDED name that leads to two files."""
    taken: Object
    """The file that it gets, since ``first`` has loaded it."""
    own: Object
    """The file that it gets when it is opened first."""
    why: str


Uses = dict[str, dict[Object, list[Object]]]
"""NEEDED name → each object that it leads to → the roots that load it."""


def disorders(
    roots: Iterable[Object], closure_after: ClosureAfter, resolver: Resolver, failure: Callable[[Closure], str]
) -> Iterator[Disorder]:  # fmt: skip
    """The pairs of roots of which the second one fails, since it gets the first one's copy of a library.

    Every root is compared with one root for each other copy of each library.

    Args:
        roots: what is opened by itself.
        closure_after: simulates a load.
        resolver: tells the symbols that objects want and give.
        failure: why a load fails; empty if it works.
    """
    works: dict[Object, bool] = {}

    def alone(root: Object) -> bool:
        if root not in works:
            works[root] = not failure(closure_after(root, ()))
        return works[root]

    reported: set[tuple[Object, Object]] = set()
    for name, uses in _contested(roots, closure_after).items():
        for own, users in uses.items():
            for taken, others in uses.items():
                if own.file == taken.file or not (lost := _only_in(own, taken, resolver)):
                    continue
                first = next((each for each in others if alone(each)), None)
                if first is None:
                    continue
                before = closure_after(first, ())
                for then in users:
                    if (first, then) in reported or not _uses(closure_after(then, ()), name, lost, resolver):
                        continue
                    if alone(then) and (why := failure(closure_after(then, [before]))):
                        reported.add((first, then))
                        yield Disorder(first, then, name, taken, own, why)


def _contested(roots: Iterable[Object], closure_after: ClosureAfter) -> Uses:
    found: Uses = {}
    for root in roots:
        if root.is_program:
            continue
        closure = closure_after(root, ())
        names = {name: used.object for (_, name), used in closure.resolved.items()}
        for name, used in names.items():
            users = found.setdefault(name, {}).setdefault(used, [])
            users.append(root)
    return {name: uses for name, uses in found.items() if len({item.file for item in uses}) > 1}


def _only_in(own: Object, taken: Object, resolver: Resolver) -> frozenset[str]:
    """The versions and symbols (``name`` and ``name@version``) of one copy that the other lacks."""
    mine, others = resolver.gives(own), resolver.gives(taken)
    versioned = mine.versioned - others.versioned
    versioned = frozenset(each for each in versioned if each.partition("@")[0] not in others.bare)
    given = taken.elf.version_gives  # of a library without versions none is demanded
    versions = frozenset(own.elf.version_gives).difference(given) if given else frozenset()
    return (mine.plain - others.plain) | versioned | versions


def _uses(closure: Closure, name: str, lost: frozenset[str], resolver: Resolver) -> bool:
    for item in closure.loaded:
        wants = resolver.wants(item.object)
        if not lost.isdisjoint(wants.plain) or not lost.isdisjoint(wants.versioned):
            return True
        if not lost.isdisjoint(item.object.elf.version_needs.get(name, ())):
            return True
    return False
