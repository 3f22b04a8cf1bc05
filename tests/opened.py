"""What a piece of code really uses: the modules, data files, libraries and programs that a child process opens."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tt_conda.base.code import ROOT, Code, _distributions

_HOOK = """
import json, os, sys
opened, programs = set(), set()
def hook(event, args):
    if event == "open" and isinstance(args[0], (str, bytes, os.PathLike)):
        opened.add(os.fsdecode(args[0]))
    elif event in ("subprocess.Popen", "os.posix_spawn", "os.exec"):
        programs.add(os.path.basename(os.fsdecode(args[0] or args[1][0])))
sys.addaudithook(hook)
{code}
loaded = {{name: getattr(module, "__file__", None) for name, module in sys.modules.items()}}
print("\\n" + json.dumps([sorted(opened), sorted(programs), loaded]))
"""


@dataclass(frozen=True)
class Opened:
    """Of this package: files; of others: the top-level modules of what it requires; and programs."""

    files: frozenset[Path]
    libraries: frozenset[str]
    programs: frozenset[str]

    def missing_in(self, code: Code) -> set[str]:
        """What was used and is not in a key; files by their paths in the package."""
        files = {str(file.relative_to(ROOT)) for file in self.files - code.files}
        return files | (self.libraries - code.libraries) | (self.programs - code.programs)


def opened_by(code: str, env: Mapping[str, str] | None = None) -> Opened:
    """Run code in a child process and look at what it opens."""
    done = subprocess.run(
        [sys.executable, "-c", _HOOK.format(code=code)], capture_output=True, text=True,
        env={**os.environ, **(env or {})},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    opened, programs, loaded = json.loads(done.stdout.splitlines()[-1])
    paths = {Path(name) for name in (*opened, *filter(None, loaded.values()))}
    files = {path for path in paths if ROOT in path.parents and "__pycache__" not in path.parts and path.is_file()}
    return Opened(
        frozenset(files),
        frozenset({name.partition(".")[0] for name in loaded} & {*_distributions()}),
        frozenset(programs),
    )
