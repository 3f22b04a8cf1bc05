"""The rules' pages: printed, and as Markdown files."""

from __future__ import annotations

from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from tt_conda.audit.rules import Registered, all_rules, nearest
from tt_conda.base.errors import TtCondaError
from tt_conda.report.audit.table import COLORS, print_table

FAMILIES = {
    "1": "Duplicates", "2": "Loading", "3": "ABI", "4": "Symbol safety", "9": "Unreadable files",
}  # fmt: skip


def explain(code: str, console: Console) -> None:
    """Print a rule's page.

    Raises:
        TtCondaError: no rule has this code or name.
    """
    known = all_rules()
    names = {item.rule.name: item for item in known.values()}
    item = known.get(code.upper()) or names.get(code.lower())
    if item is None:
        raise TtCondaError(
            f"there is no rule {code}",
            f"Perhaps {' or '.join(nearest(code))}; `tt-conda explain --all` lists the rules.",
        )
    if console.is_terminal:
        console.print(Markdown(page(item)))
    else:
        console.print(page(item), end="", markup=False, soft_wrap=True)


def list_rules(console: Console) -> None:
    """Print every rule's code, severity, name and summary."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for column in ("code", "severity", "name and summary"):
        table.add_column(column, overflow="fold")
    for code, item in all_rules().items():
        rule = item.rule
        table.add_row(
            code, f"[{COLORS[rule.severity]}]{rule.severity.value}[/]", f"{rule.name}\n[dim]{rule.summary}[/]"
        )
    print_table(console, table)


def page(item: Registered) -> str:
    """A rule's page, in Markdown."""
    rule = item.rule
    return f"# {rule.code} {rule.name}\n\nSeverity: {rule.severity.value}.\n\n{item.page.strip()}\n"


def pages() -> dict[str, str]:
    """File name → content of docs/rules."""
    index = ["# Rules of the audit", "",
             "`tt-conda explain CODE` prints these pages. `python ci/rules_docs.py` generates them from the rules.",
             ""]  # fmt: skip
    family = ""
    for code, item in all_rules().items():
        if code[2] != family:
            family = code[2]
            index += [f"## {FAMILIES.get(family, 'Others')}", "", "| code | name | severity | |", "|---|---|---|---|"]
        rule = item.rule
        index.append(f"| [{code}]({code}.md) | {rule.name} | {rule.severity.value} | {rule.summary} |")
        following = [other for other in all_rules() if other > code]
        if not following or following[0][2] != family:
            index.append("")
    made = {f"{code}.md": page(item) for code, item in all_rules().items()}
    return {"README.md": "\n".join(index).rstrip() + "\n", **made}
