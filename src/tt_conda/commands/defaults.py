"""Which channels, Pythons and variant overrides count where a command names none.

``TT_CONDA_CHANNELS`` names the channel of everything that the suite does not build itself. Where nothing does, it is
conda-forge if that answers, and otherwise the embedded channel, made from files of this machine, Debian and PyPI. The
decision is left in ``TT_CONDA_CHANNELS``, for this process and its children: a build, its proof and its tests use one
channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tt_conda.base import settings
from tt_conda.base.errors import TtCondaError
from tt_conda.base.location import channel_url, is_channel
from tt_conda.base.progress import console
from tt_conda.channel.network import mirrored, why_not

if TYPE_CHECKING:
    from tt_conda.workspace.manifest import Workspace

EMBEDDED = "embedded"
"""The embedded channel's name, in ``TT_CONDA_CHANNELS`` and for ``--channel``."""

CONDA_FORGE = "conda-forge"


def names() -> list[str]:
    """The channels' names, decided now where nothing says them."""
    if not settings.channels():
        settings.set_channels([_choose()])
    return settings.channels()


def is_embedded(given: Sequence[str] | None = None) -> bool:
    """Whether the embedded channel is among ``given``, or else among those that count here."""
    return EMBEDDED in (given or names())


def others(given: Sequence[str] | None = None) -> list[str | Path]:
    """The channels ``given``, or else those that count here; the embedded one is made, where it is among them.

    Raises:
        TtCondaError: the embedded channel cannot be made.
    """
    return [_embedded() if name == EMBEDDED else name for name in (given or names())]


def upstreams(given: Sequence[str] | None = None) -> list[str | Path]:
    """Where everything comes from that the suite does not build itself: ``given``, or the channels that count here."""
    return others(given) if given else [*settings.extra_channels(), *others()]


def channels(given: Sequence[str] | None = None) -> list[str | Path]:
    """``output/``, if it is a channel already, then the :func:`upstreams`."""
    own = [settings.output_dir()] if is_channel(settings.output_dir()) else []
    return [*own, *upstreams(given)]


def workspace_channels(workspace: Workspace, given: Sequence[str] | None = None) -> list[str | Path]:
    """A workspace's channels; the :func:`upstreams` come in conda-forge's place.

    A folder that holds no channel yet, such as ``output/`` before the first build, is left out.
    """
    instead = others(given) if given else []
    found: list[str | Path] = []
    for channel in workspace.channels:
        if channel == CONDA_FORGE:
            found += instead or upstreams()
        elif not isinstance(channel, Path) or is_channel(channel):
            found.append(channel)
    return list(dict.fromkeys([*found, *instead]))


def overridden(given: Sequence[str] | None = None) -> dict[str, list[str]]:
    """Variant keys with the values that replace variants.yaml's: those of the embedded channel, where that counts."""
    if not is_embedded(given):
        return {}
    from tt_conda.embedded.table import Table

    return Table.load().axes


def variants(
    channel: list[str] | None, given: list[str] | None, tt_source: str | None = None, **axes: list[str] | None,
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:  # fmt: skip
    """The arguments ``axes`` and ``instead`` of :func:`tt_conda.building.build.build`, from options of a command.

    Raises:
        TtCondaError: an unknown key or value in ``given`` (``--variant``), or no such folder.
    """
    from tt_conda.building.variants import parse_variants

    wanted, instead = parse_variants(settings.project_dir() / "variants.yaml", given) if given else ({}, {})
    for axis, values in axes.items():
        if values:
            wanted[axis] = [*wanted.get(axis, ()), *values]
    if tt_source:
        instead["tt_source"] = [_source(tt_source)]
    replaced = {axis: values for axis, values in overridden(channel).items() if axis not in wanted}
    return wanted, {**replaced, **instead}


def _source(asked: str) -> str:
    """The axis's value: ``upstream``, or a folder, from here or from a recipe's own."""
    here = Path(asked).expanduser()
    if asked == "upstream":
        return asked
    if here.is_dir():
        return str(here.resolve())
    if any((recipe / asked).is_dir() for recipe in settings.project_dir().glob("recipes/*")):
        return asked
    raise TtCondaError(
        f"--tt-source: there is no folder {asked}",
        "Pass the folder that holds the repositories' folders (docs/source.md), or upstream.",
    )


def pythons(given: Sequence[str] | None = None) -> list[str] | None:
    """The Python versions to build and test for; None where the channels, which are not ours, decide."""
    if not is_embedded(given):
        return None
    from tt_conda.embedded.cpython import available_pythons

    return list(available_pythons())


def _choose() -> str:
    if trouble := why_not(mirrored(channel_url(CONDA_FORGE))):
        chosen, why, other = EMBEDDED, f"conda-forge does not answer: {trouble}", CONDA_FORGE
    else:
        chosen, why, other = CONDA_FORGE, "it answers", EMBEDDED
    console.print(
        f"Channel: {chosen} ({why}). Override with TT_CONDA_CHANNELS={other} or another channel.", markup=False
    )
    return chosen


def _embedded() -> Path:
    from tt_conda.embedded.assemble import ensure_channel

    return ensure_channel()
