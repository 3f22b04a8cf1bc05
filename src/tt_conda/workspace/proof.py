"""The proof at the end of a build: environments made from the channel, in which each library is mapped once.

In each, modules are imported and the process's maps read; and the whole environment is audited, what nothing imports
included. Where wheels are named, the same modules are then imported from those, with the same interpreter.

Which environments, and which packages stand against which wheels, is data: ``ci/proof.toml``.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from rattler.exceptions import SolverError

from tt_conda.audit.audit import audit
from tt_conda.audit.config import load_config
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.loader import this_system
from tt_conda.audit.mapped import MappedObject, mapped_objects, parse_probe, probe_command, problems
from tt_conda.audit.targets import read_targets
from tt_conda.audit.verdict import judge
from tt_conda.base import settings
from tt_conda.base.cache import FactCache
from tt_conda.base.documents import DocumentError, read_toml
from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import disk_errors
from tt_conda.base.progress import stage
from tt_conda.building.inventory import package_facts
from tt_conda.environment import solver
from tt_conda.environment.install import install
from tt_conda.environment.shell import activated
from tt_conda.inputs.lock import Wheel, find_wheel, load
from tt_conda.inputs.wheels import fetch_wheel


class _ProofTable(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PinnedWheel(_ProofTable):
    """A wheel of a lock file (relative to the proof file)."""

    lock: Path
    version: str
    python: str


class ProvedEnvironment(_ProofTable):
    """One environment to make and look at."""

    name: str
    python: str
    specs: list[str]
    imports: list[str]
    packages: list[str]
    """Packages whose Python modules are listed beside the libraries."""
    checks: list[str] = []
    """Python expressions over the imported packages and ``sys`` that must be true after the imports."""
    given: list[str] = []
    """Specs that need not be available: the environment is left out where no channel has packages for them."""
    otherwise: str = ""
    """The command that makes them available."""
    wheels: list[PinnedWheel] = []
    """The published wheels that bring the same modules, to compare what a process maps of them."""


class SizeComparison(_ProofTable):
    """Packages that stand for wheels: their shared objects are compared by size."""

    title: str
    python: str
    wheels: list[PinnedWheel]
    packages: list[str]
    """Patterns of package files without their ending."""


class ProofFile(_ProofTable):
    """``ci/proof.toml``."""

    environment: list[ProvedEnvironment]
    comparison: list[SizeComparison] = []


class _Seen(_ProofTable):
    """What one environment showed; kept, so that an unchanged one is not looked at twice."""

    files: list[str]
    """Mapped after importing."""
    from_wheels: dict[str, list[int]] = {}
    """Soname, without hashes → bytes of each copy mapped after importing from the wheels."""
    objects: int
    """How many shared objects and programs were audited."""
    findings: list[Finding]


_KNOWN: FactCache[_Seen] = FactCache("proofs", _Seen, __name__)


@dataclass
class Proof:
    """What each environment maps, the sizes, and everything that is wrong."""

    objects: dict[str, list[MappedObject]] = field(default_factory=dict)
    prefixes: dict[str, Path] = field(default_factory=dict)
    modules_of: dict[str, list[str]] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Title → bytes of shared objects in the wheels, and in the packages instead."""
    from_wheels: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    """ProvedEnvironment → soname → bytes of each copy that a process maps from the published wheels."""
    audits: dict[str, tuple[int, list[Finding]]] = field(default_factory=dict)
    """ProvedEnvironment → how many objects were audited, and what was found that the configuration does not ignore."""
    problems: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def prove(file: Path, channels: Sequence[str | Path], pythons: Sequence[str] | None = None) -> Proof:
    """Make the environments of a proof file, import in each, and see what is mapped.

    Args:
        file: ``ci/proof.toml``.
        channels: where the packages come from, in order of priority.
        pythons: versions that there are; what needs another one is left out and named. None: all.

    Raises:
        TtCondaError: the file cannot be read, an environment cannot be made, or an import fails.
    """
    try:
        wanted = ProofFile.model_validate(read_toml(file.read_text()))
    except (OSError, DocumentError, ValidationError) as error:
        raise TtCondaError(f"{file}: cannot be read as a proof: {error}", "See ci/proof.toml.") from error
    proof = Proof()
    chosen = [e for e in wanted.environment if pythons is None or e.python in pythons]
    proof.left_out = [f"{e.name}: no CPython {e.python} on this machine" for e in wanted.environment if e not in chosen]
    with stage(f"Proving {len(chosen)} environments", total=len(chosen)) as bar:
        for item in chosen:
            bar.describe(item.name)
            _look(item, file.parent, channels, proof)
            bar.advance()
        for comparison in wanted.comparison:
            if pythons is None or comparison.python in pythons:
                bar.describe(comparison.title)
                proof.sizes[comparison.title] = _compare(comparison, file)
    return proof


def _can_be_had(item: ProvedEnvironment, channels: Sequence[str | Path]) -> bool:
    """Whether the channels have packages for what an environment is given."""
    if item.given:
        try:
            solver.solve([*item.given, f"python {item.python}.*"], channels)
        except TtCondaError as error:
            if isinstance(error.__cause__, SolverError):
                return False
            raise
    return True


