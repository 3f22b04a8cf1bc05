"""Decide the destination of each file of the wheels before anything is written."""

from __future__ import annotations

import itertools
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tt_conda.base.errors import TtCondaError
from tt_conda.carve.report import DroppedLibrary
from tt_conda.carve.rules import Edit, Rules
from tt_conda.elf import Elf, ElfError, plain_soname, read
from tt_conda.elf.names import version_of
from tt_conda.elf.rewrite import Change
from tt_conda.formats.wheel import OpenWheel
from tt_conda.providers import Providers

_MODULE = re.compile(r"\.(cpython-\d+[^/]*|abi3)\.so$")


@dataclass(frozen=True)
class Member:
    """One shared object of a wheel, unpacked and read."""

    wheel: OpenWheel
    name: str
    elf: Elf
    bytes: int
    destination: str
    """Path in the prefix if it were an ordinary file."""

    @property
    def plain_name(self) -> str:
        """File name without auditwheel's hash."""
        return plain_soname(PurePosixPath(self.name).name)

    @property
    def vendored(self) -> bool:
        """Whether auditwheel put it there (``NAME.libs/``)."""
        return self.name.split("/")[0].endswith(".libs")

    def __str__(self) -> str:
        return f"{self.wheel.path.name}: {self.name}"


@dataclass
class PlacedObject:
    """A shared object that the prefix will hold."""

    member: Member
    path: str
    change: Change
    links: dict[str, str] = field(default_factory=dict)
    """Path in the prefix → target, both relative."""
    original_sha256: str = ""
    """Of the wheel's member, set when it is placed."""


@dataclass
class Edited:
    """A file of a wheel, edited by the rules (:class:`~tt_conda.carve.rules.Edit`) on its way to the prefix."""

    wheel: OpenWheel
    name: str
    path: str
    """In the prefix."""
    original_sha256: str
    edits: list[Edit] = field(default_factory=list)


@dataclass
class Plan:
    """Everything that carving will write."""

    objects: list[PlacedObject] = field(default_factory=list)
    dropped: list[DroppedLibrary] = field(default_factory=list)
    depends: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    unprovided: dict[str, str] = field(default_factory=dict)
    """Soname without a provider → its consumers."""


def make_plan(members: Sequence[Member], rules: Rules, providers: Providers, environment: Mapping[str, str]) -> Plan:
    """Sort the shared objects of the wheels into libraries, modules and copies to drop.

    A library is dropped if the environment has its soname or a package of the table provides it. The wheel's own
    libraries go to ``lib/`` once. Python modules and plugins stay in place.

    Args:
        members: shared objects of all wheels, in order of preference.
        rules: name the wheels' own libraries.
        providers: the package that provides each soname.
        environment: names of libraries in the prefix's ``lib/``, with their sonames.

    Raises:
        TtCondaError: a needed soname has no provider.
    """
    plan = Plan()
    copies, modules = _sort(plan, members, rules, providers, environment)
    own = _merge_names(copies)
    names = {alias: soname for soname, found_copies in own.items() for alias in _names(soname, found_copies)}

    def resolve(needed: str, who: str) -> str:
        plain = plain_soname(needed)
        if known := names.get(plain) or environment.get(plain):
            return known
        if soname := rules.true_soname(plain):
            if soname in own or soname in environment:
                return soname
        elif found := providers.find(plain):
            if found[1]:
                plan.depends[found[1]].add(found[0])
            return found[0]
        plan.unprovided.setdefault(plain, f"{who} needs it")
        return needed

    def change(member: Member, path: str, soname: str | None) -> Change:
        needed = {name: resolve(name, str(member)) for name in member.elf.needed}
        up = os.path.relpath("lib", PurePosixPath(path).parent)
        return Change(soname, needed, "$ORIGIN" if up == "." else f"$ORIGIN/{up}")

    for soname, found_copies in sorted(own.items()):
        keep = min(found_copies, key=_preference)
        chain = sorted(_names(soname, found_copies), key=lambda name: (len(version_of(name)), name))
        path = f"lib/{chain[-1]}"
        links = {f"lib/{a}": b for a, b in itertools.pairwise(chain)}
        plan.objects.append(PlacedObject(keep, path, change(keep, path, soname), links))
        for copy in found_copies:
            if copy is not keep:
                same = "the same build" if copy.elf.build_id == keep.elf.build_id else "another build of it"
                _drop(plan, copy, soname, f"a copy: {same} stands as {path}")
    for member in modules:
        path = member.destination
        plan.objects.append(PlacedObject(member, path, change(member, path, member.elf.soname)))

    if plan.unprovided:
        raise _without_provider(plan.unprovided)
    return plan


