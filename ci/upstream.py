"""Move the pins to what upstream has now: ``python ci/upstream.py [--write] [--summary FILE]``.

pip is asked for the versions of the recipes' wheels. ``--write`` puts the newest in the place of the newest pinned: in
the recipes' ``wheels.lock`` (with sha256 and size), in ``variants.yaml`` and in ``ci/proof.toml``. A wheel that is made
for one version of another one (``zip_keys``) is only reported: which one a new version fits, no index says.

Then it moves the other pins: what every lock file (``LOCKS``) wants without an exact version, and the packages of the
tool's own environment (``ci/requirements.txt``). A file whose pins cannot be moved stays as it is, and the summary says
why.

Exit codes: 0 done; 1 done, but for what the summary names; 2 the index could not be asked. Whether anything is newer
stands in the summary.

Examples:

  python ci/upstream.py                                  which of the recipes' wheels are newer
  python ci/upstream.py --write --summary summary.md     all pins rewritten, for a pull request
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile

from packaging.version import Version

from tt_conda.base.errors import TtCondaError
from tt_conda.building.variants import narrow
from tt_conda.inputs.lock import Lock, Want, dump, find_wheels, load
from tt_conda.inputs.refresh import refresh
from tt_conda.inputs.wheels import fetch_wheel, pip_command, run_pip, target_arguments

PROJECT = Path(__file__).parents[1]

LOCKS = ("recipes/*/*.lock", "src/tt_conda/embedded/inputs.lock", "tests/wheels.lock")
"""Every lock file of the project."""
REQUIREMENTS = "ci/requirements.txt"

Renew = Callable[[Path], object]
"""Rewrite the pins of a file."""
Ask = Callable[[str, str], Sequence[str]]
"""Distribution and Python version → the versions that have a wheel."""


@dataclass(frozen=True)
class Newer:
    """A distribution with a version that is newer than the newest that is pinned."""

    lock: Path
    name: str
    pinned: str
    newest: str
    python: tuple[str, ...]
    with_wheel: bool
    """Whether it goes with one version of another wheel."""
    beside: dict[str, str]
    """What else belongs to the pinned version: axis of ``variants.yaml`` → value."""


def ask_pip(name: str, python: str) -> list[str]:
    """The versions that pip finds wheels of, for linux-64; pre-releases too.

    Raises:
        TtCondaError: pip fails, or does not say them.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = target_arguments(python)
        target.remove("--no-deps")
        command = pip_command("index", "versions", name, "--json", "--pre", *target)
        at = command.index("--progress-bar")  # not of this command
        del command[at : at + 2]
        said = run_pip(command, f"the versions of {name}", Path(folder))
    try:
        found: list[str] = json.loads(said[said.index("{") : said.rindex("}") + 1])["versions"]
    except (ValueError, KeyError) as error:
        raise TtCondaError(
            f"pip does not say the versions of {name}, but: {said.strip()[:300]!r}",
            f"Update it: {sys.executable} -m pip install -U pip",
        ) from error
    return found


def check(project: Path, ask: Ask = ask_pip) -> list[Newer]:
    """What is newer. A version counts when it has wheels for every Python that is wanted of the pinned one.

    Raises:
        TtCondaError: the index cannot be asked.
    """
    locks = sorted({path.resolve() for path in project.glob("recipes/*/wheels.lock")})
    wheels = {want.version for lock in locks for want in load(lock).want}
    found = []
    for lock in locks:
        newest_wants: dict[str, Want] = {}
        for want in load(lock).want:
            before = newest_wants.get(want.wheel)
            if before is None or Version(before.version) < Version(want.version):
                newest_wants[want.wheel] = want
        for want in newest_wants.values():
            versions = set.intersection(*({*ask(want.wheel, python)} for python in want.python or ("",)))
            stable = not Version(want.version).is_prerelease
            newer = [Version(v) for v in versions if Version(v) > Version(want.version)
                     and not (stable and Version(v).is_prerelease)]  # fmt: skip
            if newer:
                beside = _beside(project, want.version)
                found.append(Newer(lock, want.wheel, want.version, str(max(newer)), want.python,
                                   bool(wheels & set(beside.values())), beside))  # fmt: skip
    return found


