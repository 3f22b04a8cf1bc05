"""Folders and environment variables: the only reader and writer of ``os.environ``."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tt_conda.base.documents import read_toml
from tt_conda.base.errors import TtCondaError


def cache_dir() -> Path:
    """The content-addressed cache: ``$TT_CONDA_CACHE``, else ``tt-conda`` in the user's cache folder."""
    if override := os.environ.get("TT_CONDA_CACHE"):
        return Path(override).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return (Path(base).expanduser() / "tt-conda").resolve()


def project_dir() -> Path:
    """The checkout whose ``recipes/`` are built: ``$TT_CONDA_PROJECT``, else the nearest one upwards."""
    if override := os.environ.get("TT_CONDA_PROJECT"):
        return Path(override).expanduser().resolve()
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if (folder / "recipes").is_dir() and (folder / "variants.yaml").is_file():
            return folder
    return here


def workspace_file() -> Path:
    """The workspace's ``pixi.toml``: that of ``$TT_CONDA_PROJECT``, else the nearest one upwards.

    One without a table ``workspace`` is a package's, and passed over (pixi v0.77.0,
    crates/pixi_manifest/src/discovery.rs, lines 518 to 562).
    """
    here = Path.cwd().resolve()
    folders = [project_dir()] if os.environ.get("TT_CONDA_PROJECT") else [here, *here.parents]
    files = [file for folder in folders if (file := folder / "pixi.toml").is_file()]
    return next((file for file in files if _has_workspace(file)), here / "pixi.toml")


def _has_workspace(manifest: Path) -> bool:
    """Whether it has that table, or may have it: what cannot be read is told by who reads it."""
    try:
        return "workspace" in read_toml(manifest.read_text())
    except (OSError, ValueError):
        return True


def output_dir() -> Path:
    """Where built packages go: ``output/`` of the project."""
    return project_dir() / "output"


def channels() -> list[str]:
    """The channels that somebody named, or that were decided on: ``$TT_CONDA_CHANNELS``, separated by commas."""
    return [name.strip() for name in os.environ.get("TT_CONDA_CHANNELS", "").split(",") if name.strip()]


def set_channels(names: Sequence[str]) -> None:
    """Set ``$TT_CONDA_CHANNELS``, for this process and those that it starts."""
    os.environ["TT_CONDA_CHANNELS"] = ",".join(names)


def extra_channels() -> list[str]:
    """A further channel for packages that take long to build: ``$TT_CONDA_EXTRA_CHANNEL``, a folder or a URL."""
    name = os.environ.get("TT_CONDA_EXTRA_CHANNEL", "").strip()
    return [name] if name else []


def pixi_config_file() -> Path | None:
    """The configuration that pixi reads instead of the machine's and the user's: ``$PIXI_CONFIG_FILE``."""
    name = os.environ.get("PIXI_CONFIG_FILE")
    return Path(name).expanduser().absolute() if name else None


def pixi_no_config() -> bool:
    """Whether pixi reads neither the machine's nor the user's configuration: ``$PIXI_NO_CONFIG``."""
    return os.environ.get("PIXI_NO_CONFIG", "").lower() in ("1", "true", "t", "yes", "y", "on")


@contextmanager
def default_variables(variables: Mapping[str, str]) -> Iterator[None]:
    """Set those of ``variables`` that are not set, for as long as the block runs."""
    new = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            del os.environ[name]


def stores() -> list[str]:
    """Further places for pinned files, asked before the package index: ``$TT_CONDA_STORES``, folders or URLs."""
    return [name.strip() for name in os.environ.get("TT_CONDA_STORES", "").split(",") if name.strip()]


def ask_store_first(folder: Path) -> None:
    """Put a folder before those of ``$TT_CONDA_STORES``, for this process and those that it starts."""
    os.environ["TT_CONDA_STORES"] = ",".join(dict.fromkeys([str(folder), *stores()]))


def sources() -> Path | None:
    """The folder that sources come from instead of the network: ``$TT_CONDA_SOURCES``."""
    name = os.environ.get("TT_CONDA_SOURCES", "").strip()
    return Path(name).expanduser().absolute() if name else None


def pinned() -> bool:
    """Whether a superseded Debian file ends the command instead of being replaced: ``$TT_CONDA_PINNED``.

    Raises:
        TtCondaError: the variable is neither 1 nor 0.
    """
    value = os.environ.get("TT_CONDA_PINNED", "").strip()
    if value not in ("", "0", "1"):
        raise TtCondaError(f"TT_CONDA_PINNED is {value!r}", "Set it to 1 (only pinned files) or 0, or unset it.")
    return value == "1"


def require_pinned() -> None:
    """As ``TT_CONDA_PINNED=1``, for this process and its children."""
    os.environ["TT_CONDA_PINNED"] = "1"


def secret(variable: str) -> str | None:
    """A key or token that an environment variable holds: never an argument, which others on the machine can read."""
    return os.environ.get(variable, "").strip() or None


_SECRET = re.compile(r"(?:^|_)(?:KEY|TOKEN|PASSWORD|PASSWD|SECRET|CREDENTIALS)(?:$|_)", re.IGNORECASE)
_SHORTEST = 6
"""Characters: hiding the value of ``X_KEY=1`` in messages would spoil them and protect nothing."""


def secrets() -> list[str]:
    """Keys, tokens and passwords that environment variables hold, judged by the variables' names; longest first."""
    found = {value.strip() for name, value in os.environ.items() if _SECRET.search(name)}
    return sorted((value for value in found if len(value) >= _SHORTEST), key=len, reverse=True)


