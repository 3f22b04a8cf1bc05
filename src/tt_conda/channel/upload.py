"""Upload one package to a conda server, in a process of its own: ``python -m … KIND URL CHANNEL FILE``.

rattler-build's upload holds the interpreter until it is done, so the process that listens to ^C must be another one.
The key is in the environment: what is in arguments, everybody on the machine can read.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from rattler_build import (
    RattlerBuildError,
    upload_package_to_anaconda,
    upload_package_to_artifactory,
    upload_package_to_prefix,
    upload_package_to_quetz,
)

from tt_conda import settings

SECRETS = {
    "prefix": "PREFIX_API_KEY", "quetz": "QUETZ_API_KEY", "artifactory": "ARTIFACTORY_TOKEN",
    "anaconda": "ANACONDA_API_KEY",
}  # fmt: skip
"""Kind of server → the environment variable with its key. Without one, rattler's own store of keys is asked."""


def upload(kind: str, server: str, channel: str, file: str) -> None:
    """Upload a package; RattlerBuildError where the server does not take it."""
    key = settings.secret(SECRETS[kind])
    calls: Mapping[str, Callable[[], None]] = {
        "prefix": lambda: upload_package_to_prefix([file], server, channel, api_key=key, skip_existing=True),
        "quetz": lambda: upload_package_to_quetz([file], server, channel, api_key=key),
        "artifactory": lambda: upload_package_to_artifactory([file], server, channel, token=key),
        "anaconda": lambda: upload_package_to_anaconda([file], channel, api_key=key, url=server),
    }
    calls[kind]()


if __name__ == "__main__":
    try:
        upload(*sys.argv[1:])
    except RattlerBuildError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
