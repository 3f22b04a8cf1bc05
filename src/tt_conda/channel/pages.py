"""A channel as pages for a browser: one for the channel, one for each subdir. They fetch nothing and run nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from html import escape
from typing import Any
from urllib.parse import quote

from rattler import Version

NAME = "index.html"
_STYLE = """\
:root { color-scheme: light dark; --line: #8884; --dim: #777; --link: #0b62c4; }
@media (prefers-color-scheme: dark) { :root { --dim: #999; --link: #7ab7ff; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2.5rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.8rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .25rem; }
p { margin: .25rem 0 1rem; } a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; font-weight: 600; }
th, td { padding: .35rem 1.25rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
thead + tbody td:nth-child(-n+4) { white-space: nowrap; }
.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; } .dim { color: var(--dim); }
code, pre { font: .875rem/1.5 ui-monospace, monospace; } code { overflow-wrap: anywhere; }
pre { background: #8881; border-radius: 6px; padding: .75rem 1rem; overflow-x: auto; }
summary { cursor: pointer; color: var(--dim); } details code { display: block; }
:target { background: #fd06; }
"""


def channel_page(channel: str, data: Mapping[str, Any]) -> str:
    """The page of a channel from its ``channeldata.json``.

    Args:
        channel: its name.
        data: that file's content.
    """
    rows = []
    for name, package in sorted(data["packages"].items()):
        first = f"{quote(package['subdirs'][0])}/{NAME}#{quote(name)}" if package["subdirs"] else ""
        subdirs = ", ".join(
            f'<a href="{quote(subdir)}/{NAME}#{quote(name)}">{escape(subdir)}</a>' for subdir in package["subdirs"]
        )
        home = package.get("home") or package.get("dev_url") or ""
        site = f' <a class=dim href="{escape(home)}">website</a>' if home.startswith(("https://", "http://")) else ""
        rows.append(
            f'<tr><td><a href="{first}">{escape(name)}</a><td>{escape(package["version"])}<td>{subdirs}'
            f"<td>{escape(str(package.get('license') or ''))}<td>{escape(str(package.get('summary') or ''))}{site}"
        )
    body = [
        f"<h1>{escape(channel)}</h1>",
        f"<p class=dim>A conda channel with {_count(len(rows), 'package')}. The address of this page, without"
        f" <code>{NAME}</code>, is the channel's:</p>",
        "<pre>conda create --prefix env --channel ADDRESS --channel conda-forge PACKAGE\n"
        'channels = ["ADDRESS", "conda-forge"]   # pixi.toml</pre>',
        "<table><thead><tr><th>Package<th>Newest<th>Platforms<th>License<th>About</thead><tbody>",
        *rows,
        "</tbody></table>",
    ]
    return _page(channel, body)


def subdir_page(subdir: str, records: Mapping[str, Mapping[str, Any]]) -> str:
    """The page of a subdir.

    Args:
        subdir: its name.
        records: of its packages in ``repodata.json``, by file name.
    """
    by_name: dict[str, list[str]] = {}
    for file, record in records.items():
        by_name.setdefault(record["name"], []).append(file)
    body = [f"<p><a href=../{NAME}>← channel</a></p>", f"<h1>{escape(subdir)}</h1>"]
    body.append(f"<p class=dim>{_count(len(records), 'file')}</p>")
    for name, files in sorted(by_name.items()):
        files.sort(key=lambda file: (Version(records[file]["version"]), file), reverse=True)
        body.append(f'<h2 id="{escape(name)}">{escape(name)}</h2><table><tbody>')
        body += [_file_row(file, records[file]) for file in files]
        body.append("</tbody></table>")
    return _page(subdir, body)


def _file_row(file: str, record: Mapping[str, Any]) -> str:
    timestamp = record.get("timestamp", 0)
    date = datetime.fromtimestamp(timestamp / 1000, timezone.utc).strftime("%Y-%m-%d") if timestamp else ""
    lines: Sequence[str] = [
        f"sha256 {record.get('sha256', '')}",
        *(f"depends {spec}" for spec in record.get("depends", [])),
        *(f"constrains {spec}" for spec in record.get("constrains", [])),
    ]
    details = "".join(f"<code>{escape(line)}</code>" for line in lines)
    return (
        f'<tr><td><a href="{quote(file)}">{escape(file)}</a><details><summary>details</summary>{details}</details>'
        f"<td class=n>{date}<td class=n>{record.get('size', 0) / 1e6:.1f} MB"
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _page(title: str, body: Iterable[str]) -> str:
    lines = [
        "<!DOCTYPE html>", "<html lang=en>", "<meta charset=utf-8>",
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        '<meta name=viewport content="width=device-width, initial-scale=1">', f"<title>{escape(title)}</title>",
        f"<style>\n{_STYLE}</style>", *body,
    ]  # fmt: skip
    return "\n".join(lines) + "\n"
