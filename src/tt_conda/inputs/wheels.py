"""Fetch wheels from the package index into the store, with the machine's pip."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from packaging.utils import canonicalize_name

from tt_conda.base import process, settings
from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import disk_error_in, disk_errors, sha256_of
from tt_conda.base.progress import Stage
from tt_conda.inputs import mirrors
from tt_conda.inputs.lock import Wheel, find_wheel, find_wheels, load, refresh_command, wrong_hash
from tt_conda.inputs.store import Store

ANY_PYTHON = "3.10"
"""Python version used to request wheels for any Python: the oldest supported one."""

_GLIBCS = range(39, 4, -1)
_PLATFORMS = [
    *(f"manylinux_2_{minor}_x86_64" for minor in _GLIBCS),
    "manylinux2014_x86_64",
    "manylinux2010_x86_64",
    "manylinux1_x86_64",
    "linux_x86_64",
]
_LARGE = 8 << 20
"""Wheels of this size or more get their own pip process, so that large downloads run in parallel."""


def pip_command(*arguments: str) -> list[str]:
    """A quiet call of this interpreter's pip, with the machine's configuration."""
    return [
        sys.executable,
        "-m",
        "pip",
        *arguments,
        "--disable-pip-version-check",
        "--no-input",
        "--progress-bar",
        "off",
    ]


def target_arguments(python: str) -> list[str]:
    """The pip options for linux-64 wheels for ``python``, whichever Python runs pip."""
    python = python or ANY_PYTHON
    abi = "cp" + python.replace(".", "")
    arguments = ["--only-binary=:all:", "--no-deps", "--python-version", python, "--implementation", "cp"]
    for tag in (abi, "abi3", "none"):
        arguments += ["--abi", tag]
    for platform in _PLATFORMS:
        arguments += ["--platform", platform]
    return arguments


def run_pip(command: Sequence[str], what: str, folder: Path) -> str:
    """Run pip and return its output; a failure shows its last lines.

    It runs in ``folder``, one of our own, since ``python -m`` imports modules from the current folder.
    """
    done = process.run(command, env={**settings.pip_environ(), "PYTHONSAFEPATH": "1"}, cwd=folder, merge=True)
    if done.returncode == 0:
        return done.stdout
    if "No module named pip" in done.stdout:
        raise TtCondaError(
            f"{sys.executable} has no pip, which is needed to fetch {what}",
            f"Install it: {sys.executable} -m ensurepip",
        )
    noise = re.compile(r"^(Looking in |Location |.*\bis ignored\b|\[notice\]|\s*$)")
    lines = [line for line in done.stdout.splitlines() if not noise.match(line)]
    tail = "\n".join("  pip: " + line for line in lines[-8:])
    with disk_errors(folder):
        if error := disk_error_in(done.stdout):
            raise error
    raise PipFailed(what, tail, done.stdout)


class PipFailed(TtCondaError):
    """pip failed with its own error message."""

    def __init__(self, what: str, tail: str, output: str) -> None:
        super().__init__(
            f"pip could not fetch {what}:\n{tail}",
            "Check the network and pip's configuration (`pip config list`), then run the command again.",
        )
        self.output = output


def _label(entry: Wheel) -> str:
    return f"{entry.filename} ({entry.name} {entry.version})"


def _translate(error: PipFailed, entries: Sequence[Wheel], lock: Path | str) -> TtCondaError:
    """Translate pip's messages about hashes and missing files to our entries."""
    pattern = r"(\S+?)==(\S+).*?\n\s*Expected sha256 ([0-9a-f]{64})\s+Got\s+([0-9a-f]{64})"
    for _, _, expected, got in re.findall(pattern, error.output):
        for entry in entries:
            if entry.sha256 == expected:
                return wrong_hash(_label(entry), expected, got, lock)
    if match := re.search(r"No matching distribution found for ([^=\s]+)==", error.output):
        for entry in entries:
            if canonicalize_name(entry.name) == canonicalize_name(match[1]):
                return TtCondaError(
                    f"{_label(entry)}: the package index has no such file\n{error.what.split(chr(10), 1)[-1]}"
                    + mirrors.tried([entry]),
                    "The network may be down (see pip's lines). If the file was withdrawn, "
                    f"{mirrors.WAY_OUT}, or pin the current file: {refresh_command(lock)}",
                )
    return TtCondaError(error.what + mirrors.tried(entries), error.way_out)


