"""`tt-conda store`: downloaded inputs to another machine, and from one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tt_conda.commands.options import Locks

app = typer.Typer(
    help="""Copy the store of downloaded files: to keep what an index may delete, and for machines without a network.

    Name the copy, a folder or its URL, in TT_CONDA_STORES (separated by commas): it is asked before the index.

    Examples:

      tt-conda store export /mnt/inputs

      tt-conda store import https://example.org/inputs
    """,
    no_args_is_help=True,
)


@app.command("export")
def export(
    dest: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder, made if need be; what it has already stays.")],
    lock: Locks = None,
) -> None:
    """Copy downloaded files to a folder that can be moved, or served over HTTP. Interrupted, it resumes when run again.

    Examples:

      tt-conda store export /mnt/inputs

      tt-conda store export /mnt/inputs --lock recipes/ttnn/wheels.lock --lock src/tt_conda/embedded/inputs.lock
    """
    from tt_conda.inputs.transfer import export as run

    typer.echo(f"{dest}: {run(dest, lock or [])} files")


@app.command("import")
def import_(
    source: Annotated[
        str, typer.Argument(metavar="PLACE", help="An exported folder or its URL, or another cache's inputs folder.")
    ],
    lock: Locks = None,
) -> None:
    """Take files from another store. Each is verified by its sha256; one that does not match is reported and not used.

    Examples:

      tt-conda store import /mnt/inputs

      tt-conda store import https://example.org/inputs --lock recipes/ttnn/wheels.lock
    """
    from tt_conda.inputs.transfer import import_ as run

    taken, here = run(source, lock or [])
    typer.echo(f"{taken} files taken, {here} were here")
