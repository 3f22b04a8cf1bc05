"""An audit as one self-contained page: a graph of the links between objects, and the findings.

The page fetches nothing; its Content-Security-Policy allows its own script and style by their hashes and nothing
else. Findings are in the page's text, so they can be read and printed without a script.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from html import escape
from pathlib import Path

from tt_conda.audit.finding import Certainty, Severity
from tt_conda.report.audit.compare import Comparison, Row, Share
from tt_conda.report.audit.document import Document, Found
from tt_conda.report.audit.numbers import count, megabytes

_HERE = Path(__file__).parent
_BAR = 620
"""Width of the longest bar."""


def html(data: Document) -> str:
    """The page of an audit."""
    body = [
        _head(f"Audit of {_title(data)}", data),
        _bars([("as shipped", data.sizes.shipped, data.sizes.once), ("each once", data.sizes.once, data.sizes.once)]),
        _picture("data", "Who links what from where", data),
        _findings(data),
    ]
    return _page(_title(data), body, {"data": data})


def html_comparison(data: Comparison) -> str:
    """The page of a comparison."""
    sides = [(letter, side) for letter, side in (("A", data.a), ("B", data.b))]
    titles = [f"{letter}: {_title(side)}" for letter, side in sides]
    body = [
        f"<header><h1>{escape(titles[0])}<br>{escape(titles[1])}</h1><p class=sums>"
        f"<span class=good>{count(len(data.gone), 'finding')} gone</span><span class=error>{len(data.new)} new</span>"
        f"<span>{len(data.stay)} in both</span></p></header>",
        _bars([(letter, side.sizes.shipped, side.sizes.once) for letter, side in sides]),
        "<h2>Libraries</h2>",
        _libraries(data),
        *(
            f"<h2>{title}</h2>" + "".join(_finding(f) for f in found)
            for title, found in (("New in B", data.new), ("Gone", data.gone), ("In both", data.stay)) if found
        ),
        *(_picture(f"data-{letter}", title, side) for (letter, side), title in zip(sides, titles, strict=True)),
    ]  # fmt: skip
    return _page(" and ".join(titles), body, {f"data-{letter}": side for letter, side in sides})


def _page(title: str, body: Iterable[str], data: dict[str, Document]) -> str:
    style = (_HERE / "page.css").read_text(encoding="utf-8")
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    own = f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    policy = f"default-src 'none'; img-src data:; base-uri 'none'; {own}"
    blocks = [
        f'<script type="application/json" id="{name}">{_embedded(document)}</script>' for name, document in data.items()
    ]
    text = "\n".join([
        "<!DOCTYPE html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<link rel="icon" href="data:,">',
        f"<title>{escape(title)} · tt-conda audit</title>", f"<style>{style}</style>", "</head>", "<body>",
        *body, *blocks, f"<script>{script}</script>", "</body>", "</html>", "",
    ])  # fmt: skip
    return text.encode("utf-8", "backslashreplace").decode()


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _embedded(data: Document) -> str:
    """JSON whose text cannot end the script element (HTML: script data state)."""
    plain = json.dumps(json.loads(data.to_json()), ensure_ascii=False, separators=(",", ":"))
    return plain.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _title(data: Document) -> str:
    """The targets' contents if few, else the targets' names."""
    owners = list(dict.fromkeys(file.owner for file in data.objects if file.inside))
    called = [target.rstrip("/").rpartition("/")[2] or target for target in data.targets]
    names = owners if len(owners) == len(called) else called
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _head(title: str, data: Document) -> str:
    summary, sizes = data.summary, data.sizes
    parts = [
        f'<span class="{severity.value}">{count(number, severity.value)}</span>'
        for severity, number in zip(Severity, (summary.errors, summary.warnings, summary.notes), strict=True)
    ]
    parts += [f"<span class=dim>{number} {what}</span>"
              for number, what in ((summary.ignored, "ignored"), (summary.accepted, "accepted")) if number]  # fmt: skip
    copied = f", {megabytes(sizes.shipped - sizes.once)} of them copies" if sizes.shipped > sizes.once else ""
    return (
        f"<header><h1>{escape(title)}</h1><p class=sums>{''.join(parts)}</p><p class=dim>"
        f"{count(sizes.objects, 'shared object')}, {megabytes(sizes.shipped)}{copied}. tt-conda {data.version}."
        "</p></header>"
    )


def _bars(bars: list[tuple[str, int, int]]) -> str:
    """(title, bytes, bytes with one copy of each library)."""
    longest = max((shipped for _, shipped, _ in bars), default=0) or 1
    rows = []
    for at, (title, shipped, once) in enumerate(bars):
        kept, all_of_it = round(_BAR * once / longest), round(_BAR * shipped / longest)
        said = megabytes(shipped) + (f", {megabytes(shipped - once)} copies" if shipped > once else "")
        y = at * 30
        rows.append(
            f'<text x="0" y="{y + 17}">{escape(title)}</text>'
            f'<rect class="kept" x="86" y="{y + 3}" width="{kept}" height="20"/>'
            f'<rect class="copied" x="{86 + kept}" y="{y + 3}" width="{all_of_it - kept}" height="20"/>'
            f'<text x="{min(92 + all_of_it, 720)}" y="{y + 17}">{said}</text>'
        )
    told = "; ".join(f"{title}: {megabytes(shipped)}" for title, shipped, _ in bars)
    return (
        f'<svg class="bars" viewBox="0 0 900 {30 * len(bars)}" role="img" aria-label="Bytes of shared objects: '
        f'{escape(told)}">{"".join(rows)}</svg>'
    )


def _picture(source: str, title: str, data: Document) -> str:
    keys = [
        ('<rect x="1" y="1" width="20" height="10" rx="3" fill="#d1242f" fill-opacity=".3" stroke="#d1242f"/>',
         "a library with several copies, all in one colour"),
        ('<path class="edge cross" d="M0 6H22"/>', "needs a library of another package (unless implied by others)"),
        ('<path class="edge" d="M0 6H22"/>', "needs a library of its own package"),
        ('<path class="edge missing" d="M0 6H22"/>', "needs a missing library"),
        ('<circle cx="11" cy="6" r="5" fill="currentColor"/>', "has errors or warnings"),
    ]  # fmt: skip
    legend = "".join(f'<span><svg aria-hidden="true">{drawn}</svg> {text}</span>' for drawn, text in keys)
    return f"""<section aria-label="{escape(title)}"><h2>{escape(title)}</h2>
