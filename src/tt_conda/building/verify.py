"""Build packages again from what they say they were made from, and compare: are they the same files, bit for bit?

A package holds its variant and, by sha256, every package of the environments that it was built in. It is built in
another folder, in environments of exactly those packages, from the recipe of the checkout. What is carved does not
depend on them and does not name them: its environments are of what fits in the channels.

The package itself is not trusted. Its record only chooses among what the named channels hold: an input has the recorded
sha256 and comes from one of them, or there is none. Building runs code that the record has a part in choosing, so a
package that isn't from this checkout is built again only if asked for.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rattler.package_streaming import download_to_path

from tt_conda.base import settings
from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import disk_errors, sha256_of
from tt_conda.base.location import channel_url, file_name, is_below, local_path
from tt_conda.base.progress import Stage, stage
from tt_conda.base.secrets import hide
from tt_conda.building.build import CARVER, COMPRESSION, INTERNAL
from tt_conda.building.compare import Difference, differences
from tt_conda.building.reproducible import RENDERED, Origins, load_rendered
from tt_conda.building.variants import Output, narrow, render
from tt_conda.building.worker import Job
from tt_conda.building.workers import Workers
from tt_conda.channel import index, network
from tt_conda.channel.index import IndexedPackage, link, listed
from tt_conda.formats import conda
from tt_conda.inputs.store import Store

_SHA256 = re.compile(r"[0-9a-f]{64}")
_FETCHING = threading.Lock()


@dataclass
class Rebuilt:
    """What came of building one package again."""

    package: Path
    sha256: str
    again: str
    """Sha256 of what was built now."""
    differences: list[Difference] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Whether it is the same file."""
        return self.sha256 == self.again


def verify(
    packages: Sequence[Path],
    channels: Sequence[str | Path],
    *,
    project: Path | None = None,
    jobs: int = 2,
    keep: Path | None = None,
    foreign: bool = False,
) -> list[Rebuilt]:
    """Build packages again and compare.

    Args:
        packages: files.
        channels: where the packages are that they were built with.
        project: the checkout with the recipes; default: as for building.
        jobs: builds side by side.
        keep: a folder for what was built; default: nothing stays.
        foreign: whether packages from elsewhere than the checkout's ``output/`` may be built again.

    Raises:
        TtCondaError: a package is foreign, needs an input that no channel has, or cannot be read; no recipe gives it,
            or building it failed.
    """
    project = project or settings.project_dir()
    own = (project / "output").resolve()
    if not foreign and (others := [package for package in packages if own not in package.resolve().parents]):
        raise TtCondaError(
            f"{others[0]} is not from {own}: building it again runs code that the package has a part in choosing",
            "If you trust its origin, say so with --foreign.",
        )
    given = list(map(channel_url, channels))
    internal = [folder / INTERNAL for url in given if (folder := local_path(url))]
    urls = [*given, *(channel_url(folder) for folder in internal if folder.is_dir())]
    offers = [offer for url in urls if (folder := local_path(url)) for offer in listed(folder)]
    workers = Workers()
    with tempfile.TemporaryDirectory(prefix="tt-conda-verify-") as scratch, ThreadPoolExecutor(jobs) as pool:
        with stage(f"Building {len(packages)} packages again", total=len(packages)) as bar:
            work = [Path(scratch, str(number)) for number in range(len(packages))]
            futures = [
                pool.submit(_verify, package, project, urls, offers, workers, folder, bar, keep)
                for package, folder in zip(packages, work, strict=True)
            ]
            try:
                return [future.result() for future in futures]
            except BaseException:
                workers.stop()
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def named(names: Sequence[str]) -> list[Path]:
    """The packages that are meant: files, or those of that name in ``output/``.

    Without names all of those, but what takes so long to build that it is built on request.

    Raises:
        TtCondaError: there is no such package.
    """
    output = settings.output_dir()
    there = sorted(path for channel in (output, output / INTERNAL) for path in channel.glob("*/*.conda"))
    found: list[Path] = []
    for name in names:
        if name.endswith(".conda"):
            if not Path(name).is_file():
                raise TtCondaError(f"there is no file {name}", "Check the path.")
            found.append(Path(name))
        elif chosen := [path for path in there if path.stem.rsplit("-", 2)[0] == name]:
            found += chosen
        else:
            raise TtCondaError(
                f"there is no package {name} in {output}",
                "Build it (`tt-conda build`), or name a file: a path that ends with .conda.",
            )
    if not names and not there:
        raise TtCondaError(f"there are no packages in {output}", "Build them: tt-conda build")
    return found or [path for path in there if _is_built(path)]


