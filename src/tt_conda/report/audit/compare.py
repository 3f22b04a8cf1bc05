"""Compare two states, for example wheels and the packages made from them: the copies of each library."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tt_conda.audit.copies import Copies, is_library, libraries, linked_names
from tt_conda.audit.objects import Object
from tt_conda.audit.verdict import BADNESS, Verdict
from tt_conda.elf import plain_soname
from tt_conda.report.audit.document import Document, Found, Part, document, to_json
from tt_conda.report.audit.numbers import count, megabytes
from tt_conda.report.audit.table import COLORS, blocks, print_indented, print_table

COMPARISON_SCHEMA = Path(__file__).with_name("compare.schema.json")
_MODULES = "modules and programs"
_FEW = 3
"""Findings shown per rule unless all are requested."""


class Share(Part):
    """One side's copies of a library."""

    copies: int
    bytes: int
    owners: list[str]


class Row(Part):
    """One library on both sides; modules and programs share one row."""

    library: str
    a: Share
    b: Share


class Comparison(Part):
    """Comparison of two audits."""

    schema_version: Literal[1] = Field(default=1, alias="schema")
    clean: bool = Field(description="Whether B has no new finding that counts: the exit code is 0.")
    libraries: list[Row] = Field(description="Largest difference in bytes first.")
    new: list[Found] = Field(description="In B only.")
    gone: list[Found] = Field(description="In A only.")
    stay: list[Found] = Field(description="In both, in B's version.")
    a: Document
    b: Document

    def to_json(self) -> str:
        """JSON text with a final newline."""
        return to_json(self)


def targets_of(side: str) -> list[Path]:
    """The targets of one side: a path, or several separated by ``,`` or ``+``."""
    if Path(side).exists():
        return [Path(side)]
    found: list[Path] = []
    for part in filter(None, (part.strip() for part in side.split(","))):
        pieces = [part] if Path(part).exists() else [piece for piece in part.split("+") if piece]
        found += [Path(piece) for piece in pieces if all(Path(p).exists() for p in pieces)] or [Path(part)]
    return found


def compare(a: Verdict, b: Verdict) -> Comparison:
    """Compare two judged audits. Findings are the same if rule and subject are, even if paths differ."""
    left, right = document(a), document(b)
    key = {id(f): (f.code, plain_soname(f.subject)) for f in (*left.findings, *right.findings)}
    in_a, in_b = {key[id(f)] for f in left.findings}, {key[id(f)] for f in right.findings}
    new = [f for f in right.findings if key[id(f)] not in in_a]
    return Comparison(
        clean=all(BADNESS[f.severity] < BADNESS[b.fail_on] for f in new),
        libraries=_rows(list(_objects(a)), list(_objects(b))),
        new=new,
        gone=[f for f in left.findings if key[id(f)] not in in_b],
        stay=[f for f in right.findings if key[id(f)] in in_a],
        a=left,
        b=right,
    )


def comparison_schema() -> str:
    """The JSON schema of a comparison, as shipped."""
    made = Comparison.model_json_schema(by_alias=True, mode="serialization")
    made = {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "tt-conda audit --compare"}
    return json.dumps(made, indent=2, sort_keys=True) + "\n"


def _objects(verdict: Verdict) -> Iterable[Object]:
    for scene in (verdict.scene, *verdict.scene.others):
        yield from scene


def _rows(a: list[Object], b: list[Object]) -> list[Row]:
    linked = linked_names([*a, *b])
    mine = set(a)
    rows: list[Row] = []
    rest: list[Object] = []
    for group in libraries([*a, *b]):
        if any(is_library(item, linked) for item in group.objects):
            rows.append(_row(group, mine))
        else:
            rest += group.objects
    rows.sort(key=lambda row: (-abs(row.a.bytes - row.b.bytes), -row.a.bytes, row.library))
    if rest:
        rows.append(Row(library=_MODULES, a=_share(i for i in rest if i in mine),
                        b=_share(i for i in rest if i not in mine)))  # fmt: skip
    return rows