def _without_provider(sonames: Mapping[str, str]) -> TtCondaError:
    lines = "\n".join(f"  {name}: {why}" for name, why in sorted(sonames.items()))
    return TtCondaError(
        f"these libraries have no provider:\n{lines}",
        "If it is one of the wheel's own, list it under `own` in the rules (--rules). If a conda package provides "
        "it, add `soname = package` to providers.toml. If it is in another wheel, carve both together.",
    )


def _sort(
    plan: Plan, members: Sequence[Member], rules: Rules, providers: Providers, environment: Mapping[str, str]
) -> tuple[dict[str, list[Member]], list[Member]]:
    """The wheel's own libraries, as copies by soname, and the modules and plugins; `plan` gets the rest."""
    copies: dict[str, list[Member]] = defaultdict(list)
    modules: list[Member] = []
    for member in members:
        name = member.plain_name
        if _MODULE.search(name):
            modules.append(member)
        elif name in environment or (member.elf.soname or "") in environment:
            _drop(plan, member, environment.get(name, member.elf.soname or name), "the environment has it")
        elif soname := rules.true_soname(_plain(member)) or rules.true_soname(name):
            copies[soname].append(member)
        elif found := providers.find(name):
            _drop(plan, member, found[0], f"{found[1] or 'glibc'} provides it")
        elif member.vendored or name.startswith("lib"):
            plan.unprovided[name] = f"the wheel carries a copy, {member}"
        else:
            modules.append(member)
    return copies, modules


def _plain(member: Member) -> str:
    return plain_soname(member.elf.soname or member.plain_name)


def _preference(member: Member) -> tuple[bool, int]:
    """Prefer a copy under its own name to a hash-suffixed one, and the longest version name: that is the real file."""
    return member.vendored, -len(version_of(member.plain_name))


def _names(soname: str, copies: Sequence[Member]) -> set[str]:
    return {soname, *(copy.plain_name for copy in copies)}


def _merge_names(copies: dict[str, list[Member]]) -> dict[str, list[Member]]:
    """Merge copies that a pattern in the rules kept separate: a hashed file name may be longer than the soname."""
    merged: dict[str, list[Member]] = {}
    by_build: dict[str, str] = {}
    for soname, members in sorted(copies.items(), key=lambda item: len(item[0])):
        build = members[0].elf.build_id or soname
        target = by_build.setdefault(build, soname)
        merged.setdefault(target, []).extend(members)
    return merged


def _drop(plan: Plan, member: Member, soname: str, why: str) -> None:
    plan.dropped.append(DroppedLibrary(member=str(member), soname=soname, bytes=member.bytes, why=why))


def environment_sonames(prefix: Path) -> dict[str, str]:
    """Names of the libraries in the prefix's ``lib/``, each with its soname.

    A hash-suffixed NEEDED is derived from a file name (``libnuma.so.1.0.0``), which may differ in another build.
    """
    lib, found = prefix / "lib", dict[str, str]()
    for path in lib.iterdir() if lib.is_dir() else ():
        if ".so" in path.name and path.is_file():
            try:
                soname = read(path).soname or path.name
            except ElfError:  # a linker script
                soname = path.name
            found[path.name] = soname if (lib / soname).is_file() else path.name
    return found
