"""The rules: one file, one code, one page (its docstring, which ``tt-conda explain`` prints).

A rule's module has ``RULE`` and ``check(analysis)``. Codes never change and are never used again: 1xx once, 2xx loads,
3xx ABI, 4xx symbol safety, 9xx what cannot be read.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.finding import Certainty, Finding, Place, Severity
from tt_conda.audit.objects import Object


@dataclass(frozen=True)
class Rule:
    """A rule's identity, and the defaults of its findings."""

    code: str
    name: str
    """The pattern, in hyphenated words: ``library-twice``."""
    severity: Severity
    """Default for its findings."""
    summary: str
    """One sentence."""
    remedy: str
    """The fix, in one sentence; a finding may be more precise."""

    def finding(
        self, subject: str, message: str, places: Iterable[Object | Place], *, severity: Severity | None = None,
        remedy: str | None = None, bytes: int = 0, certainty: Certainty = Certainty.CERTAIN,
        evidence: Iterable[str] = (),
    ) -> Finding:  # fmt: skip
        """Make a finding of this rule; see :class:`Finding`."""
        return Finding(
            code=self.code, severity=severity or self.severity, subject=subject, message=message,
            remedy=remedy or self.remedy, bytes=bytes, certainty=certainty, evidence=list(evidence),
            places=[place if isinstance(place, Place) else Place(owner=place.owner, path=place.member)
                    for place in places],
        )  # fmt: skip


@dataclass(frozen=True)
class Registered:
    """A rule with its check and its page."""

    rule: Rule
    check: Callable[[Analysis], Iterator[Finding]]
    page: str
    """Markdown: the module's docstring."""


@lru_cache
def all_rules() -> dict[str, Registered]:
    """Code → rule, in the order of the codes.

    Raises:
        ValueError: two rules share a code or name, or a rule's file is not named after it.
    """
    found: dict[str, Registered] = {}
    names: set[str] = set()
    for item in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        if not item.name.startswith("tc"):
            continue
        module = importlib.import_module(f"{__name__}.{item.name}")
        rule: Rule = module.RULE
        if item.name != f"{rule.code.lower()}_{rule.name.replace('-', '_')}":
            raise ValueError(f"the rule {rule.code} {rule.name} is in {item.name}.py")
        if rule.code in found or rule.name in names:
            raise ValueError(f"two rules are called {rule.code} or {rule.name}")
        names.add(rule.name)
        found[rule.code] = Registered(rule, module.check, module.__doc__ or "")
    return found


def nearest(text: str, count: int = 3) -> list[str]:
    """Codes of the rules whose code or name is closest to a text, best match first."""
    codes = {item.rule.name: code for code, item in all_rules().items()} | {code.lower(): code for code in all_rules()}
    close = difflib.get_close_matches(text.strip().lower(), codes, count * 2, 0.3)
    return list(dict.fromkeys(codes[name] for name in close))[:count] or list(all_rules())[:count]
