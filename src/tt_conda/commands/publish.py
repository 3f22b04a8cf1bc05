"""`tt-conda publish`: packages of ``output/`` go where others install them from."""

from __future__ import annotations

from typing import Annotated

import typer


def publish(
    destination: Annotated[
        str,
        typer.Argument(metavar="DESTINATION", help="A folder, s3://BUCKET/CHANNEL, or KIND+https://SERVER/CHANNEL."),
    ],
    packages: Annotated[
        list[str] | None, typer.Argument(metavar="PACKAGE", help="Names of packages in output/; none means all.")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Leave this package out. Repeatable.")
    ] = None,
) -> None:
    """Publish packages of output/ so that no reader ever sees an index that names what is not there.

    KIND is prefix, quetz, artifactory or anaconda. Keys come from PREFIX_API_KEY, QUETZ_API_KEY, ARTIFACTORY_TOKEN,
    ANACONDA_API_KEY, or from rattler's own store of keys; those of S3 from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
    or AWS_PROFILE; AWS_ENDPOINT_URL names another store than Amazon's.

    Examples:

      tt-conda publish /srv/channels/tenstorrent

      tt-conda publish s3://my-bucket/tenstorrent

      tt-conda publish prefix+https://prefix.dev/my-channel tt-metal libttnn

      tt-conda publish /srv/channels/tenstorrent --without pytorch --without libtorch
    """
    from tt_conda.base import settings
    from tt_conda.channel.publish import publish as run
    from tt_conda.report.publish import show

    show(run(destination, settings.output_dir(), packages or [], without=without or []))
