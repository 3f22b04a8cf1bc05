"""Output of an audit: table, JSON, SARIF or HTML, all made from one document."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.console import Console

from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import write_output

if TYPE_CHECKING:
    from tt_conda.audit.verdict import Verdict

Format = Literal["table", "json", "sarif", "html"]
_WIDEST = 110
"""Maximum line width; longer lines are hard to read."""


def report(verdict: Verdict, form: Format, output: Path | None = None, *, verbose: bool = False) -> None:
    """Write an audit to a file, or to standard output.

    Raises:
        TtCondaError: the file cannot be written.
    """
    from tt_conda.report.audit import table
    from tt_conda.report.audit.document import document

    data = document(verdict)
    if form == "table":
        console = console_for(output)
        table.show(data, console, verbose=verbose)
        text = console.export_text() if output else ""
    elif form == "json":
        text = data.to_json()
    elif form == "sarif":
        from tt_conda.report.audit.sarif import sarif

        text = sarif(data)
    else:
        from tt_conda.report.audit.html import html

        text = html(data)
    _write(text, output)


def report_comparison(
    a: Verdict, b: Verdict, form: Format, output: Path | None = None, *, verbose: bool = False
) -> bool:
    """Write a comparison; returns whether B has no new finding that counts.

    Raises:
        TtCondaError: the file cannot be written, or a comparison has no such format.
    """
    from tt_conda.report.audit import compare

    data = compare.compare(a, b)
    if form == "table":
        console = console_for(output)
        compare.show(data, console, verbose=verbose)
        text = console.export_text() if output else ""
    elif form == "json":
        text = data.to_json()
    elif form == "html":
        from tt_conda.report.audit.html import html_comparison

        text = html_comparison(data)
    else:
        raise TtCondaError("a comparison cannot be written as SARIF", "Use --format table, json or html.")
    _write(text, output)
    return data.clean


def form_of(form: str | None, output: Path | None) -> Format:
    """The requested format, else the one of the file's extension, else a table.

    Raises:
        TtCondaError: the extension is unknown.
    """
    endings: dict[str, Format] = {".json": "json", ".sarif": "sarif", ".html": "html", ".htm": "html"}
    named: dict[str | None, Format] = {"table": "table", "json": "json", "sarif": "sarif", "html": "html"}
    ending = output.suffix.lower() if output else ""
    if form is None and ending not in {*endings, "", ".txt", ".log"}:
        raise TtCondaError(
            f"{output}: unknown extension {ending}",
            "Use .json, .sarif, .html or .txt, or set --format.",
        )
    return named.get(form) or endings.get(ending, "table")


def console_for(output: Path | None = None) -> Console:
    """A console of readable width: standard output, or a recording one for a file."""
    if output:
        return Console(highlight=False, width=_WIDEST, record=True, file=io.StringIO())
    console = Console(highlight=False)
    console.width = min(console.width, _WIDEST)
    return console


def _write(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(text)
        return
    write_output(output, text)