def write(newer: Newer, project: Path, renew: Callable[[Path], Lock] = refresh) -> None:
    """Put the newer version in the older one's place, everywhere.

    Raises:
        TtCondaError: the wheels cannot be fetched; nothing is changed then.
    """
    lock = load(newer.lock)
    wants = [
        want.model_copy(update={"version": newer.newest})
        if (want.wheel, want.version) == (newer.name, newer.pinned) else want
        for want in lock.want
    ]  # fmt: skip
    before = newer.lock.read_text()
    dump(lock.model_copy(update={"want": tuple(wants)}), newer.lock)
    try:
        renew(newer.lock)
    except BaseException:
        newer.lock.write_text(before)
        raise
    word = re.compile(rf"(?<![\w.]){re.escape(newer.pinned)}(?![\w]|\.\d)")
    for path in (project / "variants.yaml", project / "ci/proof.toml"):
        path.write_text(word.sub(newer.newest, path.read_text()))


@dataclass(frozen=True)
class Moved:
    """What became of the pins of one file."""

    file: str
    """Relative to the project."""
    changes: tuple[str, ...] = ()
    failed: str = ""
    """Why they could not be moved."""


def renew_lock(lock: Path) -> None:
    """Pin what a lock file wants without an exact version."""
    refresh(lock, keep_exact=True)


