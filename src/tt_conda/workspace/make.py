"""An environment of a workspace, made or brought up to date: its packages, checkouts for editing, variables."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rattler import MatchSpec, RepoDataRecord

from tt_conda.base import settings
from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import write_atomically
from tt_conda.base.location import channel_url, local_path
from tt_conda.base.progress import console
from tt_conda.building.variants import narrow, render
from tt_conda.channel import index
from tt_conda.environment import lockfile
from tt_conda.environment import prefix as prefixes
from tt_conda.environment import solver as environments
from tt_conda.workspace import checkouts
from tt_conda.workspace.manifest import Environment, Workspace

Mode = Literal["", "locked", "frozen"]
"""How the lock file counts: where it fits the manifest; it must fit; whether it fits or not."""

_VARIABLES = "etc/conda/env_vars.d/workspace.json"


def make(
    environment: Environment,
    prefix: Path,
    channels: Sequence[str | Path],
    *,
    mode: Mode = "",
    editable: Sequence[Path] = (),
) -> list[RepoDataRecord]:
    """Make ``prefix`` hold an environment; what is as it should be stays.

    Args:
        environment: what it shall hold.
        prefix: its folder, made if it is not there.
        channels: where packages come from, in order of priority; of a lock file's, where they are.
        mode: see :data:`Mode`. The lock file is the workspace's.
        editable: further checkouts that are installed for editing.

    Returns:
        All conda packages that it holds.

    Raises:
        TtCondaError: a package or a checkout is missing, nothing satisfies the specs, or the lock file does not.
    """
    projects = [checkouts.project(path) for path in [*environment.editable, *editable]]
    records = _locked(environment, channels, mode)
    if records is None:
        records = solve(environment, channels, locked=_held(prefix))
    checkouts.check_against(projects, records)
    with prefixes.locked(prefix):
        prefixes.transact(records, prefix, list(environment.specs), distrust=mode != "")
        _set_variables(environment, prefix)
        _place_scripts(environment, prefix)
        checkouts.install(
            environment.requirements, projects, prefix, records, environment.develop, environment.manifest.parent
        )
    return records


def solve(
    environment: Environment, channels: Sequence[str | Path], locked: Sequence[RepoDataRecord] = ()
) -> list[RepoDataRecord]:
    """The packages of an environment; ``locked`` are preferred.

    Raises:
        TtCondaError: with the solver's explanation, and the command that builds what the project has not built yet.
    """
    try:
        return environments.solve(
            environment.specs, channels, locked=locked, constraints=environment.constraints, glibc=environment.glibc
        )  # fmt: skip
    except TtCondaError as error:
        if command := _command(environment, channels):
            raise TtCondaError(f"{error.what}\nNot all that this project builds is there.", command) from error
        raise


def lock(
    workspace: Workspace, names: Sequence[str], channels: Sequence[str | Path], file: Path
) -> dict[str, list[RepoDataRecord]]:
    """Solve environments and write a lock file that has them; without ``names`` all that are for this machine.

    With ``names``, what the file has of the workspace's other environments stays. Nothing is written where one of them
    cannot be solved (TtCondaError).
    """
    chosen = [workspace.environment(name) for name in names or filter(workspace.has_here, workspace.names)]
    found = {environment.name: solve(environment, channels) for environment in chosen}
    kept = {
        name: lockfile.Locked(lockfile.read_lock(file, channels, name), lockfile.locked_specs(file, name))
        for name in (lockfile.names(file) if names and file.is_file() else ())
        if name in workspace.names and name not in found
    }
    new = {environment.name: lockfile.Locked(found[environment.name], environment.specs) for environment in chosen}
    everything = {**kept, **new}
    lockfile.write_locks(file, {name: everything[name] for name in workspace.names if name in everything}, channels)
    return found


def _held(prefix: Path) -> Sequence[RepoDataRecord]:
    """The packages of an environment, if it is one: not while another process is changing it."""
    if not (prefix / "conda-meta").is_dir():
        return ()
    with prefixes.locked(prefix):
        return prefixes.installed(prefix)


def _command(environment: Environment, channels: Sequence[str | Path]) -> str:
    """The `tt-conda build` that makes what the project has recipes for and no channel folder holds; or nothing.

    A package counts if it is made for the builds that the environment asks for, such as libcxx.
    """
    project = settings.project_dir()
    recipes, variants = sorted(project.glob("recipes/*/recipe.yaml")), project / "variants.yaml"
    if not recipes or not variants.is_file():
        return ""
    specs = [spec.split() for spec in (*environment.specs, *environment.constraints)]
    builds = {part for spec in specs for part in re.split(r"[*_]+", "".join(spec[2:]))}
    folders = [folder for channel in channels if (folder := local_path(channel_url(channel)))]
    records = [record for folder in folders for record in index.records(folder).values()]
    origins = [file.name.split(".")[1] for file in sorted(project.glob("variants.*.yaml"))]
    for chosen in ({}, *({"origin": [origin]} for origin in origins)):
        config = narrow(variants, chosen)
        axes = {axis: value for axis, values in config.to_dict().items() for value in values if value in builds}
        made = {output.name for output in render(recipes, config) if {*axes.values()} <= {*output.axes.values()}}
        there = {record["name"] for record in records if {*axes.values()} <= {*record["build"].split("_")}}
        names = [spec[0] for spec in specs[: len(environment.specs)] if spec[0] in made - there]
        if names:
            options = chosen | {axis: [value] for axis, value in axes.items()}
            words = [f"--{axis.replace('_', '-')} {values[0]}" for axis, values in options.items()]
            return " ".join(["tt-conda build", *names, *words])
    return ""


def _locked(environment: Environment, channels: Sequence[str | Path], mode: Mode) -> list[RepoDataRecord] | None:
    """What the lock file has for an environment; None where it is not to count."""
    if mode == "" and not environment.lock.is_file():
        return None
    try:
        records = lockfile.read_lock(environment.lock, channels, environment.name)
        if mode != "frozen":
            _fits(environment, records)
        lockfile.fits_machine(records)
    except TtCondaError as error:
        if mode:
            raise
        console.print(f"{error.what} So it is solved anew; `tt-conda lock` writes it.", markup=False)
        return None
    return records


def _fits(environment: Environment, records: Sequence[RepoDataRecord]) -> None:
    """Raise TtCondaError where the lock file is older than the manifest, or than a package that it has."""
    lock = environment.lock
    by_name = {record.name.normalized: record for record in records}
    for specs, needed in ((environment.specs, True), (environment.constraints, False)):
        for spec in map(MatchSpec, specs):
            record = by_name.get(spec.name.normalized)
            if needed if record is None else not spec.matches(record):
                raise TtCondaError(f"{lock} does not hold {str(spec)!r} for {environment.name}.", "tt-conda lock")
    for record in records:
        path = local_path(record.url)
        if (
            path is not None
            and record.sha256
            and (not path.is_file() or index.known_sha256(path) != record.sha256.hex())
        ):
            raise TtCondaError(f"{lock} has another {record.file_name} than there is now ({path}).", "tt-conda lock")


def _set_variables(environment: Environment, prefix: Path) -> None:
    """What activation sets; tt-conda's own variables are those that it was started with."""
    variables = {name: value for name, value in environment.variables.items() if not name.startswith("TT_CONDA_")}
    file = prefix / _VARIABLES
    if variables:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(variables, indent=1, sort_keys=True))
    else:
        file.unlink(missing_ok=True)


def _place_scripts(environment: Environment, prefix: Path) -> None:
    """Have every activation run the workspace's scripts, after the packages' own.

    Of ``activate.sh`` what lies beside it as ``deactivate.sh`` is run on leaving: pixi has no such script, conda does.
    """
    wanted: dict[Path, Path] = {}
    for number, script in enumerate(environment.scripts):
        wanted[prefix / f"etc/conda/activate.d/workspace-{number}-{script.name}"] = script
        back = script.with_name(f"de{script.name}")
        if script.name.startswith("activate") and back.is_file():
            wanted[prefix / f"etc/conda/deactivate.d/workspace-{number}-{back.name}"] = back
    for old in set(prefix.glob("etc/conda/*activate.d/workspace-*")) - set(wanted):
        old.unlink()
    for place, script in wanted.items():
        try:
            content = script.read_bytes()
        except OSError as error:
            raise TtCondaError(
                f"{environment.manifest}: the activation script {script} cannot be read: {error.strerror}",
                "Correct its name under [activation].",
            ) from error
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(place, content)