def _verify(
    package: Path,
    project: Path,
    channels: list[str],
    offers: Sequence[IndexedPackage],
    workers: Workers,
    work: Path,
    bar: Stage,
    keep: Path | None,
) -> Rebuilt:
    rendered = _rendered(package)
    made = rendered["build_configuration"]
    variant = {key: str(value) for key, value in made["variant"].items()}
    output = _output(project, package, variant)
    finalized = rendered.get("finalized_dependencies") or {}
    environments = [found for part in ("build", "host") if (found := finalized.get(part))]
    wanted = [record for found in environments for record in found.get("resolved", [])]
    if unknown := [record["fn"] for record in wanted if not _SHA256.fullmatch(str(record.get("sha256")))]:
        raise TtCondaError(
            f"{package} was built with {unknown[0]} and does not say which: there is no sha256.",
            f"Build it again with this tt-conda: tt-conda build {output.name}",
        )
    carved = not wanted and any(found.get("specs") for found in environments)
    inputs = channels if carved else _inputs(package, wanted, channels, offers, work / "inputs")
    (work / "build").mkdir(parents=True)
    logs = project / "output/.logs"
    logs.mkdir(parents=True, exist_ok=True)
    config = _config(project, variant)
    job = Job(
        recipe=output.recipe,
        axes=dict(config.to_dict()),
        zip_keys=config.zip_keys or [],
        stem=package.stem,
        channels=inputs,
        work=work / "build",
        log=logs / f"{package.stem}.again.log",
        compression=COMPRESSION,
        carver=CARVER,
        tested=False,
        origins=Origins(
            [str(url) for url in made.get("channels", [])],
            {record["sha256"]: record["url"] for record in wanted},
            {record["sha256"]: record["channel"] for record in wanted},
        ),
    )
    again, _, _ = workers.run(job, bar)
    verdict = Rebuilt(package, sha256_of(package), sha256_of(again))
    if not verdict.same:
        verdict.differences = differences(package, again)
    if keep:
        index.publish([again], keep)
    bar.advance()
    return verdict


def _is_built(package: Path) -> bool:
    """Whether `tt-conda build` makes it unasked: not what takes long, and not what has no recipe, such as ttsim."""
    with conda.opened(package, [conda.INFO]) as parts:
        if RENDERED not in parts[conda.INFO].entries:
            return False
    return not _rendered(package)["recipe"].get("extra", {}).get("on_request")


def _rendered(package: Path) -> Any:
    with conda.opened(package, [conda.INFO]) as parts:
        if RENDERED not in parts[conda.INFO].entries:
            raise TtCondaError(
                f"{package} does not say how it was built: it has no {RENDERED}.",
                "Name packages that rattler-build has built, as `tt-conda build` does.",
            )
        return load_rendered(parts[conda.INFO].read(RENDERED))


def _config(project: Path, variant: dict[str, str]) -> Any:
    """The axes with the package's own values, whether or not ``variants.yaml`` still has them."""
    origin = {"origin": [variant["origin"]]} if (project / f"variants.{variant.get('origin')}.yaml").is_file() else {}
    axes = narrow(project / "variants.yaml", origin).to_dict()
    known = {axis: [value] for axis, value in variant.items() if axis in axes}
    listed = {axis: value for axis, value in known.items() if value[0] in map(str, axes[axis])}
    others = {axis: value for axis, value in known.items() if axis not in listed}
    return narrow(project / "variants.yaml", listed, others)


def _output(project: Path, package: Path, variant: dict[str, str]) -> Output:
    name = package.stem.rsplit("-", 2)[0]
    outputs = render(sorted(project.glob("recipes/*/recipe.yaml")), _config(project, variant))
    for output in outputs:
        if output.stem == package.stem:
            return output
    near = [output.stem for output in outputs if output.name == name]
    said = f"they give {', '.join(near)} for its variant" if near else "none of them has that name"
    raise TtCondaError(
        f"{package}: the recipes in {project} do not give this package: {said}",
        "Check out the commit that it was built from, or name that checkout with the variable TT_CONDA_PROJECT.",
    )


def _inputs(
    package: Path,
    wanted: Iterable[dict[str, Any]],
    channels: Sequence[str],
    offers: Sequence[IndexedPackage],
    folder: Path,
) -> list[str]:
    """The URL of a channel that holds the packages that are wanted, by their hashes, and nothing else.

    Raises:
        TtCondaError: none of the channels has one of them.
    """
    by_hash = {offer.record["sha256"]: offer for offer in offers}
    taken: dict[Path, IndexedPackage] = {}
    fetched: list[Path] = []
    for record in wanted:
        url, sha256 = str(record["url"]), str(record["sha256"])
        if sha256 in by_hash:
            taken[by_hash[sha256].path] = by_hash[sha256]
        elif is_below(url, channels):
            fetched.append(_fetch(url, sha256))
        else:
            name = f"{record['fn']} (sha256 {sha256})"
            raise TtCondaError(
                f"{package} was built with {name} from {hide(url)}, which no channel here has",
                "Name the channel that has it: --channel URL",
            )
    channel = folder / "channel"
    link(taken.values(), channel)
    if fetched:
        index.publish(fetched, channel, keep=True)
    return [channel_url(channel)]


def _fetch(url: str, sha256: str) -> Path:
    """A package of another channel, from the store of inputs where it is there.

    Raises:
        TtCondaError: it cannot be fetched, or is another one.
    """
    name, store = file_name(url), Store.default()
    with _FETCHING:  # what several packages were built with is fetched once
        if kept := store.get(sha256, name):
            return kept
        with store.scratch() as scratch:
            path = _download(url, scratch / name)
            if (found := sha256_of(path)) != sha256:
                raise TtCondaError(
                    f"{url}: sha256 {found} instead of {sha256}", "The channel holds another package by now."
                )
            return store.put(path, sha256)


def _download(url: str, path: Path) -> Path:
    try:
        with disk_errors(path.parent):
            asyncio.run(download_to_path(network.client(), url, path))
    except TtCondaError:
        raise
    except Exception as error:  # rattler's own classes, one for each cause
        raise TtCondaError(f"{url} cannot be fetched: {error}", "Check the network and try again.") from error
    return path
