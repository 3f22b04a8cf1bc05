"""The folder of an environment: what it holds, and bringing it from one set of packages to another.

rattler writes a package's files, then its record in ``conda-meta/``. What a killed run left half done is known from a
journal, ``conda-meta/tt-conda.unfinished``, which the next run of :func:`transact` cleans up after.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import rattler
from rattler import MatchSpec, PrefixRecord, RepoDataRecord
from rattler.exceptions import ExtractError, InstallerError, IoError, LinkError, TransactionError
from rattler.install import InstallerReporter

from tt_conda.base import files
from tt_conda.base.documents import read_json
from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import disk_errors, sha256_of, write_atomically
from tt_conda.base.location import local_path
from tt_conda.base.progress import Stage, stage
from tt_conda.base.settings import cache_dir
from tt_conda.channel import network
from tt_conda.channel.index import known_sha256
from tt_conda.environment.clobber import check_clobber

_JOURNAL = "tt-conda.unfinished"
_LOCK = ".tt-conda.lock"


def installed(prefix: Path) -> list[PrefixRecord]:
    """The packages in ``prefix``; a record that a killed run wrote by half is deleted, so that it is linked again."""
    records = []
    for path in sorted((prefix / "conda-meta").glob("*.json")):
        try:
            records.append(PrefixRecord.from_path(path))
        except (OSError, ValueError, IoError):
            path.unlink()
    return records


@contextmanager
def locked(prefix: Path) -> Iterator[None]:
    """Make ``prefix`` an environment folder and keep other processes out of it.

    Raises TtCondaError where it is a file, cannot be written to, or holds something else than an environment.
    """
    meta = prefix / "conda-meta"
    if prefix.exists() and not prefix.is_dir():
        raise TtCondaError(f"{prefix} is a file, not a folder.", "Choose another --prefix.")
    if prefix.is_dir() and not meta.is_dir() and any(prefix.iterdir()):
        raise TtCondaError(
            f"{prefix} is not empty and is not an environment; nothing was written.",
            "Choose a --prefix that is new, empty or made by `tt-conda install`.",
        )
    with disk_errors(prefix):
        meta.mkdir(parents=True, exist_ok=True)
        (meta / _LOCK).touch()
    with files.locked(meta / _LOCK):
        yield


def transact(records: Sequence[RepoDataRecord], prefix: Path, specs: Sequence[str], *, distrust: bool) -> None:
    """Make ``prefix`` hold exactly ``records``; call it inside :func:`locked`.

    ``specs`` are kept as what the person asked for. ``distrust`` hashes every file again, instead of believing
    the index about files that have not changed since. Raises TtCondaError before anything is written where two
    packages hold the same file or a local package is not the one in its channel's index.
    """
    journal = prefix / "conda-meta" / _JOURNAL
    interrupted = _clean_up(journal, prefix)
    present = installed(prefix)
    before, after = {_identity(record) for record in present}, {_identity(record) for record in records}
    asked = {str(MatchSpec(spec)) for record in present for spec in record.requested_specs}
    wanted = {str(MatchSpec(spec)) for spec in specs}
    if before == after and not interrupted and asked == wanted:
        return
    new = [record for record in records if _identity(record) not in before or record.name.normalized in interrupted]
    verify(new, distrust=distrust)
    paths = check_clobber(records) if new else {}
    touched = {record.name.normalized for record in new}
    touched |= {record.name.normalized for record in present if _identity(record) not in after}
    # rattler writes the record of a package anew where another spec asks for it.
    rewritten = {str(MatchSpec(spec).name.normalized) for spec in asked ^ wanted}
    touched |= rewritten & {record.name.normalized for record in present}
    packages = cache_dir() / "pkgs"
    # Of what is replaced too: its record may be gone before its files are.
    leaving = {str(path) for record in present if record.name.normalized in touched for path in record.files}
    coming = {path for name in touched for path in paths.get(name, ())}
    unfinished = {"packages": sorted(touched), "paths": sorted(leaving | coming)}
    try:
        with disk_errors(prefix, packages), stage(f"Installing {len(new)} packages into {prefix}") as bar:
            packages.mkdir(parents=True, exist_ok=True)
            write_atomically(journal, json.dumps(unfinished))
            asyncio.run(
                rattler.install(
                    list(records),
                    prefix,
                    cache_dir=packages,
                    installed_packages=present,
                    show_progress=False,
                    client=network.client(),
                    reinstall_packages=interrupted & {record.name.normalized for record in present},
                    requested_specs=[MatchSpec(spec)._match_spec for spec in specs],  # py-rattler 0.28 does not unwrap
                    reporter=_Reporter(bar),  # type: ignore[abstract]
                )
            )
    except (InstallerError, LinkError, TransactionError, ExtractError, IoError, OSError) as error:
        raise TtCondaError(
            f"Installing into {prefix} failed: {error}", "The same command again completes it."
        ) from error
    journal.unlink()


def verify(records: Sequence[RepoDataRecord], *, distrust: bool = False) -> None:
    """Compare the local packages among ``records`` with their sha256; rattler does so only for downloads.

    Raises TtCondaError naming each package that is missing or differs, with the expected and the found sha256.
    """
    wrong = []
    for record in records:
        path = local_path(record.url)
        if path and not path.is_file():
            wrong.append(f"{record.file_name} is missing: {path}")
        elif path and record.sha256:
            found = sha256_of(path) if distrust else known_sha256(path)
            if found != record.sha256.hex():
                wrong.append(
                    f"{record.file_name} is another file ({path}):\n"
                    f"    expected sha256 {record.sha256.hex()}\n    found    sha256 {found}"
                )
    if wrong:
        raise TtCondaError(
            "Nothing was installed, because of\n  " + "\n  ".join(wrong),
            "If the channel is right: `tt-conda lock …` for a new lock file. If not: delete the package and run"
            " `tt-conda build` again.",
        )


def _identity(record: RepoDataRecord) -> tuple[str, str]:
    return record.file_name, record.sha256.hex() if record.sha256 else record.url


def _clean_up(journal: Path, prefix: Path) -> set[str]:
    """Delete the files that an interrupted run put there without a record; the names of the packages it was at."""
    try:
        unfinished = read_json(journal.read_text())
    except FileNotFoundError:
        return set()
    owned = {str(path) for record in installed(prefix) for path in record.files}
    for path in set(unfinished["paths"]) - owned:
        with suppress(OSError):
            (prefix / path).unlink()
    return set(unfinished["packages"])


class _Reporter(InstallerReporter):
    """rattler's progress on our bar."""

    def __init__(self, bar: Stage) -> None:
        self._bar = bar

    def on_transaction_start(self, total_operations: int) -> None:
        self._bar.total(total_operations)

    def on_populate_cache_start(self, operation: int, package_name: str) -> int:
        self._bar.describe(f"unpacking {package_name}")
        return 0

    def on_link_start(self, operation: int, package_name: str) -> int:
        self._bar.describe(f"linking {package_name}")
        return 0

    def on_transaction_operation_complete(self, operation: int) -> None:
        self._bar.advance()
