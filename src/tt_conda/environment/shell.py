"""Commands and shells in an activated environment, without a conda or pixi program, and without importing rattler.

Activation is conda's (https://docs.conda.io/projects/conda/en/stable/dev-guide/deep-dives/activation.html): PATH,
CONDA_PREFIX, ``etc/conda/env_vars.d/*.json``, ``conda-meta/state``, then ``etc/conda/activate.d/*.sh`` in order of
name. rattler's own activation script is not used: it writes PATH and file names unquoted into shell code.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tt_conda.base.documents import read_json
from tt_conda.base.errors import TtCondaError
from tt_conda.base.process import call
from tt_conda.base.settings import environ

_ACTIVATE = 'for _tt in "$CONDA_PREFIX"/etc/conda/activate.d/*.sh; do [ -f "$_tt" ] && . "$_tt"; done; unset _tt\n'
_DEACTIVATE = """\
if [ -n "${_TT_LEAVE-}" ]; then
  _tt_new=$CONDA_PREFIX; export CONDA_PREFIX=$_TT_LEAVE; _tt_all=
  for _tt in "$_TT_LEAVE"/etc/conda/deactivate.d/*.sh; do _tt_all="$_tt
$_tt_all"; done
  while IFS= read -r _tt; do [ -f "$_tt" ] && . "$_tt"; done <<< "$_tt_all"
  export CONDA_PREFIX=$_tt_new; unset _tt _tt_all _tt_new _TT_LEAVE
fi
"""
_EXEC = """\
type -P -- "$1" >/dev/null || { echo missing >&"$_TT_REPORT"; exit 127; }
eval "unset _TT_REPORT; exec $_TT_REPORT>&-"
exec -- "$@"
"""


def activated(prefix: Path, base: Mapping[str, str]) -> dict[str, str]:
    """``base`` with the variables of the environment in ``prefix``; what its activation scripts set is not in it."""
    prefix = existing(prefix)
    env, old = dict(base), base.get("CONDA_PREFIX", "")
    path = [part for part in base.get("PATH", os.defpath).split(os.pathsep) if part != str(prefix / "bin")]
    if old and old != str(prefix):
        path = [part for part in path if part != f"{old}/bin"]
        for name in _variables(Path(old)):
            env.pop(name, None)
        env["_TT_LEAVE"] = old
    for name in ("VIRTUAL_ENV", "PYTHONHOME"):  # another Python environment's
        env.pop(name, None)
    env.update(_variables(prefix))
    return {
        **env,
        "PATH": os.pathsep.join([str(prefix / "bin"), *path]),
        "CONDA_PREFIX": str(prefix),
        "CONDA_DEFAULT_ENV": prefix.name,
        "CONDA_SHLVL": "1",
        "CONDA_PROMPT_MODIFIER": f"({prefix.name}) ",
    }


def existing(prefix: Path) -> Path:
    """``prefix``, absolute; TtCondaError where it is not an environment."""
    prefix = prefix.expanduser().absolute()
    if not (prefix / "conda-meta").is_dir():
        raise TtCondaError(f"There is no environment in {prefix}.", f"tt-conda install SPEC… --prefix {prefix}")
    return prefix


def run(prefix: Path, argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> int:
    """Run ``argv`` in the activated environment; its exit code, or 128 + the number of the signal that ended it.

    ``env`` is added to this process's variables before activation. Signals that arrive here go to the command.
    """
    if not argv:
        raise TtCondaError("There is no command to run.", f"tt-conda run --prefix {prefix} COMMAND…")
    reading, writing = os.pipe()
    try:
        variables = activated(prefix, {**environ(), **(env or {})})
        script = _DEACTIVATE + _ACTIVATE + _EXEC
        code = call(
            ["bash", "--norc", "--noprofile", "-c", script, "tt-conda", *argv],
            {**variables, "_TT_REPORT": str(writing)},
            cwd,
            (writing,),
        )
        os.close(writing)
        writing = -1
        if code == 127:
            os.set_blocking(reading, False)
            with suppress(BlockingIOError):
                if os.read(reading, 16):
                    raise TtCondaError(
                        f"The environment in {prefix} has no command {argv[0]!r}, nor has PATH.",
                        f"Install the package that has it: tt-conda install SPEC… --prefix {prefix}",
                    )
        return code
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)


def shell(prefix: Path) -> int:
    """An activated ``$SHELL``; its exit code. With another standard input than a terminal it runs what comes in.

    bash and zsh read the person's own start-up file first, so that activation has the last word on PATH. Any other
    shell inherits the activated variables.
    """
    program = environ().get("SHELL") or "bash"
    name = Path(program).name
    if not sys.stdin.isatty() or name not in ("bash", "zsh"):
        return run(prefix, [program])
    variables = activated(prefix, environ())
    path = variables["PATH"].split(os.pathsep)[0]
    lines = f'export PATH={_quoted(path)}:"$PATH"\n{_ACTIVATE}'
    with tempfile.TemporaryDirectory(prefix="tt-conda-") as folder:
        if name == "bash":
            start = Path(folder, "bashrc")
            prompt = "PS1='${CONDA_PROMPT_MODIFIER}'\"$PS1\"\n"  # bash expands it when it shows it
            start.write_text(f"[ -f ~/.bashrc ] && . ~/.bashrc\n{_DEACTIVATE}{lines}{prompt}")
            return call([program, "--rcfile", str(start), "-i"], variables, None, ())
        home = variables.get("ZDOTDIR") or variables.get("HOME", "")
        for file in (".zshenv", ".zshrc"):
            own = f"ZDOTDIR={_quoted(home)}\n[ -f $ZDOTDIR/{file} ] && . $ZDOTDIR/{file}\nZDOTDIR={_quoted(folder)}\n"
            rest = f"setopt null_glob\n{_DEACTIVATE}{lines}unsetopt null_glob\nZDOTDIR={_quoted(home)}\n"
            rest += 'PS1="${CONDA_PROMPT_MODIFIER//\\%/%%}$PS1"\n'
            Path(folder, file).write_text(own + (rest if file == ".zshrc" else ""))
        return call([program, "-i"], {**variables, "ZDOTDIR": folder}, None, ())


def _variables(prefix: Path) -> dict[str, str]:
    """The variables that packages (env_vars.d) and people (conda-meta/state) set for this environment."""
    files = [*sorted(prefix.glob("etc/conda/env_vars.d/*.json")), prefix / "conda-meta" / "state"]
    found: dict[str, str] = {}
    for file in files:
        try:
            content = read_json(file.read_text())
            content = content.get("env_vars", {}) if file.name == "state" else content
            found.update({str(name): str(value) for name, value in content.items()})
        except FileNotFoundError:
            continue
        except (OSError, ValueError, AttributeError) as error:
            raise TtCondaError(f"{file} does not hold environment variables: {error}", "Correct it.") from error
    return found


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
