"""The model of a finding, from which every report is made."""

from __future__ import annotations

import hashlib
from enum import Enum

from pydantic import BaseModel, ConfigDict


class Severity(str, Enum):
    """Severity of a finding. An error stops a build."""

    ERROR = "error"
    """It will not load, or it will misbehave."""
    WARNING = "warning"
    """It works by luck, wastes space, or breaks in some combinations."""
    NOTE = "note"
    """Worth knowing; no change is needed."""


class Certainty(str, Enum):
    """Certainty of a finding."""

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"


class Place(BaseModel):
    """One file concerned by a finding."""

    model_config = ConfigDict(frozen=True)

    owner: str
    """Its package or wheel with version, or its folder with a trailing slash."""
    path: str
    """Path in the package, wheel or folder."""

    def __str__(self) -> str:
        return f"{self.owner}: {self.path}"


class Finding(BaseModel):
    """A problem, with its places, evidence and fix."""

    code: str
    """The rule's."""
    severity: Severity
    subject: str
    """Its subject: a soname, a symbol, a version. Stable across runs."""
    message: str
    """One sentence, with all names."""
    remedy: str
    """The fix, in one sentence."""
    places: list[Place]
    """The files, the one to change first."""
    bytes: int = 0
    """Bytes of superfluous copies."""
    certainty: Certainty = Certainty.CERTAIN
    evidence: list[str] = []
    """Observed facts, one per line."""

    @property
    def fingerprint(self) -> str:
        """Stable identity from rule, subject, packages without versions, and paths. 16 hex digits."""
        places = sorted({f"{'' if p.owner.endswith('/') else p.owner.partition(' ')[0]}:{p.path}" for p in self.places})
        text = "\n".join([self.code, self.subject, *places])
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