_NEEDED = frozenset(
    [
        "HOME",
        "LANG",
        "LANGUAGE",
        "LOGNAME",
        "PATH",
        "SHELL",
        "TERM",
        "TMPDIR",
        "TZ",
        "USER",
        "NO_PROXY",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
        "XDG_RUNTIME_DIR",
        "DBUS_SESSION_BUS_ADDRESS",
        "RATTLER_AUTH_FILE",
        "RATTLER_CACHE_DIR",
    ]
)
"""Variables that any child may need: where it is, what it says, how it reaches the network and rattler's keys."""


def child_environ(*names: str) -> dict[str, str]:
    """The environment of a child: variables that any child needs, and those of the given names, where they are set."""
    wanted = _NEEDED | set(names)
    return {
        name: value
        for name, value in os.environ.items()
        if name in wanted or name.startswith("LC_") or (name.lower().endswith("_proxy") and name.upper() in wanted)
    }


def own_environ() -> dict[str, str]:
    """The environment for a process that runs this very code."""
    return dict(os.environ)


def environ() -> dict[str, str]:
    """A copy of this process's environment, for child processes.

    Without the part of PYTHONPATH that is ours: ``ci/run`` sets it to run this checkout.
    """
    variables = dict(os.environ)
    own = variables.pop("TT_CONDA_OWN_PYTHONPATH", None)
    if own:
        kept = [part for part in variables.pop("PYTHONPATH", "").split(os.pathsep) if part and part != own]
        if kept:
            variables["PYTHONPATH"] = os.pathsep.join(kept)
    return variables


def worker_environ() -> dict[str, str]:
    """The environment of a building process: its caches, and ours that recipes ask for, lie in the cache folder.

    Compilers are started through ccache, or what ``$TT_CONDA_COMPILER_LAUNCHER`` names (``sccache``; empty: nothing).

    Raises:
        TtCondaError: that program is nowhere, or the number of compilers is none.
    """
    cache = cache_dir()
    launcher = os.environ.get("TT_CONDA_COMPILER_LAUNCHER", "ccache")
    if launcher not in ("", "ccache"):  # the build environment has ccache; another one must be found as it is here
        found = shutil.which(launcher)
        if not found:
            raise TtCondaError(
                f"TT_CONDA_COMPILER_LAUNCHER: there is no program {launcher} in PATH",
                "Install it, give its path, or unset the variable: then it is ccache.",
            )
        launcher = found
    return {
        "CCACHE_DIR": str(cache / "ccache"), "SCCACHE_DIR": str(cache / "sccache"),
        **_without_secrets(),
        "TT_CONDA_PROJECT": str(project_dir()),  # found from the working folder here, and the child has its own
        "TT_CONDA_CACHE": str(cache), "RATTLER_CACHE_DIR": str(cache / "rattler"),
        **{f"CMAKE_{language}_COMPILER_LAUNCHER": launcher for language in ("C", "CXX")},
        "CPU_COUNT": str(compile_jobs()),  # as rattler-build tells it to scripts
    }  # fmt: skip


def _without_secrets() -> dict[str, str]:
    """This process's variables without keys and passwords, and without those that make Python run other code.

    Shared compilers' caches keep theirs: they are read by the program that the builds start.
    """
    shared = ("CCACHE_", "SCCACHE_", "AWS_") if os.environ.get("SCCACHE_BUCKET") else ("CCACHE_", "SCCACHE_")
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(shared) or not (_SECRET.search(name) or name.startswith("PYTHON"))
    }


def compile_jobs() -> int:
    """How many compilers run side by side: ``$TT_CONDA_COMPILE_JOBS``, else as many as CPUs and memory allow.

    The largest of PyTorch's files take 3 to 4 GB each. Where ccache hands compilations to distcc (``$CCACHE_PREFIX``),
    as many as its hosts have places for.

    Raises:
        TtCondaError: the variable is no number of compilers, or distcc is nowhere or has no hosts.
    """
    if given := os.environ.get("TT_CONDA_COMPILE_JOBS"):
        if not given.isdecimal() or int(given) < 1:
            raise TtCondaError(
                f"TT_CONDA_COMPILE_JOBS is {given}, which is no number of compilers",
                "Give 1 or more, or unset it: then CPUs and memory decide.",
            )
        return int(given)
    if Path(os.environ.get("CCACHE_PREFIX", "")).name == "distcc":
        return _distcc_jobs(os.environ["CCACHE_PREFIX"])
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(len(os.sched_getaffinity(0)), memory // (4 << 30)))


def _distcc_jobs(distcc: str) -> int:
    try:
        said = subprocess.run([distcc, "-j"], capture_output=True, text=True, check=False)
    except OSError as error:
        raise TtCondaError(
            f"CCACHE_PREFIX: {distcc} cannot be started: {error.strerror}",
            "Install it (Debian's package is called distcc), give its path, or unset the variable.",
        ) from error
    if said.returncode or not said.stdout.strip().isdecimal() or not int(said.stdout):
        raise TtCondaError(
            f"CCACHE_PREFIX is {distcc}, which has no hosts: {said.stderr.strip() or said.stdout.strip()}",
            "Name them, each with its number of places: DISTCC_HOSTS='localhost/2 builder/16'.",
        )
    return int(said.stdout)


def pip_environ() -> dict[str, str]:
    """The environment for pip's downloads, which are pinned: conda builds set PIP_NO_INDEX against others."""
    variables = environ()
    if variables.get("CONDA_BUILD"):
        variables.pop("PIP_NO_INDEX", None)
    return variables
