"""The page: nothing is fetched, its text is there without a script, its picture holds every object."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from py_mini_racer import MiniRacer

from published import TORCH_020, TTNN_065, published
from tt_conda.audit.audit import audit
from tt_conda.audit.targets import read_targets
from tt_conda.audit.verdict import Verdict, judge
from tt_conda.report.audit import html as page
from tt_conda.report.audit.document import Document, document

SVG = "{http://www.w3.org/2000/svg}"


class Page(HTMLParser):
    """The tags, and the text of each script and style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.blocks: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.blocks.append("")
        if tag not in ("meta", "link", "br", "input", "rect", "path", "circle"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            self.blocks[-1] += data


@pytest.fixture(scope="module")
def pair() -> Document:
    return document(judge(audit(read_targets([published(TTNN_065), published(TORCH_020)]))))


@pytest.fixture(scope="module")
def script() -> Iterator[MiniRacer]:
    engine = MiniRacer()
    engine.eval(Path(page.__file__).with_name("page.js").read_text())
    yield engine
    engine.close()


def draw(script: MiniRacer, data: Document, **options: bool) -> tuple[dict[str, Any], ElementTree.Element]:
    """The layout and the picture."""
    script.eval(f"var doc = {data.to_json()}; var made = layout(doc, {json.dumps({'stacks': True} | options)});")
    plain = "JSON.stringify({nodes: [...made.nodes.values()].map((n) => ({...n, copy: n.copy && n.copy.color})),"
    made = json.loads(
        script.eval(plain + "edges: made.edges, boxes: made.boxes, width: made.width, height: made.height})")
    )
    return made, ElementTree.fromstring(script.eval("picture(made, 'x')"))


def test_nothing_is_fetched_and_only_its_own_script_runs(verdict: Verdict) -> None:
    text = page.html(document(verdict))
    read = Page(text)
    assert not read.open
    policy = next(attrs["content"] for tag, attrs in read.tags if attrs.get("http-equiv"))
    assert policy and policy.startswith("default-src 'none'")
    style, *_, script = read.blocks
    for block in (style, script):
        assert base64.b64encode(hashlib.sha256(block.encode()).digest()).decode() in policy
    for tag, attrs in read.tags:
        assert not {"src", "srcset", "action", "style"} & set(attrs), tag
        assert not any(name.startswith("on") for name in attrs), tag
        assert (attrs.get("href") or "#").startswith(("#", "data:,"))
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|import\(", style + script)


def test_every_finding_is_in_the_text(verdict: Verdict) -> None:
    data = document(verdict)
    read = Page(page.html(data))
    ids = [attrs["id"] for _, attrs in read.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {f"f-{finding.fingerprint}" for finding in data.findings} <= set(ids)
    assert all(attrs.get("aria-label") or attrs.get("aria-hidden") for tag, attrs in read.tags if tag == "svg")


def test_names_from_files_stay_text(verdict: Verdict) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>&'\""
    data = document(verdict)
    files = [file.model_copy(update={"path": evil, "owner": evil, "soname": evil}) for file in data.objects]
    findings = [f.model_copy(update={"message": evil, "subject": evil, "remedy": evil}) for f in data.findings]
    data = data.model_copy(update={"objects": files, "findings": findings, "targets": [evil, "b", "c"]})
    read = Page(page.html(data))
    assert len([tag for tag, _ in read.tags if tag == "script"]) == 2
    assert not [tag for tag, _ in read.tags if tag == "img"]
    assert json.loads(read.blocks[1])["objects"][0]["path"] == evil


def test_hostile_names_stay_text_in_the_picture(verdict: Verdict, script: MiniRacer) -> None:
    evil = "</title><script>alert(1)</script>\"'&"
    data = document(verdict)
    files = [file.model_copy(update={"path": evil, "owner": evil}) for file in data.objects]
    _, drawn = draw(script, data.model_copy(update={"objects": files}))
    assert not [item for item in drawn.iter() if "script" in item.tag]
    key = drawn.find(f".//{SVG}g[@class]/../{SVG}g[@data-key]")
    assert key is not None
    shown = ElementTree.fromstring(
        f"<a>{script.eval('about(doc, made, [...made.nodes.keys()][0])')}</a>".replace("<br>", "")
    )
    assert not [item for item in shown.iter() if "script" in item.tag]


def test_the_picture_holds_every_object_once(pair: Document, script: MiniRacer) -> None:
    made, drawn = draw(script, pair)
    shown = [identity for node in made["nodes"] for identity in node["ids"]]
    inside = [file.id for file in pair.objects if file.inside]
    assert len(shown) == len(set(shown)) and set(inside) <= set(shown)
    groups = [item for item in drawn.iter(f"{SVG}g") if item.get("role") == "button"]
    assert len(groups) == len(made["nodes"]) and all(group.get("aria-label") for group in groups)
    assert [group.get("tabindex") for group in groups].count("0") == 1


def test_copies_have_one_colour(pair: Document, script: MiniRacer) -> None:
    made, _ = draw(script, pair)
    color = {identity: node["copy"] for node in made["nodes"] for identity in node["ids"]}
    for group in pair.copies:
        assert len({color[identity] for identity in group.objects}) == 1
    metal = next(group for group in pair.copies if group.library == "libtt_metal.so")
    assert len(metal.objects) == 3 and color[metal.objects[0]]


def test_nothing_is_drawn_over_anything(pair: Document, script: MiniRacer) -> None:
    for data in (pair, large(1000)):
        made, _ = draw(script, data)
        places = sorted((node["x"], node["y"]) for node in made["nodes"])
        for at, (x, y) in enumerate(places):
            assert all(abs(x - x2) >= 196 or abs(y - y2) >= 38 for x2, y2 in places[at + 1 : at + 40])
        for a in made["boxes"]:
            assert a["x"] >= 0 and a["x"] + a["width"] <= made["width"] and a["y"] + a["height"] <= made["height"]
            for b in made["boxes"]:
                apart = a["x"] >= b["x"] + b["width"] or b["x"] >= a["x"] + a["width"]
                assert a is b or apart or a["y"] >= b["y"] + b["height"] or b["y"] >= a["y"] + a["height"]


def test_the_same_audit_gives_the_same_picture(pair: Document, script: MiniRacer) -> None:
    assert ElementTree.tostring(draw(script, pair)[1]) == ElementTree.tostring(draw(script, pair)[1])


def test_modules_are_folded_until_asked_for(script: MiniRacer) -> None:
    data = large(1000)
    assert len(draw(script, data)[0]["nodes"]) < 500 < 1000 <= len(draw(script, data, stacks=False)[0]["nodes"])


def large(number: int) -> Document:
    """Libraries that need each other, in circles too, and modules that need them."""
    files: list[dict[str, Any]] = []
    for at in range(number):
        module = at % 3 != 0
        needs = [at * 7 % number // 3 * 3, (at + 3) % number // 3 * 3]
        files.append({
            "id": at, "owner": f"package {at % 25}", "path": f"lib/lib{at}.so", "soname": f"lib{at}.so",
            "library": f"lib{at}.so", "kind": "module" if module else "library", "inside": True, "size": at * 1000,
            "needed": [{"name": f"lib{to}.so", "to": to, "state": "inside", "how": "RUNPATH"} for to in needs],
        })  # fmt: skip
    return Document.model_validate({
        "schema": 1, "version": "0", "targets": ["env"], "kind": "installed", "once": False,
        "summary": {"clean": True, "errors": 0, "warnings": 0, "notes": 0, "ignored": 0, "accepted": 0, "codes": {}},
        "sizes": {"objects": number, "shipped": 0, "once": 0}, "findings": [], "ignored": [], "accepted": [],
        "gone": [], "unused": [], "copies": [], "objects": files,
    })  # fmt: skip
