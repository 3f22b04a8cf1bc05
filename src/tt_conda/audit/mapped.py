"""The shared objects that a process maps, with their places and the number of copies (proc(5), maps)."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tt_conda.base.documents import read_json
from tt_conda.base.errors import TtCondaError
from tt_conda.elf import ElfError, plain_soname, read
from tt_conda.providers import load_providers

_MODULE = re.compile(r"\.(cpython-[^/]*|abi3)\.so$")

# Runs in the audited environment: imports, evaluates the checks, and prints the mapped files last.
_PROBE = """
import importlib, json, os, sys
request = json.loads(sys.argv[1])
for name in request["imports"]:
    importlib.import_module(name)
imported = {name.partition(".")[0]: sys.modules[name.partition(".")[0]] for name in request["imports"]}
for check in request["checks"]:
    if not eval(check, {"sys": sys, **imported}):
        sys.exit("this does not hold: " + check)
with open("/proc/self/maps") as maps:
    files = sorted({line.split(None, 5)[5].strip() for line in maps if "/" in line})
print("\\n" + json.dumps([f for f in files if f.startswith("/") and os.path.isfile(f)]))
"""


@dataclass(frozen=True)
class MappedObject:
    """One shared object in a process."""

    path: Path
    soname: str
    """Without auditwheel's hash; the file name if it has none."""
    build_id: str | None
    bytes: int
    package: str | None
    """The conda package that owns it; None for files outside the environment."""

    @property
    def is_module(self) -> bool:
        """Whether only Python loads it: modules may share names (``_C``), libraries may not."""
        return bool(_MODULE.search(self.path.name)) or "lib-dynload" in self.path.parts


def probe_command(python: Path, imports: Sequence[str], checks: Sequence[str] = ()) -> list[str]:
    """Return a command that imports modules and prints, as its last line, the files mapped afterwards.

    Args:
        python: the interpreter.
        imports: names of modules, imported in this order.
        checks: Python expressions over the imported packages and ``sys`` that must be true after importing.
    """
    request = {"imports": list(imports), "checks": list(checks)}
    return [str(python), "-I", "-c", _PROBE, json.dumps(request)]


def parse_probe(output: str) -> list[Path]:
    """Return the files printed by :func:`probe_command`.

    Raises:
        TtCondaError: the output is not the probe's.
    """
    try:
        return [Path(name) for name in read_json(output.rstrip().splitlines()[-1])]
    except (IndexError, ValueError) as error:
        raise TtCondaError(
            f"the import did not report the mapped files: {output[-500:]!r}", "Import it by hand."
        ) from error


def owners(prefix: Path) -> dict[Path, str]:
    """Return real path → package for every file installed by conda into ``prefix``."""
    found: dict[Path, str] = {}
    for record in sorted((prefix / "conda-meta").glob("*.json")):
        data = read_json(record.read_text())
        for file in data.get("files", []):
            found[prefix / file] = data["name"]
    return found


def mapped_objects(files: Iterable[Path], prefix: Path) -> list[MappedObject]:
    """Read the shared objects among mapped files and find their packages."""
    prefix = prefix.resolve()
    owner = owners(prefix)
    found = []
    for file in files:
        try:
            elf = read(file)
        except ElfError:
            continue
        if (elf.kind == "dyn" and elf.interpreter is None) or ".so" in file.name:
            soname = plain_soname(elf.soname or file.name)
            found.append(MappedObject(file, soname, elf.build_id, file.stat().st_size, owner.get(file)))
    return found


def problems(objects: Sequence[MappedObject], prefix: Path) -> list[str]:
    """Report libraries mapped more than once, and those from outside the environment.

    Only the C library may be the machine's.
    """
    prefix = prefix.resolve()
    system = load_providers().system
    said = []
    for name, copies in by_library(objects).items():
        if len(copies) > 1:
            said.append(f"{name} is mapped {len(copies)} times: {', '.join(str(o.path) for o in copies)}")
    builds: dict[str, list[MappedObject]] = defaultdict(list)
    for mapped in objects:
        builds[mapped.build_id or str(mapped.path)].append(mapped)
        if prefix not in mapped.path.parents and mapped.soname not in system:
            said.append(f"{mapped.soname} comes from outside the environment: {mapped.path}")
    for build_id, copies in builds.items():
        if len({o.soname for o in copies}) > 1:  # the same name is reported above
            said.append(f"build {build_id} is mapped {len(copies)} times: {', '.join(str(o.path) for o in copies)}")
    return said


def by_library(objects: Sequence[MappedObject]) -> dict[str, list[MappedObject]]:
    """Group objects of the same library by soname; each Python module is a group of its own."""
    groups: dict[str, list[MappedObject]] = defaultdict(list)
    for mapped in objects:
        groups[str(mapped.path) if mapped.is_module else mapped.soname].append(mapped)
    return dict(groups)
