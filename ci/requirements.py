"""The virtual environment that the tasks run in, every package of it pinned by sha256 in requirements.txt.

    python3 ci/requirements.py install FOLDER              # make it; `ci/run` does
    ci/run exec python ci/requirements.py pin              # pin what pyproject.toml asks for
    ci/run exec python ci/requirements.py pin --upgrade    # and the newest versions of all

pip, which comes with Python, installs uv, and uv the rest, in less than half the time. What pip's configuration says of
indexes, certificates and proxies goes for uv, too.
"""

from __future__ import annotations

import argparse
import ast
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PINS = ROOT / "ci" / "requirements.txt"
OLDEST = "3.10"
"""The oldest Python that the pins are for."""


def _commas(value: str) -> str:
    return ",".join(value.split())


def _spaces(value: str) -> str:
    return " ".join(value.split())


_VARIABLES: dict[str, tuple[str, Callable[[str], str]]] = {
    "index-url": ("UV_DEFAULT_INDEX", str),
    "extra-index-url": ("UV_INDEX", _spaces),
    "find-links": ("UV_FIND_LINKS", _commas),
    "trusted-host": ("UV_INSECURE_HOST", _spaces),
    "cert": ("SSL_CERT_FILE", str),
    "client-cert": ("SSL_CLIENT_CERT", str),
    "proxy": ("ALL_PROXY", str),
    "default-timeout": ("UV_HTTP_TIMEOUT", str),
    "timeout": ("UV_HTTP_TIMEOUT", str),
}
"""pip's option → uv's variable (docs.astral.sh/uv/reference/environment), and the option's value as it has it there."""


def pip_configuration(listed: str) -> dict[str, str]:
    """What counts of the lines of `pip config list`: variables before ``[install]`` before ``[global]``."""
    found: dict[str, str] = {}
    ranks = ("global", "install", ":env:")
    lines = [line.partition("=") for line in listed.splitlines()]
    for rank in ranks:
        for name, _, value in lines:
            section, _, option = name.rpartition(".")
            if section == rank and value:
                found[option] = str(ast.literal_eval(value))
    return found


def uv_options(pip: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """Variables and options for uv that say what pip's configuration does; a person's own ``UV_*`` come first."""
    variables = {name: form(pip[option]) for option, (name, form) in _VARIABLES.items() if option in pip}
    variables["UV_SYSTEM_CERTS"] = "1"  # as pip does
    variables["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # any index will do, as for pip: the pins have hashes
    if cache := os.environ.get("TT_CONDA_CACHE"):
        variables["UV_CACHE_DIR"] = f"{cache}/uv"  # files are linked from there
    options = ["--no-index"] if pip.get("no-index", "").lower() in ("1", "true", "yes", "on") else []
    return {**variables, **os.environ}, options


def pin_of(name: str, pins: str) -> str:
    """The lines of a requirements file that pin one package."""
    lines = pins.splitlines(keepends=True)
    start = next(number for number, line in enumerate(lines) if line.startswith(f"{name}=="))
    end = next(number for number, line in enumerate(lines[start:], start) if not line.endswith("\\\n"))
    return "".join(lines[start : end + 1])


def install(folder: Path) -> None:
    """Make the environment in ``folder``, with this Python."""
    venv.create(folder, clear=True, symlinks=True, with_pip=True)
    python, uv = folder / "bin" / "python", folder / "bin" / "uv"
    pip = [python, "-m", "pip"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as own:
        own.write(pin_of("uv", PINS.read_text()))
        own.flush()
        _run([*pip, "install", "-q", "--no-deps", "--require-hashes", "-r", own.name])
    environ, options = _options(python)
    install = [uv, "pip", "install", "--python", python, *options]
    _run([*install, "--require-hashes", "-r", PINS], environ)
    _run([*install, "--no-deps", "--no-build-isolation", ROOT], environ)


def pin(upgrade: bool) -> None:
    """Write the pins that pyproject.toml's ranges allow, for every Python from the oldest on."""
    environ, options = _options(Path(sys.executable))
    command = [
        "uv", "pip", "compile", "pyproject.toml", "--extra", "dev", "--universal", "--python-version", OLDEST,
        "--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--output-file", PINS.relative_to(ROOT),
        "--custom-compile-command", "ci/run exec python ci/requirements.py pin",
    ]  # fmt: skip
    _run([*command, "--quiet", *options, *(["--upgrade"] if upgrade else [])], environ)


def _options(python: Path) -> tuple[dict[str, str], list[str]]:
    listed = subprocess.run([python, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True).stdout
    return uv_options(pip_configuration(listed))


def _run(command: Sequence[str | Path], environ: dict[str, str] | None = None) -> None:
    try:
        subprocess.run(command, check=True, cwd=ROOT, env=environ)
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)  # it has said why


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install", help="make the environment").add_argument("folder", type=Path)
    commands.add_parser("pin", help="write requirements.txt").add_argument("--upgrade", action="store_true")
    given = parser.parse_args()
    if given.command == "install":
        install(given.folder.absolute())
    else:
        pin(given.upgrade)


if __name__ == "__main__":
    main()
