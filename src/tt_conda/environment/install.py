"""Environments made and changed by specs or from a lock file, without any conda program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rattler import RepoDataRecord

from tt_conda.base.errors import TtCondaError
from tt_conda.environment import lockfile
from tt_conda.environment import prefix as prefixes
from tt_conda.environment.solver import parse_specs, solve


def install(
    specs: Sequence[str],
    prefix: Path,
    channels: Sequence[str | Path],
    frozen: Path | None = None,
    environment: str = lockfile.DEFAULT,
) -> list[RepoDataRecord]:
    """Add ``specs`` to the environment in ``prefix`` (made if it is not there); all packages that it then holds.

    What was asked for before stays asked for; packages that need not change do not. ``frozen`` installs exactly
    an ``environment`` of that lock file instead and refuses where ``specs`` are not in it; ``channels`` then say where
    its packages are.
    """
    prefix = prefix.expanduser().absolute()
    if frozen is not None:
        return lockfile.install_frozen(frozen, prefix, channels, specs, environment)
    if not specs:
        raise TtCondaError("There is nothing to install.", "Name a package, or give a lock file with --frozen.")
    new = parse_specs(specs)
    with prefixes.locked(prefix):
        present = prefixes.installed(prefix)
        before = parse_specs(sorted({spec for record in present for spec in record.requested_specs}))
        wanted = [*({**before, **new}).values()]
        records = solve(wanted, channels, locked=present)
        prefixes.transact(records, prefix, wanted, distrust=False)
    return records
