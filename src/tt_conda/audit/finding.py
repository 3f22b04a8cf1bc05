"""One model for what an audit says; every report is made from it."""

from __future__ import annotations

import hashlib
from enum import Enum

from pydantic import BaseModel, ConfigDict


class Severity(str, Enum):
    """How bad it is. A build is refused for an error."""

    ERROR = "error"
    """It will not load, or it will misbehave."""
    WARNING = "warning"
    """It works by luck, costs space, or breaks beside something else."""
    NOTE = "note"
    """Worth knowing; nothing needs to change."""


class Certainty(str, Enum):
    """How sure a finding is."""

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"


class Place(BaseModel):
    """One file that a finding is about."""

    model_config = ConfigDict(frozen=True)

    owner: str
    """The package or wheel that brings it, with its version; a folder, with a slash behind its name."""
    path: str
    """In the package, wheel or folder."""

    def __str__(self) -> str:
        return f"{self.owner}: {self.path}"


class Finding(BaseModel):
    """One thing that is wrong, where, why that is so, and what to do."""

    code: str
    """The rule's."""
    severity: Severity
    subject: str
    """What it is about, in a word: a soname, a symbol, a version. Stable across runs."""
    message: str
    """One sentence, with the names in it."""
    remedy: str
    """What to do, one sentence."""
    places: list[Place]
    """The files, the one to change first."""
    bytes: int = 0
    """What it costs, in bytes: the copies that need not be there."""
    certainty: Certainty = Certainty.CERTAIN
    evidence: list[str] = []
    """What was seen, one fact per line."""

    @property
    def fingerprint(self) -> str:
        """What makes it the same finding tomorrow: rule, subject, packages without versions, paths. 16 hex digits."""
        places = sorted({f"{'' if p.owner.endswith('/') else p.owner.partition(' ')[0]}:{p.path}" for p in self.places})
        text = "\n".join([self.code, self.subject, *places])
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
