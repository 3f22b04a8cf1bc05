"""From recipes to a channel: what to build, in which order, what is up to date, and the workers that do it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rattler_build import VariantConfig

from tt_conda.base import settings
from tt_conda.base.code import code_of, files_digest
from tt_conda.base.documents import read_json
from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import digest_of, disk_errors, locked, write_atomically
from tt_conda.base.location import channel_url, is_channel, local_path
from tt_conda.base.progress import Stage, console, stage
from tt_conda.building.cache import BuildCache, CachedPackage
from tt_conda.building.missing import missing_dependencies
from tt_conda.building.reproducible import FORMAT, NOT_KEPT
from tt_conda.building.variants import Output, as_option, closure, in_order, narrow, render
from tt_conda.building.worker import Job
from tt_conda.building.workers import Workers
from tt_conda.channel import index

COMPRESSION = 9
"""zstd level of the packages: 19 makes the suite 6 % smaller and the build five times slower."""

CARVER = "tt-conda"
"""The package that recipes carve with. It changes oftener than what it does, which ``TOOL`` and its needs tell."""

INTERNAL = ".internal"
"""The folder in a project's channel, a channel itself, for packages that others are only built with. Nothing that is
published, audited or installed from the channel sees them."""

TOOL = "tt_conda.commands.carve"
"""The part of tt-conda that recipes run: when its code changes, what was carved with it is built again. What it imports
is found by reading; the libraries and programs it uses are in the packages that it is built with."""


@dataclass
class Built:
    """What a build came to."""

    channel: Path
    built: list[str] = field(default_factory=list)
    current: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)
    """Packages that were built before from the same things, in another checkout or at another time."""
    untested: dict[str, list[str]] = field(default_factory=dict)
    """Package → names of the dependencies that no channel has, so that its tests could not run."""
    warnings: dict[str, list[str]] = field(default_factory=dict)
    """Package → what the check found in it that is no reason not to publish it."""
    left_out: list[str] = field(default_factory=list)
    """Packages that were asked for and are made for a Python that is not here."""
    older: list[str] = field(default_factory=list)
    """Packages that are built on request and are there, made from something older than what the recipes say now."""
    not_built: list[str] = field(default_factory=list)
    """Packages that are built on request and are nowhere."""
    requests: list[str] = field(default_factory=list)
    """The commands that build what is ``older`` or ``not_built``."""


Check = Callable[[Path, Path, Sequence[str | Path]], Sequence[str]]
"""Looks at a package before it is published: its file, its recipe's folder, the channels. Raises to refuse it."""

Supply = Callable[[Sequence[Output]], None]
"""Provides the sources of what is going to be built, before anything is. Raises where it has not all of them."""


@dataclass(frozen=True)
class _Work:
    """One package to build, with the key of everything it is made from."""

    output: Output
    key: str