def renew_requirements(file: Path) -> None:
    """Pin the newest packages that pyproject.toml allows for the tool's own environment.

    Raises:
        TtCondaError: uv fails.
    """
    command = [sys.executable, str(file.with_suffix(".py")), "pin", "--upgrade"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TtCondaError("\n".join((done.stdout + done.stderr).strip().splitlines()[-8:]))


def move(project: Path, lock: Renew = renew_lock, requirements: Renew = renew_requirements) -> list[Moved]:
    """Move all pins; a file whose pins cannot be moved is left as it was."""
    ways = {**dict.fromkeys(LOCKS, lock), REQUIREMENTS: requirements}
    files = {path.resolve(): renew for pattern, renew in ways.items() for path in sorted(project.glob(pattern))}
    found = []
    for file, renew in files.items():
        name, before = file.relative_to(project.resolve()).as_posix(), file.read_text()
        old = pins(file)
        try:
            renew(file)
            found.append(Moved(name, tuple(differences(old, pins(file)))))
        except (TtCondaError, OSError) as error:
            file.write_text(before)
            found.append(Moved(name, failed=str(error)))
    return found


def pins(file: Path) -> dict[str, tuple[str, str]]:
    """What a lock file or a requirements file pins → its version and its hashes."""
    if file.suffix == ".txt":
        text = file.read_text().replace("\\\n", " ")
        lines = re.findall(r"^([\w.-]+)==(\S+) *(;[^#\n]*?)?((?: +--hash=\S+)+)", text, re.M)
        return {f"{name} {marker.strip()}".strip(): (version, hashes) for name, version, marker, hashes in lines}
    lock = load(file)
    found: dict[str, list[tuple[str, str]]] = {}
    for wheel in lock.wheel:
        found.setdefault(f"{wheel.name} {wheel.python and f'(Python {wheel.python})'}".strip(), []).append(
            (wheel.version, wheel.sha256)
        )
    for deb in lock.deb:
        found.setdefault(f"{deb.name} ({deb.suite})", []).append((deb.version, deb.sha256))
    for source in lock.source:
        found.setdefault(f"{source.name} ({source.suite}, {source.part})", []).append((source.version, source.sha256))
    return {name: (", ".join(v for v, _ in some), ", ".join(h for _, h in some)) for name, some in found.items()}


def differences(old: dict[str, tuple[str, str]], new: dict[str, tuple[str, str]]) -> Iterator[str]:
    """Lines on what changed between two states of a file's pins."""
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if before is None or after is None:
            yield f"{name} {'new: ' + after[0] if after else 'gone'}"
        elif before[0] != after[0]:
            yield f"{name} {before[0]} → {after[0]}"
        elif before[1] != after[1]:
            yield f"{name} {after[0]}: another file of the same version"


def summary(found: Sequence[Newer], changes: Callable[[Newer], Sequence[str]], moved: Sequence[Moved] = ()) -> str:
    """What a person who looks at it must know, as Markdown."""
    lines = [] if found else ["Every wheel that the recipes pin is the newest.", ""]
    for newer in found:
        lines += [f"## {newer.name} {newer.newest}", "", f"Pinned: {newer.pinned}.", ""]
        if newer.with_wheel:
            lines += ["It is made for one version of another wheel, so nothing was rewritten: find out which, and add",
                      "both to `wheels.lock` and `variants.yaml`.", ""]  # fmt: skip
            continue
        asked = changes(newer)
        lines += ["What its metadata asks for, compared with before (the recipe's `run` list repeats it):", "",
                  *(asked or ["- the same"]), ""]  # fmt: skip
        lines += [f"`{axis}` {value} stands beside it in `variants.yaml`: is it still right?"
                  for axis, value in newer.beside.items()]  # fmt: skip
        lines += ["Tests name versions too: `ci/run test` says where.", ""]
    for file in moved:
        if file.failed:
            lines += [f"## `{file.file}` was not moved", "", *(f"    {line}" for line in file.failed.splitlines()), ""]
        elif file.changes:
            lines += [f"## `{file.file}`", "", *(f"- {change}" for change in file.changes), ""]
    return "\n".join(lines)


def metadata_changes(newer: Newer, old: Lock) -> list[str]:
    """``Requires-Dist`` lines that only one of the two wheels has; after writing."""
    before = _requires(old, newer.name, newer.pinned)
    after = _requires(load(newer.lock), newer.name, newer.newest)
    return [f"- gone: `{line}`" for line in sorted(before - after)] + [
        f"- new: `{line}`" for line in sorted(after - before)
    ]


def _requires(lock: Lock, name: str, version: str) -> set[str]:
    wheel = fetch_wheel(find_wheels(lock, name, version)[0])
    with ZipFile(wheel) as archive:
        member = next(path for path in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", path))
        return set(message_from_bytes(archive.read(member)).get_all("Requires-Dist", []))


def _beside(project: Path, version: str) -> dict[str, str]:
    """What stands beside a version in ``variants.yaml`` (``zip_keys``), by axis."""
    config = narrow(project / "variants.yaml", {})
    values = config.to_dict()
    rows = [
        dict(zip(group, row, strict=True))
        for group in config.zip_keys or []
        for row in zip(*(map(str, values[axis]) for axis in group), strict=True)
    ]
    return {axis: value for row in rows if version in row.values() for axis, value in row.items()
            if value not in (version, "none")}  # fmt: skip


def main(
    arguments: Sequence[str],
    project: Path = PROJECT,
    ask: Ask = ask_pip,
    move_all: Callable[[Path], Sequence[Moved]] = move,
) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="rewrite the pins")
    parser.add_argument("--summary", type=Path, help="a file for the summary; default: standard output")
    options = parser.parse_args(arguments)
    try:
        found = check(project, ask)
        old = {newer.lock: load(newer.lock) for newer in found}
        for newer in found:
            if options.write and not newer.with_wheel:
                write(newer, project)
        moved = move_all(project) if options.write else []
        text = summary(found, lambda newer: metadata_changes(newer, old[newer.lock]) if options.write else [], moved)
    except TtCondaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.summary:
        options.summary.write_text(text + "\n")
    else:
        print(text)
    return 1 if any(file.failed for file in moved) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
