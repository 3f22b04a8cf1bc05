"""An audit as SARIF 2.1.0 (OASIS), for code scanning services and editors."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from tt_conda.audit.finding import Certainty, Severity
from tt_conda.audit.rules import Registered, all_rules
from tt_conda.report.audit.document import Document, Found

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}
_RANKS = {Certainty.CERTAIN: 100.0, Certainty.LIKELY: 66.0, Certainty.POSSIBLE: 33.0}


def sarif(data: Document) -> str:
    """SARIF text. A result's file is the target (an archive, an environment); the member is its logical location."""
    every: list[Found] = [*data.findings, *data.ignored, *data.accepted]
    codes = sorted({finding.code for finding in every})
    results = [
        *_results(data, data.findings, codes, None),
        *_results(data, data.accepted, codes, "accepted by the baseline file"),
    ]
    for item in data.ignored:
        results += _results(data, [item], codes, item.reason)
    run = {
        "tool": {
            "driver": {
                "name": "tt-conda audit",
                "semanticVersion": data.version,
                "rules": [_rule(code, all_rules().get(code)) for code in codes],
            }
        },
        "artifacts": [{"location": {"uri": _uri(target)}} for target in data.targets],
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    text = json.dumps({"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [run]},
                      indent=2, ensure_ascii=False)  # fmt: skip
    return text.encode("utf-8", "backslashreplace").decode() + "\n"


def _rule(code: str, item: Registered | None) -> dict[str, Any]:
    if item is None:
        return {"id": code}
    rule = item.rule
    return {
        "id": code,
        "name": "".join(part.capitalize() for part in rule.name.split("-")),
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": rule.summary},
        "help": {"text": item.page, "markdown": item.page},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {"tags": [rule.name]},
    }


def _results(
    data: Document, findings: Iterable[Found], codes: Sequence[str], suppressed: str | None
) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    for finding in findings:
        result: dict[str, Any] = {
            "ruleId": finding.code,
            "ruleIndex": codes.index(finding.code),
            "level": _LEVELS[finding.severity],
            "rank": _RANKS[finding.certainty],
            "message": {"text": f"{finding.message} {finding.remedy}"},
            "locations": [_location(data, place.owner, place.path) for place in finding.places[:1]],
            "relatedLocations": [_location(data, place.owner, place.path) for place in finding.places[1:]],
            "partialFingerprints": {"ttCondaAudit/v1": finding.fingerprint},
            "properties": {"subject": finding.subject, "bytes": finding.bytes, "certainty": finding.certainty.value,
                           "evidence": finding.evidence},
        }  # fmt: skip
        if suppressed is not None:
            result["suppressions"] = [{"kind": "external", "justification": suppressed}]
        results.append(result)
    return results


def _location(data: Document, owner: str, path: str) -> dict[str, Any]:
    return {
        "physicalLocation": {"artifactLocation": {"uri": _uri(_target(data, owner))}},
        "logicalLocations": [{"name": path.rpartition("/")[2], "fullyQualifiedName": f"{owner}: {path}",
                              "kind": "member"}],
    }  # fmt: skip


def _target(data: Document, owner: str) -> str:
    """The target with an owner's objects: the archive named after it, else the first target."""
    words = [word.replace("-", "_").lower() for word in owner.rstrip("/").split(" ")]
    for target in data.targets:
        name = target.replace("\\", "/").rstrip("/").rpartition("/")[2].replace("-", "_").lower()
        if name.startswith("_".join(words)) or name == owner.rstrip("/").lower():
            return target
    return data.targets[0] if data.targets else owner


def _uri(path: str) -> str:
    return quote(path.encode("utf-8", "surrogateescape"))
