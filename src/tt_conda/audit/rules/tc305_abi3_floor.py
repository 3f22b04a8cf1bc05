"""A module for the stable ABI needs a newer Python than its wheel declares, or names outside that ABI.

**Why it matters.** A wheel tagged `cp38-abi3` is installed for Python 3.8 and every later one. A function that was
added to the stable ABI later is not there in the older ones: the import fails with `undefined symbol: PyType_GetName`.
Names that are not part of that ABI may disappear or change with each release.

**Seen in the wild.** Extensions compiled with `Py_LIMITED_API` set to the Python that builds them, in a wheel whose tag
says an older one.

**Bad.** `pkg-1.0-cp38-abi3-….whl` whose module calls `PyType_GetName`, which is new in 3.11.

**Good.** The same wheel tagged `cp311-abi3`.

**What to do.** Compile with `-DPy_LIMITED_API=0x03080000` (the hexadecimal version of the tag), or raise the tag to the
floor that the finding names.

**How it is checked.** The names that a module imports are compared with those of PEP 384's stable ABI and the versions
that added them. Weak imports do not count. The floor is that of the wheel's tag; without such a tag only names outside
the ABI are reported, for modules named `.abi3.so`.

**Severity.** An error if a name is newer than the declared Python; a warning if it is outside the ABI.

**False alarms.** Functions that a module looks up only where they exist, through strong imports resolved lazily.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.objects import Object
from tt_conda.audit.rules import Rule
from tt_conda.audit.words import listed
from tt_conda.base.documents import read_toml

RULE = Rule(
    "TC305", "abi3-floor", Severity.ERROR,
    "A module for the stable ABI needs a newer Python than its wheel declares, or names outside that ABI.",
    "Compile with Py_LIMITED_API set to the oldest Python of the tag, or raise the tag.",
)  # fmt: skip


@lru_cache
def _added() -> dict[str, tuple[int, int]]:
    """Name → the CPython that added it to the stable ABI."""
    table = read_toml((Path(__file__).parents[1] / "stable_abi.toml").read_text())["added"]
    return {name: _numbers(version) for version, names in table.items() for name in names.split()}


def _numbers(version: str) -> tuple[int, int]:
    major, minor = version.split(".")
    return int(major), int(minor)


def check(analysis: Analysis) -> Iterator[Finding]:
    """One finding for each module and kind of name."""
    for item in analysis.placed:
        declared = analysis.scene.declarations.get(item.owner)
        floor = declared.abi3_floor if declared else None
        if not item.name.endswith(".abi3.so") and not (floor and item.is_python_module):
            continue
        wanted = _imports(item)
        newer = {name: _added()[name] for name in wanted if floor and _added().get(name, floor) > floor}
        if newer and floor and declared:
            needed = max(newer.values())
            worst = sorted(name for name, version in newer.items() if version == needed)
            yield RULE.finding(
                item.library,
                f"{item.name} needs {listed(worst, 3)}, new in Python {_text(needed)}; {item.owner} declares "
                f"{_text(floor)} ({declared.said_by}).",
                [item],
                remedy=f"Compile with Py_LIMITED_API={floor[0] << 24 | floor[1] << 16:#010x}, or tag the wheel "
                f"cp{needed[0]}{needed[1]}-abi3.",
                evidence=[f"{name}: {_text(version)}" for name, version in sorted(newer.items())],
            )
        outside = sorted(name for name in wanted if name not in _added())
        if outside:
            yield RULE.finding(
                f"{item.library} outside", f"{item.name} needs {listed(outside, 3)}, outside the stable ABI.", [item],
                severity=Severity.WARNING, evidence=outside,
                remedy="Compile with Py_LIMITED_API defined, or tag the wheel for one Python.",
            )  # fmt: skip


def _imports(item: Object) -> list[str]:
    """The names of Python's that a module cannot be loaded without."""
    symbols = item.elf.symbols
    return [name for name in symbols.undefined - symbols.weak if name.startswith(("Py", "_Py"))]


def _text(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
