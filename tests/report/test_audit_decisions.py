"""What a project decides about its findings: configuration and baseline file."""

from __future__ import annotations

from pathlib import Path

import pytest

from published import TORCH_020, TTNN_065, published
from tt_conda.audit.audit import Report, audit
from tt_conda.audit.baseline import read_accepted, write_accepted
from tt_conda.audit.config import load_config
from tt_conda.audit.finding import Finding, Place, Severity
from tt_conda.audit.scene import Scene
from tt_conda.audit.targets import read_targets
from tt_conda.audit.verdict import check_codes, judge
from tt_conda.base.errors import TtCondaError


def finding(subject: str, *, code: str = "TC901", severity: Severity = Severity.ERROR) -> Finding:
    place = Place(owner="pkg 1.0", path=f"lib/{subject}")
    return Finding(
        code=code, severity=severity, subject=subject, message=f"{subject} is cut", remedy="", places=[place]
    )


def test_an_ignore_needs_a_reason(tmp_path: Path) -> None:
    file = tmp_path / "audit.toml"
    file.write_text(
        'ignore = [{ code = "TC901", path = "*" }, { code = "TC901", path = "*", reason = " " }]\nextra = 1'
    )
    with pytest.raises(TtCondaError) as error:
        load_config(file)
    assert all(text in str(error.value) for text in ("ignore.0.reason: is missing", "ignore.1.reason", "extra: is not"))
    assert "fail-on" in error.value.way_out


@pytest.mark.parametrize(
    "text", ['fail-on = "never"', "ignore = 1", "[ignore", 'ignore = [{code="TC9", path="*", reason="r"}]']
)
def test_what_is_not_understood_is_said(tmp_path: Path, text: str) -> None:
    file = tmp_path / "audit.toml"
    file.write_text(text)
    with pytest.raises(TtCondaError, match=r"audit\.toml") as error:
        load_config(file)
    assert error.value.way_out


def test_a_project_keeps_it_in_pyproject(tmp_path: Path) -> None:
    assert load_config(folder=tmp_path).ignore == []
    (tmp_path / "pyproject.toml").write_text('[tool.tt-conda.audit]\nfail-on = "error"\n[tool.other]\nx = 1\n')
    assert load_config(folder=tmp_path).fail_on is Severity.ERROR
    (tmp_path / "audit.toml").write_text('fail-on = "warning"')
    assert load_config(folder=tmp_path).fail_on is Severity.WARNING


def test_ignored_findings_keep_their_reason_and_unused_ignores_are_said(tmp_path: Path) -> None:
    (tmp_path / "audit.toml").write_text(
        'ignore = [{ code = "TC901", path = "lib/test*.so", reason = "damaged on purpose" },'
        ' { code = "TC901", path = "libother.so", reason = "old" }]'
    )
    report = Report(Scene(), [finding("testa.so"), finding("b.so")])
    verdict = judge(report, load_config(folder=tmp_path))
    assert [(f.subject, reason) for f, reason in verdict.ignored] == [("testa.so", "damaged on purpose")]
    assert [f.subject for f in verdict.findings] == ["b.so"] and not verdict.is_clean
    assert [item.path for item in verdict.unused] == ["libother.so"]
    assert judge(report, load_config(folder=tmp_path), select=["TC1"]).unused == []


def test_fail_on_error_lets_warnings_pass(tmp_path: Path) -> None:
    (tmp_path / "audit.toml").write_text('fail-on = "error"')
    config = load_config(folder=tmp_path)
    assert judge(Report(Scene(), [finding("a", severity=Severity.WARNING)]), config).is_clean
    assert not judge(Report(Scene(), [finding("a")]), config).is_clean
    assert judge(Report(Scene(), [finding("a", severity=Severity.NOTE)])).is_clean


def test_a_baseline_accepts_what_is_old_and_refuses_what_is_new(tmp_path: Path) -> None:
    file = tmp_path / "accepted.json"
    old, fixed, new = finding("old.so"), finding("fixed.so"), finding("new.so")
    assert write_accepted(file, [old, fixed, old]) == 2
    verdict = judge(Report(Scene(), [new, old]), accepted=read_accepted(file))
    assert [f.subject for f in verdict.findings] == ["new.so"] and not verdict.is_clean
    assert verdict.accepted == [old]
    assert [f.subject for f in verdict.gone] == ["fixed.so"]
    assert judge(Report(Scene(), [old]), accepted=read_accepted(file)).is_clean
    assert judge(Report(Scene(), []), select=["TC1"], accepted=read_accepted(file)).gone == []


def test_a_baseline_is_about_packages_not_their_versions_and_its_file_is_stable(tmp_path: Path) -> None:
    one, two = tmp_path / "1.json", tmp_path / "2.json"
    a, b = finding("a.so"), finding("b.so")
    write_accepted(one, [a, b])
    newer = b.model_copy(update={"places": [Place(owner="pkg 2.0", path="lib/b.so")]})
    write_accepted(two, [newer, a])
    assert one.read_text() == two.read_text()
    assert one.read_text().startswith('{\n  "schema": 1,') and one.read_text().endswith("}\n")


@pytest.mark.parametrize(
    "text", ["", "[]", '{"schema": 2, "accepted": []}', '{"schema": 1, "accepted": [{"code": "a"}]}']
)
def test_a_file_that_is_no_baseline_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "accepted.json"
    with pytest.raises(TtCondaError, match=r"accepted\.json"):
        read_accepted(file)
    file.write_text(text)
    with pytest.raises(TtCondaError, match=r"accepted\.json.*not a list") as error:
        read_accepted(file)
    assert "--write-baseline" in error.value.way_out


def test_a_baseline_does_not_depend_on_the_order_of_targets(tmp_path: Path) -> None:
    pair = [published(TTNN_065), published(TORCH_020)]
    sides = []
    for targets in (pair, pair[::-1]):
        with read_targets(targets) as scene:
            sides.append({finding.fingerprint: finding.message for finding in audit(scene).findings})
    assert sides[0].keys() == sides[1].keys() and len(sides[0]) > 20


def test_a_baseline_survives_a_folder_s_new_name(tmp_path: Path) -> None:
    sides = []
    for name in ("v1", "renamed 2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "libcut.so").write_bytes(b"")
        with read_targets([tmp_path / name]) as scene:
            sides.append([finding.fingerprint for finding in audit(scene).findings])
    assert sides[0] == sides[1] != []


def test_an_ignored_path_is_no_pattern_but_for_its_stars(tmp_path: Path) -> None:
    (tmp_path / "audit.toml").write_text('ignore = [{ code = "tc901", path = "a[1]*.so", reason = "r" }]')
    report = Report(Scene(), [finding("a[1]x.so"), finding("a1x.so")])
    verdict = judge(report, load_config(folder=tmp_path))
    assert [f.subject for f, _ in verdict.ignored] == ["a[1]x.so"]


def test_rules_are_chosen_by_codes_names_and_lists() -> None:
    assert check_codes(["TC2,tc3 , unreadable-file", "TC1"], "--select") == ["TC2", "TC3", "TC901", "TC1"]


def test_codes_that_do_not_exist_are_refused() -> None:
    assert check_codes(["tc9", "TC901"], "--select") == ["TC9", "TC901"]
    with pytest.raises(TtCondaError, match="TC8") as error:
        check_codes(["TC8"], "--select")
    assert "TC" in error.value.way_out
