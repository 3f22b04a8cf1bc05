"""The proof at the end of a build: environments made from the channel, each library of them mapped once.

Which environments, and which wheels they stand against, is data: ``ci/proof.toml``.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Console
from rich.table import Table

from tt_conda import settings
from tt_conda.audit.mapped import MappedObject, by_library, mapped_objects, owners, parse_probe, probe_command, problems
from tt_conda.channel import environment
from tt_conda.channel.index import write_atomically
from tt_conda.channel.shell import activated
from tt_conda.elf import is_shared_object
from tt_conda.errors import TtCondaError
from tt_conda.inputs.lock import find_wheel, load
from tt_conda.inputs.wheels import fetch_wheel
from tt_conda.progress import console, stage

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class PinnedWheel(BaseModel):
    """A wheel that the environment is set beside."""

    model_config = ConfigDict(extra="forbid")
    lock: Path
    version: str
    python: str


class ProofEnvironment(BaseModel):
    """One environment to make and look at."""

    model_config = ConfigDict(extra="forbid")
    name: str
    python: str
    specs: list[str]
    imports: list[str]
    wheels: list[PinnedWheel]
    packages: list[str]
    """The packages that stand for the wheels: their sizes are compared."""


class _Seen(BaseModel):
    """What was found in one environment; kept, so that an unchanged environment is not looked at twice."""

    files: list[str]
    library_bytes: int
    """Shared objects of the packages that stand for the wheels."""


@dataclass
class Proof:
    """The environments, what each maps, and everything that is wrong."""

    objects: dict[str, list[MappedObject]]
    sizes: dict[str, tuple[int, int]]
    """Environment → bytes of shared objects in its wheels, and in the packages instead."""
    problems: list[str]
    left_out: list[str]
    prefixes: dict[str, Path]


def prove(file: Path, channels: Sequence[str | Path], pythons: Sequence[str] | None = None) -> Proof:
    """Make the environments of a proof file, import in each, and see what is mapped.

    Args:
        file: ``ci/proof.toml``.
        channels: where the packages come from, in order of priority.
        pythons: versions that there are; environments with another one are left out and named. None: all.

    Raises:
        TtCondaError: the file cannot be read, an environment cannot be made, or an import fails.
    """
    try:
        wanted = [ProofEnvironment.model_validate(e) for e in tomllib.loads(file.read_text())["environment"]]
    except (OSError, KeyError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise TtCondaError(
            f"{file}: cannot be read as a list of environments: {error}", "See ci/proof.toml."
        ) from error
    proof = Proof({}, {}, [], [], {})
    chosen = [e for e in wanted if pythons is None or e.python in pythons]
    proof.left_out = [f"{e.name}: no CPython {e.python} on this machine" for e in wanted if e not in chosen]
    with stage(f"Proving {len(chosen)} environments", total=len(chosen)) as bar:
        for item in chosen:
            bar.describe(item.name)
            _prove_one(item, file, channels, proof)
            bar.advance()
    return proof


def _prove_one(item: ProofEnvironment, file: Path, channels: Sequence[str | Path], proof: Proof) -> None:
    prefix = settings.output_dir() / "envs" / item.name
    records = environment.install([*item.specs, f"python {item.python}.*"], prefix, channels)
    identity = json.dumps([item.model_dump_json(), str(prefix), sorted(r.sha256.hex() for r in records if r.sha256)])
    memo = settings.cache_dir() / "proofs" / f"{hashlib.sha256(identity.encode()).hexdigest()}.json"
    if memo.is_file():
        seen = _Seen.model_validate_json(memo.read_text())
    else:
        files = _import(prefix, item.imports)
        own = owners(prefix.resolve())
        seen = _Seen(files=[str(f) for f in files], library_bytes=_library_bytes(own, item.packages))
        memo.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(memo, seen.model_dump_json())
    objects = mapped_objects([Path(f) for f in seen.files], prefix)
    proof.objects[item.name] = objects
    proof.prefixes[item.name] = prefix
    proof.problems += [f"{item.name}: {text}" for text in problems(objects, prefix)]
    wheels = [
        fetch_wheel(find_wheel(load(file.parent / w.lock), version=w.version, python=w.python)) for w in item.wheels
    ]
    proof.sizes[item.name] = (sum(_wheel_library_bytes(w) for w in wheels), seen.library_bytes)


def _import(prefix: Path, imports: Sequence[str]) -> list[Path]:
    command = probe_command(prefix / "bin" / "python", imports)
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=activated(prefix, settings.environ())
    )
    if done.returncode:
        raise TtCondaError(
            f"{prefix}: importing {', '.join(imports)} failed:\n{(done.stderr or done.stdout).strip()[-2000:]}",
            f"Look at it by hand: tt-conda run --prefix {prefix} python -c 'import {imports[0]}'",
        )
    return parse_probe(done.stdout)


def _library_bytes(own: dict[Path, str], packages: Sequence[str]) -> int:
    files = [f for f, package in own.items() if package in packages and not f.is_symlink() and f.is_file()]
    return sum(f.stat().st_size for f in files if is_shared_object(f))


def _wheel_library_bytes(wheel: Path) -> int:
    with zipfile.ZipFile(wheel) as archive:
        return sum(i.file_size for i in archive.infolist() if ".so" in i.filename.rsplit("/", 1)[-1])


def show(proof: Proof) -> None:
    """Print the table of libraries, the sizes, and what is wrong."""
    out = Console(highlight=False)
    if not out.is_terminal:
        out.width = 120
    names = list(proof.objects)
    table = Table(box=None, pad_edge=False, title="each library, its one package, and how often a process maps it")
    for column in ("package", "library", "path", *names):
        table.add_column(column, overflow="fold", justify="left" if column not in names else "right")
    for (library, package, path), counts in sorted(_rows(proof).items(), key=lambda row: (row[0][1], row[0][0])):
        table.add_row(package, library, path, *(f"{counts[n]}x" if n in counts else "" for n in names))
    out.print(table)
    sizes = Table(box=None, pad_edge=False, title="\nshared objects, MB")
    for column in ("environment", "in the wheels", "in our packages", "modules beside them"):
        sizes.add_column(column, justify="left" if column == "environment" else "right")
    for name, (before, after) in proof.sizes.items():
        modules = sum(1 for o in proof.objects[name] if o.package and o.path.parent.name != "lib")
        sizes.add_row(name, f"{before / 1e6:.1f}", f"{after / 1e6:.1f}", str(modules))
    out.print(sizes)
    for text in proof.left_out:
        console.print(f"[yellow]left out[/yellow] {text}")
    for text in proof.problems:
        console.print(f"[red]wrong[/red] {text}")


def _rows(proof: Proof) -> dict[tuple[str, str, str], dict[str, int]]:
    rows: dict[tuple[str, str, str], dict[str, int]] = {}
    for name, objects in proof.objects.items():
        prefix = proof.prefixes[name].resolve()
        for library, copies in by_library(objects).items():
            first = copies[0]
            if first.path.parent != prefix / "lib" or first.package is None:
                continue
            key = (library, first.package, str(first.path.relative_to(prefix)))
            rows.setdefault(key, {})[name] = len(copies)
    return rows
