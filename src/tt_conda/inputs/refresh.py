"""``tt-conda lock-inputs FILE``: resolve a lock file's requirements and pin the current files."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import Future, as_completed
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from packaging.utils import canonicalize_name

from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import sha256_of
from tt_conda.base.process import Pool
from tt_conda.base.progress import stage
from tt_conda.inputs.debian import Suite, downloaded
from tt_conda.inputs.lock import SUITE, Deb, Lock, Source, Want, Wheel, dump, load
from tt_conda.inputs.store import Store
from tt_conda.inputs.wheels import PipFailed, pip_command, run_pip, target_arguments


def _requirement(want: Want) -> str:
    version = want.version
    if version and version[0].isdigit():
        version = f"=={version}"
    return f"{want.wheel}{version}"


def _pin_wheels(store: Store, python: str, wants: list[Want]) -> list[Wheel]:
    pins: list[Wheel] = []
    with store.scratch() as folder:
        command = pip_command(
            "download",
            *target_arguments(python),
            "--dest",
            str(folder),
            *(_requirement(want) for want in wants),
        )
        run_pip(command, ", ".join(_requirement(want) for want in wants), folder)
        for file in sorted(folder.glob("*.whl")):
            name, version = file.name.split("-")[:2]
            want = next(want for want in wants if canonicalize_name(want.wheel) == canonicalize_name(name))
            size, sha256 = file.stat().st_size, sha256_of(file)
            pins.append(
                Wheel(
                    name=want.wheel,
                    version=version,
                    python=python,
                    filename=file.name,
                    size=size,
                    sha256=sha256,
                )
            )
            store.put(file, sha256)
    return pins


def _pin_debs(suite: str, names: list[str]) -> list[Deb]:
    archive = Suite(suite)
    return archive.pins(archive.candidates(names))


def _pin_sources(store: Store, suite: str, part: Literal["orig", "debian"], names: list[str]) -> list[Source]:
    archive = Suite(suite, "deb-src")
    versions = archive.candidates(names)
    pins: list[Source] = []
    with store.scratch() as folder:
        folder.chmod(0o755)
        done = archive.download([f"{name}={versions[name]}" for name in names], folder, part)
        for name in names:
            pin = Source(
                name=name, version=versions[name], suite=suite, part=part, filename="?", size=0, sha256="0" * 64
            )
            file = downloaded(folder, pin)
            if file is None:
                raise TtCondaError(f"apt-get could not fetch {name} {versions[name]} ({part}):\n{done.stderr[-800:]}")
            found = {"filename": unquote(file.name), "size": file.stat().st_size, "sha256": sha256_of(file)}
            pins.append(pin.model_copy(update=found))
            store.put(file, pins[-1].sha256, pins[-1].filename)
    return pins


def _rounds(wants: list[Want]) -> list[list[Want]]:
    """Groups without repeated names (pip takes one version per call)."""
    rounds: list[dict[str, Want]] = []
    for want in wants:
        for group in rounds:
            if want.wheel not in group:
                group[want.wheel] = want
                break
        else:
            rounds.append({want.wheel: want})
    return [list(group.values()) for group in rounds]


def _home(want: Want) -> tuple[str, Literal["orig", "debian"]]:
    return want.suite or SUITE, want.part or "orig"


def _exact(lock: Lock, want: Want) -> list[Wheel]:
    """The pins of a want with an exact version, if complete: an index never changes a file."""
    found = [
        pin
        for pin in lock.wheel
        if want.wheel and canonicalize_name(pin.name) == canonicalize_name(want.wheel) and pin.version == want.version
    ]
    return found if {pin.python for pin in found} == {*(want.python or ("",))} else []


def refresh(path: Path, *, keep_exact: bool = False) -> Lock:
    """Resolve every ``[[want]]`` of a lock file again, rewrite the file, and return the new pins.

    Args:
        path: the lock file.
        keep_exact: keep the pins of wants with an exact version instead of downloading the same files again.

    Raises:
        TtCondaError: the file is not a lock file, or a requirement cannot be fetched; the file is unchanged then.
    """
    lock = load(path)
    store = Store.default()
    by_python: dict[str, list[Want]] = {}
    by_suite: dict[str, list[str]] = {}
    by_part: dict[tuple[str, Literal["orig", "debian"]], list[str]] = {}
    kept: list[Wheel] = []
    for want in lock.want:
        if keep_exact and (exact := _exact(lock, want)):
            kept += exact
            continue
        if want.deb:
            by_suite.setdefault(want.suite or SUITE, []).append(want.deb)
        if want.source and want.source not in (names := by_part.setdefault(_home(want), [])):
            names.append(want.source)
        for python in want.python or ("",) if want.wheel else ():
            by_python.setdefault(python, []).append(want)
    with Pool(4) as pool, stage(f"Resolving {path.name}") as shown:
        wheels = [
            pool.submit(_pin_wheels, store, python, group)
            for python, wants in by_python.items()
            for group in _rounds(wants)
        ]
        debs = [pool.submit(_pin_debs, suite, names) for suite, names in by_suite.items()]
        sources = [pool.submit(_pin_sources, store, *home, names) for home, names in by_part.items()]
        jobs: list[Future[Any]] = [*wheels, *debs, *sources]
        shown.total(len(jobs))
        for job in as_completed(jobs):
            try:
                job.result()
            except PipFailed as error:
                if "No matching distribution" not in error.output:
                    raise
                raise TtCondaError(
                    error.what, f"Correct its version or Python in the `want` tables of {path}."
                ) from error
            shown.advance()
        fresh = Lock(
            want=lock.want,
            wheel=(*kept, *(pin for job in wheels for pin in job.result())),
            deb=tuple(pin for job in debs for pin in job.result()),
            source=tuple(pin for job in sources for pin in job.result()),
        )
    dump(fresh, path)
    return fresh


def moved(before: Lock, after: Lock) -> list[str]:
    """One line per name whose pinned versions differ."""
    old, new = _versions(before), _versions(after)
    return [
        f"{name} {', '.join(sorted(old[key] - new[key])) or '-'} → {', '.join(sorted(new[key] - old[key])) or '-'}"
        for key in sorted({*old, *new})
        if old[key] != new[key] and (name := key[1])
    ]


def _versions(lock: Lock) -> defaultdict[tuple[str, str], set[str]]:
    found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    pins: list[Wheel | Deb | Source] = [*lock.wheel, *lock.deb, *lock.source]
    for pin in pins:
        found[type(pin).__name__, pin.name].add(pin.version)
    return found