<div class="tools">
<label>Find <input name="find" type="search" placeholder="libc10" autocomplete="off"></label>
<label><input type="checkbox" name="all"> every module</label>
<label><input type="checkbox" name="system"> the machine's own libraries</label>
<span><button type="button" data-zoom="out" aria-label="smaller">-</button>
<button type="button" data-zoom="in" aria-label="larger">+</button></span>
<span class="dim">Click a library (or Tab, arrows, Enter, Escape) to see its dependencies and dependents.</span>
</div>
<div class="key">{legend}</div>
<noscript><p>The picture needs JavaScript; the findings below do not.</p></noscript>
<div class="view" data-from="{source}"><div class="canvas"></div>
<aside class="about" aria-live="polite" hidden></aside></div>
</section>"""


def _findings(data: Document) -> str:
    out = ["<section aria-label=Findings><h2>Findings</h2>"]
    if not data.findings:
        out.append("<p class=good>No findings.</p>")
    else:
        codes = sorted({(f.code, f.name) for f in data.findings})
        owners = sorted({place.owner for f in data.findings for place in f.places})
        out.append(
            '<form id="filters" class="tools">'
            + "".join(
                f'<label class="{s.value}"><input type="checkbox" name="severity" value="{s.value}" checked> '
                f"{s.value}s</label>" for s in Severity
            )
            + '<label>Rule <select name="code"><option value="">all</option>'
            + "".join(f'<option value="{escape(c)}">{escape(c)} {escape(name)}</option>' for c, name in codes)
            + '</select></label><label>Package <select name="owner"><option value="">all</option>'
            + "".join(f"<option>{escape(owner)}</option>" for owner in owners)
            + '</select></label><label>Text <input name="text" type="search"></label>'
            + '<span id="shown" class="dim" role="status"></span></form>'
        )  # fmt: skip
        out += [_finding(finding) for finding in data.findings]
    if data.ignored:
        out.append(f"<details><summary>{count(len(data.ignored), 'finding')} ignored</summary>")
        out += [_finding(item, f"Ignored: {item.reason}") for item in data.ignored]
        out.append("</details>")
    if data.accepted:
        out.append(f"<details><summary>{count(len(data.accepted), 'finding')} accepted</summary>")
        out += [_finding(item, "Accepted by the baseline file.") for item in data.accepted]
        out.append("</details>")
    return "\n".join([*out, "</section>"])


def _finding(finding: Found, decided: str = "") -> str:
    owners = "\n".join(sorted({place.owner for place in finding.places}))
    sure = "" if finding.certainty is Certainty.CERTAIN else f" <em>({finding.certainty.value})</em>"
    cost = f" <span class=cost>{megabytes(finding.bytes)}</span>" if finding.bytes else ""
    places = "".join(f"<li>{escape(p.owner)}: <span class=path>{escape(p.path)}</span></li>" for p in finding.places)
    seen = "".join(f"<li>{escape(fact)}</li>" for fact in finding.evidence)
    identity = "" if decided else f' id="f-{finding.fingerprint}" data-code="{escape(finding.code)}"'
    files = count(len(finding.places), "file")
    return (
        f'<article class="finding {finding.severity.value}"{identity} data-severity="{finding.severity.value}" '
        f'data-owners="{escape(owners)}"><p><span class="badge {finding.severity.value}">{escape(finding.code)}</span>'
        f"<strong>{escape(finding.name)}</strong>{cost}{sure}</p><p>{escape(finding.message)}</p>"
        f"<p>→ {escape(finding.remedy)}</p>"
        + (f"<p class=dim>{escape(decided)}</p>" if decided else "")
        + (f"<details><summary>{files}{', evidence' if seen else ''}</summary><ul>{places}</ul>"
           f"{f'<ul>{seen}</ul>' if seen else ''}</details>" if places or seen else "")
        + "</article>"
    )  # fmt: skip


def _libraries(data: Comparison) -> str:
    def cells(share: Share) -> str:
        return (
            f"<td class=number>{share.copies}x</td><td class=number>{megabytes(share.bytes)}</td>"
            f"<td>{escape(', '.join(share.owners))}</td>"
            if share.copies
            else "<td class=number>-</td><td></td><td></td>"
        )

    def table(rows: list[Row]) -> str:
        lines = [
            f'<tr class="{"less" if row.b.bytes < row.a.bytes else "more" if row.b.bytes > row.a.bytes else ""}">'
            f"<td><code>{escape(row.library)}</code></td>{cells(row.a)}{cells(row.b)}</tr>"
            for row in rows
        ]
        return (
            "<table><thead><tr><th>library</th><th class=number>A</th><th class=number>bytes</th><th>from</th>"
            "<th class=number>B</th><th class=number>bytes</th><th>from</th></tr></thead><tbody>"
            + "".join(lines) + "</tbody></table>"
        )  # fmt: skip

    added = [row for row in data.libraries if not row.a.copies]
    more = f"{count(len(added), 'library', 'libraries')} only in B"
    return table([row for row in data.libraries if row.a.copies]) + (
        f"<details><summary>{more}</summary>{table(added)}</details>" if added else ""
    )
