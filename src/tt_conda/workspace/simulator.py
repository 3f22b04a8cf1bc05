"""Which simulator an environment gets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tt_conda.base.errors import TtCondaError
from tt_conda.environment.solver import offered
from tt_conda.simulator.chips import HOME, build_of
from tt_conda.simulator.package import NAME
from tt_conda.workspace.manifest import Environment


def choose(environment: Environment, chip: str | None, channels: Sequence[str | Path]) -> Environment:
    """An environment with the simulator of ``chip``, in a folder of its own; as it is where none is asked for.

    Args:
        environment: one of a workspace.
        chip: as upstream names its files (``wh``, ``wh_x2``).
        channels: where packages come from.

    Raises:
        TtCondaError: there is no such chip, the environment has no simulator, or the channels have none to give.
    """
    build = build_of(chip) if chip else ""
    title = environment.title or environment.name
    if not any(spec.split()[0] == NAME for spec in environment.specs):
        if chip:
            raise TtCondaError(
                f"--chip: the environment {title} of {environment.manifest} has no {NAME}.",
                "tt-conda shell sim has one; for another: pixi add ttsim.",
            )
        return environment
    records = offered([NAME], channels).get(NAME, [])
    there = sorted({str(record.build).rpartition("_h")[0] for record in records})
    if not there or (chip and chip not in there):
        missing = f"No simulator of {chip} was added" if chip else "No simulator was added"
        raise TtCondaError(
            f"{missing}; there is one of {', '.join(there)}." if there else f"{missing}.",
            f"Download libttsim_{chip or 'wh'}.so from {HOME}/releases, then:"
            f" tt-conda simulator add libttsim_{chip or 'wh'}.so",
        )
    if not chip:
        return environment
    return replace(environment, specs=(*environment.specs, f"{NAME} * {build}"), title=f"{title}-{chip}")
