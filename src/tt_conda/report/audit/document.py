"""An audit as data: the output of ``--format json``, and the input of every other renderer.

The schema is shipped beside this file (``audit.schema.json``). Within one ``schema`` number, keys may be added, but
none changes its meaning or disappears.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from tt_conda import __version__
from tt_conda.audit.analysis import Analysis
from tt_conda.audit.baseline import Accepted
from tt_conda.audit.config import Ignore
from tt_conda.audit.copies import Copies
from tt_conda.audit.finding import Certainty, Finding, Place, Severity
from tt_conda.audit.objects import Object
from tt_conda.audit.rules import all_rules
from tt_conda.audit.scene import SYSTEM
from tt_conda.audit.verdict import BADNESS, Verdict

SCHEMA = Path(__file__).with_name("audit.schema.json")


class Part(BaseModel):
    """Base of the models in this module."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Found(Part):
    """One finding."""

    fingerprint: str = Field(description="Stable as long as rule, subject, owners and paths are.")
    code: str
    name: str = Field(description="The rule's name.")
    severity: Severity
    certainty: Certainty
    subject: str
    message: str
    remedy: str
    bytes: int = Field(description="Bytes that could be saved.")
    places: list[Place]
    evidence: list[str]


class Ignored(Found):
    """A known finding that stays."""

    reason: str


class Count(Part):
    """The findings of one rule."""

    findings: int
    bytes: int


class Summary(Part):
    """Numbers of findings; ignored and accepted ones are in none of the other counts."""

    clean: bool = Field(description="Whether the exit code is 0.")
    errors: int
    warnings: int
    notes: int
    ignored: int
    accepted: int
    codes: dict[str, Count]


class Sizes(Part):
    """Bytes of the shared objects in the targets."""

    objects: int = Field(description="Number of objects.")
    shipped: int
    once: int = Field(description="Bytes with one copy of each library.")


class Need(Part):
    """One NEEDED entry and its provider."""

    name: str
    to: int | None = Field(description="The provider's id; null if there is none.")
    state: Literal["inside", "outside", "system", "missing"] = Field(
        description="inside: one of the targets; system: on any machine; outside: found on this machine; missing."
    )
    how: str | None = Field(description="How the dynamic linker finds it: RPATH, RUNPATH, loaded, default, …")


class File(Part):
    """One shared object or program."""

    id: int
    owner: str
    path: str
    soname: str | None
    library: str = Field(description="The library: its soname without auditwheel's hash.")
    kind: Literal["library", "module", "program"]
    inside: bool = Field(description="Whether it is part of the targets.")
    size: int
    needed: list[Need]


class CopySet(Part):
    """One library with several copies."""

    library: str
    objects: list[int]
    bytes: int = Field(description="Bytes of the superfluous copies.")


