"""The reproducible form of a package: what is built twice from the same things is the same file, bit for bit.

rattler-build writes into a package when and in which folder it was built, which machine and which user's folders that
was, and some lists in an order that varies. None of it says anything about the package. In the reproducible form

- every date is that of the sources: what the recipe's script has as ``SOURCE_DATE_EPOCH``
  (https://reproducible-builds.org/specs/source-date-epoch/), else what the package's bill of materials says; where
  neither is there, archives say 1980 and the package has no ``timestamp``;
- the placeholder of the prefix is the same everywhere, as long as it was;
- channels that are folders are called ``file:///local``;
- dependencies that come from ``run_exports`` stand behind the recipe's own, sorted; so do the lists of packages that
  it was built with, of which it tells the identity, and not how this channel or that one describes them;
- what is carved is made of a wheel and a recipe alone: it names neither the packages beside which it was carved nor
  their channels;
- of the recipe's other packages it does not repeat what was built with it;
- nothing is told of the machine (its virtual packages) and of who owned the files;
- a distribution's RECORD (https://packaging.python.org/en/latest/specifications/recording-installed-packages/) says
  what is there: it has no line of a file that the package lacks, the hashes of the files as they are in it, none of
  those that change when they are installed, and no ``direct_url.json`` that names a folder of the machine;
- the recipe's copy inside holds files where the recipe's folder has links out of it, and not what is pixi's alone, or
  what Python has compiled of its scripts;
- both archives are sorted and compressed anew, by one thread.
"""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from tt_conda.base.documents import read_json, read_yaml
from tt_conda.formats import conda
from tt_conda.formats.conda import FILES, INFO, Entry, TarPart
from tt_conda.formats.dist_info import dump_rows, read_rows, recorded

FORMAT = 3
"""Raise it when the reproducible form changes: packages are built again then."""

LOCAL = "file:///local"
"""What stands for every channel that is a folder."""

NOT_KEPT = ("pixi.toml", "variants.yaml")
"""Files of a recipe's folder that its copy inside lacks: pixi's backend reads them, the package has its own axes."""

RENDERED = "info/recipe/rendered_recipe.yaml"
_PLACEHOLDER = "/opt/tt-conda/host_env" + "_placehold" * 30
_IDENTITY = ("name", "version", "build", "build_number", "subdir", "fn", "url", "channel", "sha256")
"""What tells a package that something was built with from all others."""


@dataclass(frozen=True)
class Origins:
    """Where a package says that it and its build environments come from; default: where they come from."""

    channels: list[str] = field(default_factory=list)
    urls: dict[str, str] = field(default_factory=dict)
    """Sha256 of a package → its URL."""
    homes: dict[str, str] = field(default_factory=dict)
    """Sha256 of a package → the URL of its channel."""
    mirrors: dict[str, str] = field(default_factory=dict)
    """URL of a mirror → the URL of the channel that was read from it."""


def make_reproducible(
    package: Path, recipe: Path, level: int, *, carver: str = "", origins: Origins | None = None
) -> None:
    """Give a package that rattler-build has just written its reproducible form, in place.

    Args:
        package: the ``.conda`` file.
        recipe: the folder of its recipe.
        level: of Zstandard's compression, 1 to 22.
        carver: name of the package that carves: what has it in its build environment is carved.
        origins: what it says in place of the channels that it was built with.

    Raises:
        TtCondaError: the package cannot be read, or the disk is full.
    """
    with conda.opened(package) as parts:
        made = _Normaliser(parts[INFO], parts[FILES], recipe, carver, origins or Origins())
        conda.write(package, {FILES: made.files(), INFO: made.info()}, made.date or 0, level)


def load_rendered(text: str | bytes) -> Any:
    """What ``rendered_recipe.yaml`` holds, read as YAML 1.2, in which it is written: ``1_0`` and ``1:2`` are text."""
    return read_yaml(text, _Yaml)


def dump_rendered(content: Any) -> bytes:
    """Write what :func:`load_rendered` has read, so that it and rattler-build read the same again."""
    text: str = yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=1 << 20)
    return text.encode()


def run_exports_last(depends: Iterable[str], exported: Collection[str]) -> list[str]:
    """Dependencies in their order, and then those that come from ``run_exports``, sorted."""
    return sorted(depends, key=lambda spec: (spec in exported, spec if spec in exported else ""))