class Builder:
    """Builds packages into the channel of a project, some at a time; of long ones, which take all CPUs, one."""

    def __init__(
        self,
        project: Path,
        config: VariantConfig,
        channels: Sequence[str | Path],
        jobs: int,
        check: Check | None = None,
        instead: Collection[str] = (),
        several: Collection[str] = (),
        supply: Supply | None = None,
    ) -> None:
        self.project, self.config, self.jobs, self.check, self.instead = project, config, jobs, check, instead
        self.supply = supply
        self.several = several
        """The axes that have several values where nobody narrows them."""
        self.channel = project / "output"
        self.internal = self.channel / INTERNAL
        if not is_channel(self.channel):
            index.publish([], self.channel)
        self.channels = [channel_url(channel) for channel in (self.channel, *channels)]
        self.result = Built(self.channel)
        self.cache = BuildCache(settings.cache_dir() / "built")
        self._workers = Workers()
        self._wanted: dict[Path, set[str]] = {}
        """The packages that the recipes give now, by channel: others there are not to be built against."""
        for folder in (self.work, self.logs, self.state):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def work(self) -> Path:
        """Where workers work; nothing in it is ever seen by a solver."""
        return self.channel / ".work"

    @property
    def logs(self) -> Path:
        """One full log per package."""
        return self.channel / ".logs"

    @property
    def state(self) -> Path:
        """What each published package was made from."""
        return self.channel / ".state"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other builds out of the channel; sweep what a killed one left behind."""
        told = f"Another build is at work in {self.channel}; waiting for it."
        with locked(self.channel / ".build.lock", lambda: console.print(told)):
            for left in self.work.iterdir():
                shutil.rmtree(left, ignore_errors=True)
            yield

    def run(self, outputs: Sequence[Output], asked: Collection[str] = ()) -> Built:
        """Build what is not up to date, in order; of what is built on request only what was asked for or is needed.

        Raises:
            TtCondaError: a build or a test of a package failed; what was finished stays.
        """
        self._wanted = self._stems(outputs)
        for channel in self._wanted:
            here = (output for output in outputs if self._home(output) == channel)
            if damaged := [package for output in here if (package := self._damaged(output))]:
                index.remove(damaged, channel)
        keys: dict[str, str] = {}
        todo: list[_Work] = []
        unasked: list[Output] = []
        for output in in_order(outputs):
            keys[output.stem] = key = self._key(output, outputs, keys)
            if self._is_current(output, key):
                self.result.current.append(output.stem)
            elif self._reuse(output, key):
                pass
            elif not output.on_request or output.name in asked:
                todo.append(_Work(output, key))
            elif self._older(output):
                unasked.append(output)
                self.result.older.append(output.stem)
            elif any(other.is_made_against(output) and not other.on_request for other in outputs):
                todo.append(_Work(output, key))
            else:
                unasked.append(output)
                self.result.not_built.append(output.stem)
        last = [output for output in unasked if not any(other.requires(output) for other in unasked)]
        self.result.requests = sorted({self._request(output) for output in last})
        if todo and self.supply:
            self.supply([work.output for work in todo])
        if todo:
            with stage(f"Building {len(todo)} packages", total=len(todo)) as bar:
                self._run_all(todo, bar)
        return self.result

    def prune(self, outputs: Iterable[Output]) -> None:
        """Take packages of these outputs' names out of the channel that are none of them: older recipes' results.

        What was made with other values of an axis in place of the file's, as from somebody's own sources, stays.
        """
        outputs = list(outputs)
        names, stems = {output.name for output in outputs}, {output.stem for output in outputs}
        for channel, wanted in self._stems(outputs).items():
            stale = [
                path
                for path in channel.glob("*/*.conda")
                if path.stem not in wanted and path.stem.rsplit("-", 2)[0] in names and not self._is_of_others(path)
            ]
            if stale:
                index.remove(stale, channel)
                for stem in {path.stem for path in stale} - stems:
                    (self.state / f"{stem}.json").unlink(missing_ok=True)

    def _stems(self, outputs: Iterable[Output]) -> dict[Path, set[str]]:
        """Which packages belong in which of the two channels."""
        stems: dict[Path, set[str]] = {self.channel: set(), self.internal: set()}
        for output in outputs:
            stems[self._home(output)].add(output.stem)
        return stems

    def _home(self, output: Output) -> Path:
        return self.internal if output.internal else self.channel

    def _is_of_others(self, package: Path) -> bool:
        try:
            instead = read_json((self.state / f"{package.stem}.json").read_text()).get("instead", {})
        except (OSError, ValueError):
            return False
        axes = self.config.to_dict()
        return any(value not in map(str, axes.get(axis, [])) for axis, value in instead.items())

    def _key(self, output: Output, outputs: Sequence[Output], keys: Mapping[str, str]) -> str:
        parts: dict[str, Any] = {
            "engine": version("py-rattler-build"),
            "compression": COMPRESSION,
            "normal form": FORMAT,
            "stem": output.stem,
            "axes": sorted(output.axes.items()),
            "recipe": digest_of([output.recipe.parent], without=NOT_KEPT),
            "made against": self._made_against(output, outputs),
            "needs": sorted(keys[o.stem] for o in outputs if output.requires(o) and o.name != CARVER),
        }
        source = self.project / "src" / "tt_conda"
        folders = {(output.recipe.parent / path).resolve() for path in output.sources}
        if self.project.resolve() in folders:
            folders = {self.project / name for name in ("src", "pyproject.toml", "README.md", "LICENSE")}
        if folders:
            parts["sources"] = digest_of(sorted(folders))
        if CARVER in output.requirements:
            parts["tool"] = files_digest(code_of(TOOL, root=source), source)
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _made_against(self, output: Output, outputs: Sequence[Output]) -> list[str]:
        """What the channels offer for the build and host environments: sha256s; of a remote channel only its name."""
        wanted, found = list(output.environments), set[str]()
        if CARVER in wanted:
            wanted += [name for other in outputs if other.name == CARVER for name in other.needed_to_run]
        while wanted:
            if (name := wanted.pop()) not in found:
                found.add(name)
                for record in self._offered.get(name, ()):
                    wanted += [spec.split()[0] for spec in record["depends"]]
        local = [record["sha256"] for name in found for record in self._offered.get(name, ())]
        return sorted([*local, *(url for url in self.channels if local_path(url) is None)])

    @cached_property
    def _offered(self) -> dict[str, list[dict[str, Any]]]:
        """Records by name, of the channels on this machine that are not the project's own."""
        offered: dict[str, list[dict[str, Any]]] = {}
        for channel in self.channels[1:]:
            folder = local_path(channel)
            for record in index.records(folder).values() if folder else []:
                offered.setdefault(record["name"], []).append(record)
        return offered

    def _is_current(self, output: Output, key: str) -> bool:
        try:
            state = read_json((self.state / f"{output.stem}.json").read_text())
            package = self.channel / state["path"]
            current: bool = state["key"] == key and index.known_sha256(package) == state["sha256"]
        except (OSError, ValueError, KeyError):
            return False
        return current and self._still_untested(output, package, state["untested"])

    def _damaged(self, output: Output) -> Path | None:
        """The output's package, where it is no longer the file that was published."""
        try:
            state = read_json((self.state / f"{output.stem}.json").read_text())
            package = self.channel / str(state["path"])
            return package if index.known_sha256(package) != state["sha256"] else None
        except (OSError, ValueError, KeyError):
            return None

    def _still_untested(self, output: Output, package: Path, untested: list[str]) -> bool:
        """False where tests that could not run could run now: then the package is built again, with its tests."""
        if untested:
            if not missing_dependencies(package, self.channels):
                return False
            self.result.untested[output.stem] = untested
        return True

    def _reuse(self, output: Output, key: str) -> bool:
        """Take the package from those that this machine has built before, in whatever checkout."""
        kept = self.cache.get(key)
        if kept is None or not self._still_untested(output, kept.package, kept.untested):
            return False
        path = index.publish([kept.package], self._home(output), keep=True)[0]
        self._record(output, key, path, kept.untested)
        self.result.reused.append(output.stem)
        return True

    def _request(self, output: Output) -> str:
        """The command that builds an output, for those of its axes that have several values."""
        several = sorted({*self.several} & {*output.axes})
        options = [as_option(axis, output.axes[axis]) for axis in several]
        return " ".join(["tt-conda build", output.name, *options])

    def _older(self, output: Output) -> bool:
        """Whether a package of that name, version and build is there, or can be taken from where long builds are."""
        names = {f"{output.stem}{end}" for end in index.KINDS}
        if any(path.name in names for path in self.channel.glob("*/*")):
            return True
        places = [folder for url in settings.extra_channels() if (folder := local_path(channel_url(url)))]
        there = [path for folder in places for path in folder.glob("*/*.conda") if path.name in names]
        kept = CachedPackage(there[0], []) if there else self.cache.latest(output.stem)
        if kept is not None:
            index.publish([kept.package], self.channel, keep=True)
        return kept is not None

    def _record(self, output: Output, key: str, path: Path, untested: list[str]) -> None:
        record = {
            "key": key,
            "path": str(path.relative_to(self.channel)),
            "sha256": index.known_sha256(path),
            "untested": untested,
            "instead": {axis: value for axis, value in output.axes.items() if axis in self.instead},
        }
        write_atomically(self.state / f"{output.stem}.json", json.dumps(record))

    def _run_all(self, todo: Sequence[_Work], bar: Stage) -> None:
        settings.worker_environ()  # what is wrong in it is said before anything is built
        waiting, running = list(todo), dict[Future[None], _Work]()
        with ThreadPoolExecutor(self.jobs) as pool:
            try:
                while waiting or running:
                    unfinished = [work.output for work in [*waiting, *running.values()]]
                    for work in list(waiting):
                        long = work.output.on_request and any(other.output.on_request for other in running.values())
                        if len(running) < self.jobs and not long and not any(map(work.output.requires, unfinished)):
                            waiting.remove(work)
                            running[pool.submit(self._build, work, bar)] = work
                    bar.describe(", ".join(work.output.name for work in running.values()))
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        running.pop(future)
                        future.result()
                        bar.advance()
            except BaseException:
                self._workers.stop()
                raise

    def _build(self, work: _Work, bar: Stage) -> None:
        output = work.output
        start = time.monotonic()
        folder = self.work / output.stem
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        log = self.logs / f"{output.stem}.log"
        built = (p for channel, stems in self._wanted.items() for p in index.listed(channel) if p.path.stem in stems)
        index.link(built, folder / "channel")
        channels = [channel_url(folder / "channel"), *self.channels[1:]]
        job = Job(
            recipe=output.recipe,
            axes=dict(self.config.to_dict()),
            zip_keys=self.config.zip_keys or [],
            stem=output.stem,
            channels=channels,
            work=folder,
            log=log,
            compression=COMPRESSION,
            carver=CARVER,
        )
        package, untested, peak = self._workers.run(job, bar)
        if self.check and not output.internal:
            bar.describe(f"{output.name}: audit")
            if said := self.check(package, output.recipe.parent, channels):
                self.result.warnings[output.stem] = list(said)
        path = index.publish([package], self._home(output))[0]
        seconds = time.monotonic() - start
        self._record(output, work.key, path, untested)
        self.cache.put(work.key, path, untested, seconds, peak)
        shutil.rmtree(folder, ignore_errors=True)
        self.result.built.append(output.stem)
        if untested:
            self.result.untested[output.stem] = untested
        size = path.stat().st_size / 1e6
        took = f"{seconds / 60:.0f} min" if seconds > 600 else f"{seconds:.1f} s"
        console.print(f"  {output.stem} [dim]{size:.1f} MB, {took}, at most {peak / 1e9:.1f} GB of memory[/dim]")


