"""Chains of symbolic links (``libx.so`` → ``libx.so.0`` → ``libx.so.0.9.14``) that were stored as copies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from tt_conda.audit.objects import Object
from tt_conda.elf import plain_soname


def chains(items: Iterable[Object]) -> list[list[Object]]:
    """Objects of one folder and owner with identical content, whose names are prefixes of one; the full name first."""
    found: dict[tuple[str, str, tuple[int, int]], list[Object]] = defaultdict(list)
    for item in items:
        if item.is_program:
            continue  # ``prte`` is not a version of ``prterun``
        found[item.owner, item.path.rpartition("/")[0], item.identity].append(item)
    result = []
    for group in found.values():
        group.sort(key=lambda item: (-len(item.name), item.name))
        shortest = plain_soname(group[-1].name)
        if len(group) > 1 and all(plain_soname(item.name).startswith(shortest) for item in group):
            result.append(group)
    return result


def without_chains(items: Iterable[Object]) -> list[Object]:
    """The objects, one of each chain."""
    items = list(items)
    links = {item for chain in chains(items) for item in chain[1:]}
    return [item for item in items if item not in links]