def _download(store: Store, python: str, entries: Sequence[Wheel], lock: Path | str, progress: Stage | None) -> None:
    what = entries[0].filename if len(entries) == 1 else f"{len(entries)} wheels"
    with store.scratch() as folder:
        requirements = folder / "requirements.txt"
        got = folder / "wheels"
        with disk_errors(store.folder):
            requirements.write_text(
                "".join(f"{entry.name}=={entry.version} --hash=sha256:{entry.sha256}\n" for entry in entries)
            )
        target = target_arguments(python)
        command = pip_command("download", "--require-hashes", *target, "--dest", str(got), "-r", str(requirements))
        try:
            run_pip(command, what, folder)
        except PipFailed as error:
            raise _translate(error, entries, lock) from error
        for entry in entries:
            file = got / entry.filename
            if not file.is_file():
                others = ", ".join(sorted(p.name for p in got.iterdir())[:5])
                raise TtCondaError(
                    f"{_label(entry)}: pip downloaded another file ({others})",
                    f"Pin the current file: {refresh_command(lock)}",
                )
            digest = sha256_of(file)
            if digest != entry.sha256:
                raise wrong_hash(_label(entry), entry.sha256, digest, lock)
            store.put(file, entry.sha256)
            if progress:
                progress.advance()


def _batches(entries: Sequence[Wheel]) -> list[tuple[str, list[Wheel]]]:
    """Groups for one pip call each: one Python, no repeated names; large wheels alone, largest first."""
    alone = sorted((e for e in entries if e.size >= _LARGE), key=lambda e: -e.size)
    batches: list[tuple[str, list[Wheel]]] = [(e.python, [e]) for e in alone]
    small: list[tuple[str, dict[str, Wheel]]] = []
    for entry in entries:
        if entry.size >= _LARGE:
            continue
        for python, members in small:
            if python == entry.python and entry.name.lower() not in members:
                members[entry.name.lower()] = entry
                break
        else:
            small.append((entry.python, {entry.name.lower(): entry}))
    return batches + [(python, list(members.values())) for python, members in small]


def fetch_all(
    entries: Collection[Wheel],
    progress: Stage | None = None,
    store: Store | None = None,
    *,
    lock: Path | str = "FILE",
) -> dict[str, Path]:
    """Every wheel by its sha256: from the store, a mirror, or the index, with parallel downloads.

    Args:
        entries: the pins.
        progress: advanced by one per wheel.
        store: default: the one in the cache folder.
        lock: the lock file with the pins, for messages.

    Raises:
        TtCondaError: a wheel cannot be fetched, or is not the pinned file; the disk is full.
    """
    store = store or Store.default()
    found, missing = mirrors.collect(entries, store, progress)
    if missing:
        with process.Pool(4) as pool:
            jobs = [pool.submit(_download, store, python, batch, lock, progress) for python, batch in _batches(missing)]
            for job in jobs:
                job.result()
        found |= {entry.sha256: store.path(entry.sha256, entry.filename) for entry in missing}
    return found


def fetch_wheel(entry: Wheel, store: Store | None = None, *, lock: Path | str = "FILE") -> Path:
    """One wheel; see :func:`fetch_all`."""
    return fetch_all([entry], store=store, lock=lock)[entry.sha256]


def pinned(lock_file: Path, version: str | None, python: str | None) -> Wheel:
    """The wheel of a lock file for this version; the first of them if the Python does not matter.

    Raises:
        TtCondaError: the lock file has no such wheel.
    """
    lock = load(lock_file)
    found = find_wheels(lock, version=version, python=python)
    return found[0] if found and python is None else find_wheel(lock, version=version, python=python)