def _row(group: Copies, mine: set[Object]) -> Row:
    return Row(library=group.library, a=_share(item for item in group.objects if item in mine),
               b=_share(item for item in group.objects if item not in mine))  # fmt: skip


def _share(objects: Iterable[Object]) -> Share:
    items = list(objects)
    owners = sorted({item.owner for item in items})
    return Share(copies=len(items), bytes=sum(item.size for item in items), owners=owners)


def show(data: Comparison, console: Console, *, verbose: bool = False) -> None:
    """Print a comparison; libraries that only B has, or that are equal, only if all are requested."""
    for letter, side in (("A", data.a), ("B", data.b)):
        names = [target.rstrip("/").rpartition("/")[2] or target for target in side.targets]
        print_indented(console, Text.assemble((letter, "bold"), "  ", " + ".join(names)))
    console.print()
    table = Table(box=None, pad_edge=False)
    table.add_column("library", overflow="fold")
    for title in ("A", "MB", "B", "MB"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("in B from", overflow="fold")
    added = [row for row in data.libraries if not row.a.copies]
    same = [
        row for row in data.libraries if row.a.copies and row.a.copies == row.b.copies and row.a.bytes == row.b.bytes
    ]
    hidden = [] if verbose else [*added, *same]
    for row in (row for row in data.libraries if row not in hidden):
        style = "green" if row.b.bytes < row.a.bytes else "red" if row.b.bytes > row.a.bytes else ""
        owners = row.b.owners if verbose else row.b.owners[:2] + (["…"] if len(row.b.owners) > 2 else [])
        table.add_row(Text(row.library), *_cells(row.a), *_cells(row.b), Text(", ".join(owners)), style=style)
    if added and not verbose:
        row = Row(library=f"{count(len(added), 'library', 'libraries')} more", a=_share([]), b=Share(
            copies=sum(r.b.copies for r in added), bytes=sum(r.b.bytes for r in added), owners=[]))  # fmt: skip
        table.add_row(row.library, *_cells(row.a), *_cells(row.b), "")
    table.add_row()
    sizes = [data.a.sizes, data.b.sizes]
    shipped = [f"{side.shipped / 1e6:,.1f}" for side in sizes]
    copied = [f"{(side.shipped - side.once) / 1e6:,.1f}" for side in sizes]
    table.add_row("all", str(sizes[0].objects), shipped[0], str(sizes[1].objects), shipped[1], "", style="bold")
    table.add_row("of which copies", "", copied[0], "", copied[1], "", style="bold")
    print_table(console, table)
    if same and not verbose:
        console.print(f"{count(len(same), 'library', 'libraries')} the same on both sides", style="dim")
    for title, found in (("new in B", data.new), ("gone", data.gone), ("in both", data.stay)):
        if found:
            console.print()
            console.print(Text(f"{title}: {count(len(found), 'finding')}", "bold"))
            _found(found, console, verbose)
    console.print()
    print_indented(console, Text(
        f"findings: {len(data.gone)} gone, {len(data.new)} new, {len(data.stay)} in both; "
        f"bytes: {megabytes(sizes[0].shipped)} → {megabytes(sizes[1].shipped)}, "
        f"copies: {megabytes(sizes[0].shipped - sizes[0].once)} → {megabytes(sizes[1].shipped - sizes[1].once)}"
    ))  # fmt: skip


def _found(found: list[Found], console: Console, verbose: bool) -> None:
    """The findings by rule, a few of each."""
    for block in blocks(found):
        for f in block if verbose else block[:_FEW]:
            size = f" [{megabytes(f.bytes)}]" if f.bytes else ""
            print_indented(console, Text.assemble((f.code, COLORS[f.severity]), f" {f.message}{size}"), 2)
        if len(block) > _FEW and not verbose:
            console.print(f"  {block[0].code} … and {len(block) - _FEW} more", style="dim")


def _cells(share: Share) -> tuple[str, str]:
    return (f"{share.copies}x", f"{share.bytes / 1e6:,.1f}") if share.copies else ("-", "")
