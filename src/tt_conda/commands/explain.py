"""`tt-conda explain`: the page of a rule of the audit."""

from __future__ import annotations

from typing import Annotated

import typer

from tt_conda.base.errors import TtCondaError


def explain(
    code: Annotated[str | None, typer.Argument(metavar="CODE", help="A rule's code or name.")] = None,
    every: Annotated[bool, typer.Option("--all", help="List the rules.")] = False,
) -> None:
    """Print the page of an audit's rule: why it matters, what to do, known false alarms.

    Examples:

      tt-conda explain TC901

      tt-conda explain --all
    """
    from tt_conda.report.audit import console_for
    from tt_conda.report.audit import explain as pages

    if every:
        pages.list_rules(console_for())
    elif code:
        pages.explain(code, console_for())
    else:
        raise TtCondaError("no rule was named", "Name a code, or --all for a list.")