class _Yaml(yaml.CSafeLoader):
    """YAML 1.2's core schema (https://yaml.org/spec/1.2.2/#103-core-schema)."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  # as its base has it


class _Dumper(yaml.CSafeDumper):
    """Quotes what either YAML 1.1 or 1.2 would not read as text: a hash such as ``12e4567`` is none in 1.1 alone."""


for _tag, _rule, _first in (
    ("null", r"(~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"(true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"[-+]?[0-9]+$", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$", "-+.0123456789"),
):
    for _class in (_Yaml, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_rule), list(_first))


def _decimal(loader: yaml.CSafeLoader, node: yaml.ScalarNode) -> int:
    return int(str(loader.construct_scalar(node)))  # 010 is ten


_Yaml.add_constructor("tag:yaml.org,2002:int", _decimal)


class _Normaliser:
    """One package on its way."""

    def __init__(
        self, info: TarPart, files: TarPart, recipe: Path, carver: str, origins: Origins
    ) -> None:  # fmt: skip
        self._info, self._files, self._recipe = info, files, recipe
        self._origins = origins
        self._index = read_json(info.read("info/index.json"))
        self._paths = read_json(info.read("info/paths.json"))
        rendered = load_rendered(info.read(RENDERED))
        self._words = _words(rendered, self._origins.mirrors)
        self._rendered = load_rendered(self._in_other_words(info.read(RENDERED).decode()))
        tools = ((self._rendered.get("finalized_dependencies") or {}).get("build") or {}).get("resolved", [])
        self._carved = any(record["name"] == carver for record in tools)
        self.date = self._date()
        """Seconds since 1970; None where nothing says it."""
        self._gone = {name for name in files.entries if _names_a_folder(name, files)}
        self._changed = {
            entry["_path"]: self._with_placeholder(entry["_path"], entry["prefix_placeholder"])
            for entry in self._paths["paths"] if "prefix_placeholder" in entry
        }  # fmt: skip
        for name in files.entries:
            if name.endswith(".dist-info/RECORD"):
                self._changed[name] = self._record(name)

    def files(self) -> Iterable[Entry]:
        """What is installed: files of a kind stand together, which compresses better."""
        for name in sorted(self._files.entries, key=lambda name: (PurePosixPath(name).suffix, name)):
            if name not in self._gone:
                yield _entry(self._files, name, self._changed.get(name))

    def info(self) -> Iterable[Entry]:
        """What the package says of itself."""
        changed = {
            "info/index.json": _json(self._new_index()),
            "info/paths.json": _json(self._new_paths()),
            RENDERED: self._new_rendered(),
        }
        if "info/about.json" in self._info.entries:
            about = read_json(self._info.read("info/about.json"))
            changed["info/about.json"] = _json({**about, "channels": self._channels(about.get("channels", []), "/")})
        left_out = {f"info/recipe/{name}" for name in NOT_KEPT}
        for name in sorted(self._info.entries.keys() - left_out):
            if name.startswith("info/recipe/") and "__pycache__" in name.split("/"):
                continue
            outside = self._recipe / PurePosixPath(name).relative_to("info/recipe") if "info/recipe/" in name else None
            if outside is not None and self._info.entries[name].issym() and outside.is_file():
                changed[name] = outside.read_bytes()
            yield _entry(self._info, name, changed.get(name))

    def _date(self) -> int | None:
        build = self._rendered["recipe"].get("build") or {}
        script = build.get("script")
        said = (script.get("env") or {}).get("SOURCE_DATE_EPOCH") if isinstance(script, Mapping) else None
        if said is not None:
            return int(said)
        boms = [name for name in self._files.entries if name.startswith("share/sbom/") and name.endswith(".cdx.json")]
        dates = [read_json(self._files.read(name))["metadata"].get("timestamp") for name in boms]
        return max((int(datetime.fromisoformat(date.replace("Z", "+00:00")).timestamp()) for date in dates if date),
                   default=None)  # fmt: skip

    def _with_placeholder(self, name: str, old: str) -> bytes:
        return self._files.read(name).replace(old.encode(), _placeholder(old).encode())

    def _record(self, name: str) -> bytes:
        """A RECORD of what is there: recipes move files that pip has listed, rattler-build changes some."""
        site = PurePosixPath(name).parent.parent
        commands = self._commands()
        kept: list[list[str]] = []
        for row in read_rows(self._files.read(name).decode()):
            path = posixpath.normpath(posixpath.join(site, row[0]))
            item = self._files.entries.get(path)
            if path in self._gone or not (item or path in commands):
                continue
            stays = item is not None and not item.issym() and path not in self._changed
            hashed = stays and any(row[1:2])
            kept.append([row[0], *(recorded(self._files.read(path)) if hashed else ("", ""))])
        return dump_rows(kept).encode()

    def _commands(self) -> set[str]:
        """The commands of a ``noarch: python`` package, which are made when it is installed.

        Seen from its own root: there its ``site-packages`` lies two folders higher than where it is installed.
        """
        link = self._info.read("info/link.json") if "info/link.json" in self._info.entries else None
        return {f"../../bin/{command}" for command in conda.commands(link)}

    def _new_index(self) -> dict[str, Any]:
        run = (self._rendered.get("finalized_dependencies") or {}).get("run") or {}
        new = dict(self._index)
        for key, of in (("depends", "depends"), ("constrains", "constraints")):
            if key in new:
                new[key] = run_exports_last(
                    new[key], {str(i.get("spec")) for i in run.get(of, []) if "run_export" in i}
                )
        new.pop("timestamp", None)
        if self.date is not None:
            new["timestamp"] = self.date * 1000
        return new

    def _new_paths(self) -> dict[str, Any]:
        entries = []
        for entry in self._paths["paths"]:
            name = entry["_path"]
            if name in self._gone:
                continue
            new = dict(entry)
            if (content := self._changed.get(name)) is not None:
                new |= {"sha256": hashlib.sha256(content).hexdigest(), "size_in_bytes": len(content)}
            if old := new.get("prefix_placeholder"):
                new["prefix_placeholder"] = _placeholder(old)
            entries.append(new)
        return {**self._paths, "paths": sorted(entries, key=lambda entry: str(entry["_path"]))}

    def _new_rendered(self) -> bytes:
        made = self._rendered["build_configuration"]
        for platform in ("host_platform", "build_platform"):
            if isinstance(made.get(platform), dict):
                made[platform]["virtual_packages"] = []
        made["channels"] = self._channels(made.get("channels", []))
        name = self._index["name"]  # the recipe's other packages depend on what else was asked for
        made["subpackages"] = {key: said for key, said in made.get("subpackages", {}).items() if key == name}
        made["timestamp"] = datetime.fromtimestamp(self.date or 315532800, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        finalized = self._rendered.get("finalized_dependencies") or {}
        for part in ("build", "host"):
            if found := finalized.get(part):
                found["specs"] = sorted(found.get("specs", []), key=_run_export)
                records = [] if self._carved else map(self._resolved, found.get("resolved", []))
                found["resolved"] = sorted(records, key=lambda record: str(record["fn"]))
        run = finalized.get("run") or {}
        for key in ("depends", "constraints"):
            if key in run:
                run[key] = sorted(run[key], key=_run_export)
        return dump_rendered(self._rendered)

    def _resolved(self, record: dict[str, Any]) -> dict[str, Any]:
        sha256 = str(record.get("sha256"))
        url, home = self._origins.urls.get(sha256), self._origins.homes.get(sha256)
        new = {**record, **({"url": url} if url else {}), **({"channel": home} if home else {})}
        return {key: new[key] for key in _IDENTITY if key in new}

    def _channels(self, channels: Iterable[str], end: str = "") -> list[str]:
        if self._carved:
            return []
        given = self._origins.channels or [
            LOCAL if url.startswith("file:") else self._in_other_words(url) for url in channels
        ]  # fmt: skip
        return list(dict.fromkeys(url.rstrip("/") + end for url in given))

    def _in_other_words(self, text: str) -> str:
        for old, new in self._words.items():
            text = text.replace(old, new)
        return text


def _words(rendered: Any, mirrors: Mapping[str, str]) -> dict[str, str]:
    """What of a rendered recipe names folders of the machine, or mirrors → what stands for it; the longest first."""
    made = rendered["build_configuration"]
    folders = made.get("directories") or {}
    words = {
        str(folders[name]): _placeholder(str(folders[name])) if name == "host_prefix" else f"/opt/tt-conda/{name}"
        for name in ("host_prefix", "build_prefix", "work_dir", "build_dir") if name in folders
    }  # fmt: skip
    words |= {url.rstrip("/"): LOCAL for url in made.get("channels", []) if url.startswith("file:")}
    words |= mirrors
    return dict(sorted(words.items(), key=lambda item: -len(item[0])))


def _placeholder(old: str) -> str:
    return _PLACEHOLDER[: len(old)]


def _names_a_folder(name: str, files: TarPart) -> bool:
    """Whether a file is the note that a distribution was installed from a folder of this machine (PEP 610)."""
    return name.endswith(".dist-info/direct_url.json") and b'"file:' in files.read(name)


def _entry(part: TarPart, name: str, content: bytes | None) -> Entry:
    item = part.entries[name]
    if item.isdir():
        return Entry(name, 0o755, b"", folder=True)
    if item.issym() and content is None:
        return Entry(name, 0o777, b"", link=item.linkname)
    mode = 0o755 if item.mode & 0o100 and not item.issym() else 0o644
    if content is not None:
        return Entry(name, mode, content)
    file = part.open(name)
    return Entry(name, mode, file, size=file.seek(0, io.SEEK_END) - file.seek(0))


def _run_export(item: Any) -> tuple[bool, str]:
    exported = isinstance(item, Mapping) and "run_export" in item
    return exported, json.dumps(item, sort_keys=True) if exported else ""


def _json(content: object) -> bytes:
    return json.dumps(content, indent=2).encode()