class Document(Part):
    """An audit."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    version: str = Field(description="Of tt-conda.")
    targets: list[str]
    kind: Literal["installed", "files", "process"]
    once: bool
    summary: Summary
    sizes: Sizes
    findings: list[Found] = Field(description="Worst first.")
    ignored: list[Ignored]
    accepted: list[Found]
    gone: list[Accepted] = Field(description="Accepted findings that have disappeared.")
    unused: list[Ignore] = Field(description="Ignores that match nothing.")
    copies: list[CopySet]
    objects: list[File]

    def to_json(self) -> str:
        """JSON text with a final newline."""
        return to_json(self)


def to_json(data: BaseModel) -> str:
    """A model as JSON text with a final newline; bytes that are not UTF-8 (in file names) become U+FFFD."""
    text = json.dumps(_plain(data.model_dump(by_alias=True)), indent=2, ensure_ascii=False)
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") + "\n"


def document(verdict: Verdict) -> Document:
    """The document of an audit. Reads only the files needed to distinguish copies."""
    scene = verdict.scene
    counts = Counter(finding.severity for finding in verdict.findings)
    codes: dict[str, Count] = {}
    for finding in sorted(verdict.findings, key=lambda f: f.code):
        so_far = codes.get(finding.code, Count(findings=0, bytes=0))
        codes[finding.code] = Count(findings=so_far.findings + 1, bytes=so_far.bytes + finding.bytes)
    files, ids = _files(verdict.report.analyses)
    groups = list({group.objects: group for each in verdict.report.analyses for group in each.all_copies}.values())
    inside = [file for file in files if file.inside]
    shipped = sum(file.size for file in inside)
    return Document(
        version=__version__,
        targets=scene.targets,
        kind=scene.kind,
        once=scene.once,
        summary=Summary(
            clean=verdict.is_clean,
            errors=counts[Severity.ERROR],
            warnings=counts[Severity.WARNING],
            notes=counts[Severity.NOTE],
            ignored=len(verdict.ignored),
            accepted=len(verdict.accepted),
            codes=codes,
        ),
        sizes=Sizes(objects=len(inside), shipped=shipped, once=shipped - sum(group.bytes for group in groups)),
        findings=[_found(finding) for finding in verdict.findings],
        ignored=[Ignored(**_found(finding).model_dump(), reason=reason) for finding, reason in verdict.ignored],
        accepted=[_found(finding) for finding in verdict.accepted],
        gone=verdict.gone,
        unused=verdict.unused,
        copies=[_copy_set(group, ids) for group in groups],
        objects=files,
    )


def schema() -> str:
    """The JSON schema of a document, as shipped."""
    made = Document.model_json_schema(by_alias=True, mode="serialization")
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "tt-conda audit"}
    return json.dumps(made, indent=2, sort_keys=True) + "\n"


def worst(findings: Iterable[Found]) -> Severity:
    """The highest severity among the findings; note if there are none."""
    return max((finding.severity for finding in findings), key=BADNESS.__getitem__, default=Severity.NOTE)


def _found(finding: Finding) -> Found:
    rule = all_rules().get(finding.code)
    return Found(
        fingerprint=finding.fingerprint, code=finding.code, name=rule.rule.name if rule else "",
        severity=finding.severity, certainty=finding.certainty, subject=finding.subject, message=finding.message,
        remedy=finding.remedy, bytes=finding.bytes, places=finding.places, evidence=finding.evidence,
    )  # fmt: skip


def _copy_set(group: Copies, ids: dict[Object, int]) -> CopySet:
    return CopySet(library=group.library, objects=[ids[item] for item in group.objects], bytes=group.bytes)


def _files(analyses: list[Analysis]) -> tuple[list[File], dict[Object, int]]:
    """Every object with its id: those of the targets in their order, then what they use of the machine."""
    edges: dict[Object, dict[str, tuple[Object | None, str | None]]] = {}
    order: dict[Object, None] = {}
    for analysis in analyses:
        order.update(dict.fromkeys(analysis.scene))
        for needer, name, hit, how in _edges(analysis):
            known = edges.setdefault(needer, {})
            if name not in known or known[name][0] is None:
                known[name] = (hit, how)
    outside = {o for known in edges.values() for o, _ in known.values() if o is not None and o not in order}
    inside = set(order)
    order.update(dict.fromkeys(sorted(outside, key=lambda item: (item.soname, item.path))))
    ids = {item: number for number, item in enumerate(order)}
    system = frozenset[str]().union(*(each.scene.from_machine for each in analyses))
    anywhere = all(each.scene.is_for_any_machine for each in analyses)  # then nothing of this machine's paths matters
    files = []
    for item, number in ids.items():
        needs = [
            _need(name, hit, how, ids, inside, system)
            for name in item.elf.needed if item in inside
            for hit, how in [edges.get(item, {}).get(name, (None, None))]
        ]  # fmt: skip
        kind: Literal["library", "module", "program"] = (
            "program" if item.is_program else "module" if item.is_module else "library"
        )
        files.append(
            File(id=number, owner=item.owner if item in inside else SYSTEM,
                 path=item.name if anywhere and item not in inside else item.member, soname=item.elf.soname,
                 library=item.library, kind=kind, inside=item in inside, size=item.size, needed=needs)
        )  # fmt: skip
    return files, ids


def _need(
    name: str, hit: Object | None, how: str | None, ids: dict[Object, int], inside: set[Object], system: frozenset[str]
) -> Need:
    state: Literal["inside", "outside", "system", "missing"]
    state = "inside" if hit in inside else "system" if name in system else "missing" if hit is None else "outside"
    return Need(name=name, to=None if hit is None else ids[hit], state=state, how=how)


def _edges(analysis: Analysis) -> Iterator[tuple[Object, str, Object | None, str | None]]:
    """(needer, NEEDED name, what satisfies it, how): as programs and modules load it, else as it loads alone."""
    reached: set[Object] = set()
    for start in [*analysis.roots, *analysis.scene]:
        if start in reached:
            continue
        found = analysis.closure(start)
        for (needer, name), hit in found.resolved.items():
            yield needer.object, name, hit.object, "loaded" if hit.how == "start" else hit.how
        reached.update(item.object for item in found.loaded)
        for name, needer in found.missing:
            yield needer.object, name, None, None


def _plain(data: object) -> object:
    if isinstance(data, dict):
        return {key: _plain(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_plain(value) for value in data]
    return data.value if isinstance(data, (Severity, Certainty)) else data