def build(
    packages: Collection[str] = (),
    *,
    axes: Mapping[str, Sequence[str]] | None = None,
    channels: Callable[[], Sequence[str | Path]],
    pythons: Collection[str] | None = None,
    project: Path | None = None,
    jobs: int | None = None,
    check: Check | None = None,
    instead: Mapping[str, Sequence[str]] | None = None,
    supply: Supply | None = None,
) -> Built:
    """Build packages of a project's recipes, and the ones of the project that they require.

    Args:
        packages: names; none means all.
        axes: axis of ``variants.yaml`` → the values to build for; an axis that is not named keeps all.
        channels: where everything else comes from; not called before it is known that there is something to build.
        pythons: the versions that the channels have; packages for another one are left out and named. None: all.
        project: the checkout; default: the nearest folder with ``recipes/`` and ``variants.yaml``.
        jobs: builds side by side; default: half the CPUs, at least two. What is built on request comes one by one.
        check: looks at each package that was built before it is published.
        instead: axis → values that the channels have in place of those in ``variants.yaml``.
        supply: provides the sources of what is going to be built. None: rattler-build fetches them.

    What is built on request is built when it is in ``packages``, or required by something there that is; or when it is
    nowhere and something else is made in or against it.

    Raises:
        TtCondaError: no such package, an unreadable recipe, a failed build, none of a package's Pythons is there.
    """
    project = project or settings.project_dir()
    variants = project / "variants.yaml"
    config, outputs, chosen = select(project, packages, axes, instead)
    possible = [o for o in chosen if pythons is None or o.axes.get("python", "") in ("", *pythons)]
    if without := sorted(set(packages) - {output.name for output in possible}):
        absent = sorted({o.axes["python"] for o in chosen if o.name in without})
        raise TtCondaError(
            f"{', '.join(without)} cannot be built: no CPython {' or '.join(absent)} is in the channels",
            f"Install one, for instance: uv python install {' '.join(absent)}   and run the command again.",
        )
    with disk_errors(project / "output", settings.cache_dir()):
        origin = {axis: values for axis, values in (axes or {}).items() if axis == "origin"}
        several = [axis for axis, values in narrow(variants, origin, instead).to_dict().items() if len(values) > 1]
        side_by_side = jobs or max(2, (os.cpu_count() or 2) // 2)
        builder = Builder(project, config, channels(), side_by_side, check, instead or (), several, supply)
        builder.result.left_out = [o.stem for o in chosen if o not in possible]
        with builder.locked():
            long = [output for output in outputs if output.on_request]
            asked = {output.name for output in closure(long, packages)}
            result = builder.run(possible, asked)
            if not packages and not axes:  # only now: until their successors are there, the old ones are of use
                recipes = sorted(project.glob("recipes/*/recipe.yaml"))
                builder.prune([*outputs, *render(recipes, *_others(variants, instead))])
            return result


def select(
    project: Path,
    packages: Collection[str],
    axes: Mapping[str, Sequence[str]] | None = None,
    instead: Mapping[str, Sequence[str]] | None = None,
    without: Collection[str] = (),
) -> tuple[VariantConfig, list[Output], list[Output]]:
    """What a project's recipes give: the values of the axes, all packages, and those to build, with what they require.

    The last are not those called ``without``, nor what only those require.

    Raises:
        TtCondaError: no such package, no recipes, an unreadable one.
    """
    recipes = sorted(project.glob("recipes/*/recipe.yaml"))
    if not recipes or not (project / "variants.yaml").is_file():
        raise TtCondaError(
            f"{project}: no recipes here", "Run it in a checkout, or name one with the variable TT_CONDA_PROJECT."
        )
    config = narrow(project / "variants.yaml", axes or {}, instead)
    outputs = render(recipes, config)
    known = sorted({output.name for output in outputs})
    if unknown := sorted({*packages, *without} - set(known)):
        raise TtCondaError(f"no recipe gives {', '.join(unknown)} for these axes", f"There are: {', '.join(known)}.")
    wanted = [output for output in outputs if output.name not in without]
    return config, outputs, closure(wanted, packages or known)


def _others(variants: Path, instead: Mapping[str, Sequence[str]] | None) -> Iterator[VariantConfig]:
    """The axes of the origins that are built only where they are named."""
    for file in sorted(variants.parent.glob("variants.*.yaml")):
        yield narrow(variants, {"origin": [file.name.split(".")[1]]}, instead)
