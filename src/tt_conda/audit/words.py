"""Lists and verbs in the sentences of findings."""

from __future__ import annotations

from collections.abc import Iterable, Sized


def listed(names: Iterable[object], limit: int = 5) -> str:
    """``a, b and c``; with more than ``limit``, the first ones and the number of the rest."""
    texts = [str(name) for name in names]
    if len(texts) > limit:
        return f"{', '.join(texts[:limit])} and {len(texts) - limit} more"
    return " and ".join(filter(None, [", ".join(texts[:-1]), *texts[-1:]]))


def plain_owner(owner: str) -> str:
    """An owner without its version, so that it is stable; empty for a folder."""
    return "" if owner.endswith("/") else owner.partition(" ")[0]


def verb(subjects: Sized, one: str, many: str) -> str:
    """The verb's form for the number of subjects."""
    return one if len(subjects) == 1 else many
