"""Files that are for another platform or Python than the package that has them, or than the environment.

What the tags of a wheel or the subdir of a conda package declare, what the environment is, and what each file really is
are compared before anything is loaded: whatever else would be said of such a file only follows from this.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tt_conda.audit.objects import Object
from tt_conda.audit.scene import Declaration, Scene
from tt_conda.elf.read import MACHINES
from tt_conda.formats.platforms import MODULE, Platform, is_imported_by, platform_of_suffix

Kind = Literal["owner", "unknown", "file", "neutral", "needed", "python", "interpreter", "permissions"]
"""The owner is for another platform than the environment; the whole owner is for a system that cannot be judged; a file
is for another platform than its owner; a package for any platform has a file for one; the only library of a name is for
another machine than what needs it; no Python imports it; its interpreter does not exist; it may not be started."""

_SITE = re.compile(r"(?:^|/)lib(?:64)?/python(\d)\.(\d+)(t?)/")
_INTERPRETERS = {
    "x86_64": frozenset({"/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1"}),
    "aarch64": frozenset({"/lib/ld-linux-aarch64.so.1", "/lib/ld-musl-aarch64.so.1"}),
}
"""The names that the ABIs fix (System V ABI, processor supplements; musl's ldso)."""


@dataclass(frozen=True)
class Misplaced:
    """One file, with what is wrong."""

    kind: Kind
    owner: str
    member: str
    object: Object | None
    said: str
    """What it is, as in ``libx.so is …``."""
    wanted: str
    """What it should be, and who says so."""
    is_sure: bool = True
    """Whether something certainly opens it."""

    @property
    def is_unloadable(self) -> bool:
        """Whether nothing follows from loading it."""
        return self.kind not in ("permissions", "neutral", "python")


def platform_of(item: Object) -> Platform:
    """Where an object can be loaded."""
    libc = "musl" if item.is_for_musl else "glibc" if item.is_for_glibc else None
    return Platform("Linux", item.elf.machine, libc)


def misplaced(scene: Scene, python: Object | None) -> list[Misplaced]:
    """The files of a scene that are for another platform or Python.

    Args:
        scene: the targets; a process has loaded what it has, so nothing of it is misplaced.
        python: the program that loads modules, if there is one.
    """
    if scene.kind == "process":
        return []
    environment, whose = _environment(scene, python)
    found: list[Misplaced] = []
    for owner, files in _by_owner(scene).items():
        declared = scene.declarations.get(owner, Declaration(owner, ""))
        away = _away(declared, environment)
        if away or (declared.platforms and not any(map(_is_judged, declared.platforms))):
            names = " or ".join(map(str, declared.platforms))
            kind: Kind = "owner" if away else "unknown"
            found += [
                Misplaced(kind, owner, member, item, f"{names} ({declared.said_by})", f"{environment} ({whose})")
                for member, _, item, platform in files
                if away or platform.system in (declared.platforms[0].system, None)
            ]
        if not away:
            found += _files(scene, declared, environment, whose, files)
    wrong = {(each.owner, each.member) for each in found}
    objects = [item for item in scene if (item.owner, item.member) not in wrong]
    found += _needed(scene, objects, wrong)
    found += _modules(scene, objects, environment)
    for item in objects:
        if item.is_program:
            found += _program(scene, item)
    return found


_Files = list[tuple[str, str, "Object | None", Platform]]
"""Member, path, object if it is one, platform."""


def _by_owner(scene: Scene) -> dict[str, _Files]:
    files: dict[str, _Files] = {owner: [] for owner in scene.declarations}
    for item in scene:
        files.setdefault(item.owner, []).append((item.member, item.path, item, platform_of(item)))
    for each in scene.foreign:
        declared = scene.declarations.get(each.owner)
        if each.is_named_for_linux or (declared and each.platform.system in {p.system for p in declared.platforms}):
            files.setdefault(each.owner, []).append((each.member, each.path, None, each.platform))
    return files


def _is_judged(platform: Platform) -> bool:
    return platform.system == "Linux" and platform.machine in MACHINES.values()


def _environment(scene: Scene, python: Object | None) -> tuple[Platform, str]:
    """What the environment is for: its Python, else most of an installation, else the first package for Linux."""
    if python:
        return platform_of(python), f"its Python, {python.member}"
    if scene.kind == "installed":
        counts: dict[str, int] = defaultdict(int)
        for item in scene:
            counts[item.elf.machine] += 1
        if counts:
            machine = max(counts, key=counts.__getitem__)
            return Platform("Linux", machine), "most of its files"
    every = [(each, said) for said in scene.declarations.values() for each in said.platforms]
    every.sort(key=lambda pair: pair[0].system != "Linux")
    for platform, said in every:
        return platform, f"{said.owner}: {said.said_by}"
    return Platform(), ""


def _away(declared: Declaration, environment: Platform) -> bool:
    return bool(declared.platforms) and all(each.differs(environment) for each in declared.platforms)


def _files(
    scene: Scene, declared: Declaration, environment: Platform, whose: str, files: _Files
) -> Iterator[Misplaced]:  # fmt: skip
    """The files for another platform than their owner declares, else than the environment."""
    wanted = declared.platforms or ((environment,) if scene.kind == "installed" and environment.machine else ())
    said = declared.said_by if declared.platforms else whose
    wrong = [
        (member, item, platform) for member, path, item, platform in files
        if wanted and all(platform.differs(each) for each in wanted)
        and not all(platform.is_named_in(_without_suffix(member), each) for each in wanted)
    ]  # fmt: skip
    everything = len(wrong) == len(files)
    needed = {name for item in scene for name in item.elf.needed}
    for member, item, platform in wrong:
        name = member.rpartition("/")[2]
        sure = everything or name in needed or bool(item and item.soname in needed) or _is_module(name, item)
        names = " or ".join(map(str, wanted))
        yield Misplaced("file", declared.owner, member, item, str(platform), f"{names} ({said})", sure)
    if declared.said_by and not declared.platforms and not wanted:
        for member, _, item, platform in files:
            if item is not None and not platform.is_named_in(_without_suffix(member)):
                yield Misplaced("neutral", declared.owner, member, item, str(platform),
                                f"any platform ({declared.said_by})", False)  # fmt: skip


def _without_suffix(member: str) -> str:
    """A member's path without the suffix of an extension module, which says what its name is, not what it is."""
    folder, slash, name = member.rpartition("/")
    match = MODULE.match(name)
    return f"{folder}{slash}{match['stem'] if match and (match['python'] or match['abi3']) else name}"


def _is_module(name: str, item: Object | None) -> bool:
    match = MODULE.match(name)
    return bool(match and (match["python"] or match["abi3"])) or bool(item and item.is_python_module)


def _needed(scene: Scene, objects: list[Object], wrong: set[tuple[str, str]]) -> Iterator[Misplaced]:
    """Libraries that are there for other machines only, though something needs them."""
    there: dict[str, list[tuple[str, str, Object | None, Platform]]] = defaultdict(list)
    for item in objects:
        for name in {item.name, item.soname}:
            there[name].append((item.owner, item.member, item, platform_of(item)))
    for each in scene.foreign:
        if each.is_named_for_linux:
            there[each.member.rpartition("/")[2]].append((each.owner, each.member, None, each.platform))
    said = set(wrong)
    for item in objects:
        for name in item.elf.needed:
            if name not in there or any(each[3].machine == item.elf.machine for each in there[name]):
                continue
            for owner, member, other, platform in there[name]:
                if (owner, member) not in said:
                    said.add((owner, member))
                    yield Misplaced("needed", owner, member, other, str(platform),
                                    f"{item.elf.machine}, as {item.name}, which needs it")  # fmt: skip


def _modules(scene: Scene, objects: list[Object], environment: Platform) -> Iterator[Misplaced]:
    """Extension modules whose suffix no Python of theirs looks for; one that has a sibling which fits is left out."""
    needed = {name for item in scene for name in item.elf.needed}
    groups: dict[str, list[tuple[Object, re.Match[str]]]] = defaultdict(list)
    for item in objects:
        if (match := MODULE.match(item.name)) and item.name not in needed and item.soname not in needed:
            groups[f"{item.path.rpartition('/')[0]}/{match['stem']}"].append((item, match))
    for group in groups.values():
        whys = [(item, _misnamed(scene, item, match, environment)) for item, match in group]
        if all(why for _, why in whys):
            several = len({match["version"] for _, match in group}) > 1
            for item, why in whys:
                if why and not (several and why[2]):
                    yield Misplaced("python", item.owner, item.member, item, why[0], why[1])


def _misnamed(
    scene: Scene, item: Object, match: re.Match[str], environment: Platform
) -> tuple[str, str, bool] | None:  # fmt: skip
    """For what a module's suffix is, and for what it should be; whether only its Python is wrong."""
    declared = scene.declarations.get(item.owner)
    platform = platform_of(item)
    suffix = platform_of_suffix(match)
    actual = Platform("Linux", item.elf.machine, platform.libc or environment.libc)
    if suffix.differs(actual):
        return f"{suffix} (its suffix)", str(actual), False
    pythons = declared.pythons if declared else frozenset[tuple[str, str]]()
    if pythons:
        wanted = ", ".join(sorted({f"{one}-{abi}" for one, abi in pythons}))
        said = f"{wanted} ({declared.said_by if declared else ''})"
    elif site := _SITE.search(item.path):
        version = f"cp{site[1]}{site[2]}"
        pythons, said = frozenset({(version, version + site[3])}), f"Python {site[1]}.{site[2]}{site[3]} (its folder)"
    else:
        return None
    if is_imported_by(match, pythons):
        return None
    if match["abi3"]:
        return "the stable ABI, which free-threaded Pythons do not load", said, True
    number = match["version"]
    name = "CPython" if match["python"] == "cpython" else "PyPy"
    return f"{name} {number[0]}.{number[1:]}{match['flags']} (its suffix)", said, True


def _program(scene: Scene, item: Object) -> Iterator[Misplaced]:
    interpreter = item.elf.interpreter or ""
    known = interpreter in _INTERPRETERS.get(item.elf.machine, ())
    there = scene.kind == "installed" and (os.path.exists(interpreter) or interpreter in scene.objects)  # noqa: PTH110
    if not known and not there and "placehold" not in interpreter:
        usual = " or ".join(sorted(name for name in _INTERPRETERS.get(item.elf.machine, ()) if "linux" in name))
        yield Misplaced("interpreter", item.owner, item.member, item, interpreter or "(empty)", usual)
    if not item.may_start:
        in_bin = item.path in {f"{folder}/bin/{item.name}" for folder in scene.folders}
        yield Misplaced("permissions", item.owner, item.member, item, "not executable", "", in_bin)
