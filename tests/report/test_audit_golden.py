"""One snapshot per form of an audit."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from tt_conda.audit.audit import Report
from tt_conda.audit.targets import read_targets
from tt_conda.audit.verdict import Verdict, judge
from tt_conda.report.audit import compare, table
from tt_conda.report.audit.document import document
from tt_conda.report.audit.html import html, html_comparison
from tt_conda.report.audit.sarif import sarif

Golden = Callable[[str, str], None]


def printed(show: Callable[[Console], None], width: int = 80) -> str:
    out = io.StringIO()
    show(Console(file=out, width=width, highlight=False))
    return "".join(line.rstrip() + "\n" for line in out.getvalue().splitlines())


def test_table(verdict: Verdict, golden: Golden) -> None:
    golden("table.txt", printed(lambda console: table.show(document(verdict), console)))


def test_table_with_everything(verdict: Verdict, golden: Golden) -> None:
    golden("verbose.txt", printed(lambda console: table.show(document(verdict), console, verbose=True)))


@pytest.mark.parametrize("width", [40, 80, 110])
def test_no_line_is_longer_than_the_screen(verdict: Verdict, width: int) -> None:
    text = printed(lambda console: table.show(document(verdict), console, verbose=True), width)
    assert max(map(len, text.splitlines())) <= width


def test_json(verdict: Verdict, golden: Golden) -> None:
    golden("audit.json", document(verdict).to_json())


def test_sarif(verdict: Verdict, golden: Golden) -> None:
    golden("audit.sarif", sarif(document(verdict)))


def test_html(verdict: Verdict, golden: Golden) -> None:
    golden("audit.html", html(document(verdict)))


def test_comparison(verdict: Verdict, folders: tuple[Path, Path], golden: Golden) -> None:
    after = judge(Report(read_targets(folders[:1])))
    data = compare.compare(verdict, after)
    golden("compare.txt", printed(lambda console: compare.show(data, console)))
    golden("compare.html", html_comparison(data))
