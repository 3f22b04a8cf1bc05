"""JSON and SARIF: their schemas are kept, and what they say is what was found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from published import TORCH_020, TTNN_065, published
from tt_conda.audit.audit import Report, audit
from tt_conda.audit.targets import read_targets
from tt_conda.audit.verdict import Verdict, judge
from tt_conda.report.audit.compare import COMPARISON_SCHEMA, compare, comparison_schema
from tt_conda.report.audit.document import SCHEMA, Document, document, schema
from tt_conda.report.audit.sarif import sarif

SARIF = Path(__file__).with_name("sarif-2.1.0.json")


def valid(text: str, schema_file: Path) -> dict[str, Any]:
    data = json.loads(text)
    jsonschema.Draft202012Validator(json.loads(schema_file.read_text())).validate(data)
    return data


def test_the_shipped_schemas_are_current() -> None:
    again = "run: ci/run exec python ci/rules_docs.py"
    assert SCHEMA.read_text() == schema(), again
    assert COMPARISON_SCHEMA.read_text() == comparison_schema(), again


def test_json_keeps_its_schema(verdict: Verdict) -> None:
    data = valid(document(verdict).to_json(), SCHEMA)
    assert data["schema"] == 1
    assert data["summary"]["clean"] is False
    assert (data["summary"]["errors"], data["summary"]["warnings"], data["summary"]["notes"]) == (1, 1, 1)
    assert [f["code"] for f in data["findings"]] == ["TC901", "TC001", "TC002"]
    assert [(f["code"], f["reason"]) for f in data["ignored"]] == [("TC003", "upstream #1 is open")]
    assert [f["code"] for f in data["accepted"]] == ["TC004"]
    assert [f["subject"] for f in data["gone"]] == ["libold.so"]
    assert [f["path"] for f in data["unused"]] == ["libother.so"]
    assert Document.model_validate(data) == document(verdict)


def test_json_has_the_objects_and_what_satisfies_each_need(verdict: Verdict) -> None:
    data = valid(document(verdict).to_json(), SCHEMA)
    files = {f["path"]: f for f in data["objects"]}
    assert [f["id"] for f in data["objects"]] == list(range(len(files)))
    copy = files["libs/libbase-0a1b2c3d.so.1"]
    needs = {need["name"]: need for need in files["_app.so"]["needed"]}
    assert needs["libbase.so.1"] == {"name": "libbase.so.1", "to": copy["id"], "state": "inside", "how": "RUNPATH"}
    assert needs["libgone.so.2"] == {"name": "libgone.so.2", "to": None, "state": "missing", "how": None}
    (copies,) = data["copies"]
    assert copies == {"library": "libbase.so.1", "bytes": 1_200_000,
                      "objects": [files["lib/libbase.so.1"]["id"], copy["id"]]}  # fmt: skip
    assert data["sizes"] == {"objects": 3, "shipped": 2_700_000, "once": 1_500_000}


def test_sarif_keeps_its_schema(verdict: Verdict) -> None:
    (run,) = valid(sarif(document(verdict)), SARIF)["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert all(rules[result["ruleIndex"]] == result["ruleId"] for result in run["results"])
    results = {result["ruleId"]: result for result in run["results"]}
    assert {code: result["level"] for code, result in results.items() if "suppressions" not in result} == {
        "TC901": "error", "TC001": "warning", "TC002": "note",
    }  # fmt: skip
    reasons = {code: r["suppressions"][0]["justification"] for code, r in results.items() if "suppressions" in r}
    assert reasons == {"TC003": "upstream #1 is open", "TC004": "accepted by the baseline file"}
    help_text = next(rule for rule in run["tool"]["driver"]["rules"] if rule["id"] == "TC901")["help"]["markdown"]
    assert "**Why it matters.**" in help_text
    (first,) = results["TC001"]["locations"]
    assert first["physicalLocation"]["artifactLocation"]["uri"] == "core"
    assert first["logicalLocations"][0]["fullyQualifiedName"] == "core/: lib/libbase.so.1"
    (second,) = results["TC001"]["relatedLocations"]
    assert second["physicalLocation"]["artifactLocation"]["uri"] == "app"


def test_published_wheels_keep_the_schemas() -> None:
    pair = [published(TTNN_065), published(TORCH_020)]
    verdict = judge(audit(read_targets(pair)))
    data = valid(document(verdict).to_json(), SCHEMA)
    assert data["sizes"]["shipped"] == sum(f["size"] for f in data["objects"] if f["inside"])
    assert 125e6 < data["sizes"]["shipped"] - data["sizes"]["once"] < 135e6
    (run,) = valid(sarif(document(verdict)), SARIF)["runs"]
    uris = {result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in run["results"]}
    assert uris <= {str(file) for file in pair}


def test_a_comparison_keeps_its_schema(verdict: Verdict, folders: tuple[Path, Path]) -> None:
    after = judge(Report(read_targets(folders[:1])))
    data = valid(compare(verdict, after).to_json(), COMPARISON_SCHEMA)
    assert data["clean"] and not data["new"] and not data["stay"]
    assert {f["code"] for f in data["gone"]} == {"TC901", "TC001", "TC002"}
    row = next(row for row in data["libraries"] if row["library"] == "libbase.so.1")
    assert (row["a"]["copies"], row["b"]["copies"], row["b"]["owners"]) == (2, 1, ["core/"])


@pytest.mark.parametrize("name", ["libs/lib\udcff.so", "libs/lib\x1b[31m.so", "libs/</script>.so"])
def test_names_that_are_no_text_do_no_harm(tmp_path: Path, name: str) -> None:
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs" / name.partition("/")[2].replace("/", "_")).write_bytes(b"\x7fELF\x02\x01")
    verdict = judge(audit(read_targets([tmp_path])))
    valid(document(verdict).to_json(), SCHEMA)
    valid(sarif(document(verdict)), SARIF)