def _look(item: ProvedEnvironment, folder: Path, channels: Sequence[str | Path], proof: Proof) -> None:
    if not _can_be_had(item, channels):
        wanted = " with ".join(item.given)
        proof.left_out.append(f"{item.name}: no channel has {wanted}; to build it: {item.otherwise}")
        return
    prefix = settings.output_dir() / "envs" / item.name
    records = install([*item.specs, f"python {item.python}.*"], prefix, channels)
    packages = sorted(r.sha256.hex() for r in records if r.sha256)
    config = load_config(folder=folder)
    wheels = [_find(pin, folder).sha256 for pin in item.wheels]
    machine = asdict(this_system())  # where the linker looks for what comes from outside the environment
    identity = json.dumps([item.model_dump_json(), str(prefix), packages, wheels, config.model_dump_json(), machine])
    key = hashlib.sha256(identity.encode()).hexdigest()
    seen = _KNOWN.get(key)
    if seen is None or not all(Path(name).is_file() for name in seen.files):
        files = [str(path) for path in _import(prefix, item)]
        with read_targets([prefix]) as scene:
            findings = judge(audit(scene), config).findings
            seen = _Seen(
                files=files, from_wheels=_mapped_from_wheels(prefix, item, folder), objects=len(scene.objects),
                findings=findings,
            )  # fmt: skip
        _KNOWN.put(key, seen)
    objects = mapped_objects([Path(name) for name in seen.files], prefix)
    proof.objects[item.name] = objects
    proof.prefixes[item.name] = prefix.resolve()
    proof.modules_of[item.name] = item.packages
    if seen.from_wheels:
        proof.from_wheels[item.name] = seen.from_wheels
    proof.audits[item.name] = (seen.objects, seen.findings)
    wrong = [f"{f.code} {f.message}" for f in seen.findings if f.severity is not Severity.NOTE]
    proof.problems += [f"{item.name}: {text}" for text in [*problems(objects, prefix), *wrong]]


def _import(prefix: Path, item: ProvedEnvironment, python: Path | None = None) -> list[Path]:
    """Import an environment's modules, by another interpreter if one is given; the files that are mapped then."""
    python = python or prefix / "bin" / "python"
    # What this person's shell loads or prefers is not the environment's doing.
    base = {name: value for name, value in settings.environ().items() if not name.startswith(("LD_", "PYTHON"))}
    done = subprocess.run(
        probe_command(python, item.imports, item.checks), capture_output=True, text=True, check=False,
        env=activated(prefix, base),
    )  # fmt: skip
    if done.returncode:
        raise TtCondaError(
            f"{python}: importing {', '.join(item.imports)} failed:\n{(done.stderr or done.stdout).strip()[-2000:]}",
            f"Look at it by hand: tt-conda run --prefix {prefix} python -c 'import {item.imports[0]}'",
        )
    return parse_probe(done.stdout)


def _mapped_from_wheels(prefix: Path, item: ProvedEnvironment, folder: Path) -> dict[str, list[int]]:
    """Import from an environment's wheels, in a virtual environment on top of it; what is mapped of them, by soname."""
    if not item.wheels:
        return {}
    found: dict[str, list[int]] = {}
    with tempfile.TemporaryDirectory(prefix="tt-conda-") as name, disk_errors(Path(name)):
        venv = Path(name).resolve()
        site_packages = venv / "lib" / f"python{item.python}" / "site-packages"
        options = ["--without-pip", "--system-site-packages"]
        subprocess.run([prefix / "bin" / "python", "-I", "-m", "venv", *options, venv], check=True)
        for pin in item.wheels:
            wheel = fetch_wheel(_find(pin, folder))
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(site_packages)
        files = [path for path in _import(prefix, item, venv / "bin" / "python") if venv in path.parents]
        for mapped in mapped_objects(files, prefix):
            found.setdefault(mapped.soname, []).append(mapped.bytes)
    return found


def _find(pin: PinnedWheel, folder: Path) -> Wheel:
    return find_wheel(load(folder / pin.lock), version=pin.version, python=pin.python)


def _compare(comparison: SizeComparison, file: Path) -> tuple[int, int]:
    before = 0
    for wanted in comparison.wheels:
        lock = file.parent / wanted.lock
        before += _wheel_bytes(fetch_wheel(_find(wanted, file.parent), lock=lock))
    after = 0
    for pattern in comparison.packages:
        found = [p for p in settings.output_dir().glob("*/*.conda") if fnmatchcase(p.stem, pattern)]
        if len(found) != 1:
            raise TtCondaError(
                f"{file}: {comparison.title}: {len(found)} packages are called {pattern}", "Build them: tt-conda build"
            )
        after += sum(o.bytes for o in package_facts(found[0]).objects)
    return before, after


def _wheel_bytes(wheel: Path) -> int:
    """Bytes of the shared objects in a wheel: by name, and those that have no such name by their first bytes."""
    total = 0
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            name = member.filename.rsplit("/", 1)[-1]
            if ".so" in name:
                total += member.file_size
            elif "." not in name and member.file_size:
                with archive.open(member) as content:
                    total += member.file_size if content.read(4) == b"\x7fELF" else 0
    return total
