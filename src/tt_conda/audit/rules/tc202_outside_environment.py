"""A library comes from outside the environment.

**Why it matters.** It works on this machine, with this version of the library; on another machine the library may be
missing, or have another ABI. In a conda environment, everything but the C library comes from packages. A manylinux
wheel may use only the libraries in its policy (PEP 600; auditwheel's `lib_whitelist`).

**Seen in the wild.** PyQt5's wheels take `libxkbcommon.so.0`, `libfontconfig.so.1` and much of xcb from the machine. In
slim containers they fail with `could not load the Qt platform plugin "xcb"`.

**What to do.** In a conda package, depend on the package that provides the library (`libstdcxx`, `libgl`, …) and give
the object an RPATH to the environment's `lib/`. In a wheel, let auditwheel vendor it, or document it as a system
requirement.

**False alarms.** Drivers that must come from the machine (`libcuda.so.1`, `libGLX_nvidia.so.0`). The result depends on
the machine that runs the audit: libraries missing from it are TC201, and so are all of them for wheels and packages
that are not installed.
"""

from __future__ import annotations

from collections.abc import Iterator

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.objects import Object
from tt_conda.audit.rules import Rule
from tt_conda.audit.scene import SYSTEM
from tt_conda.audit.words import listed, plain_owner

RULE = Rule(
    "TC202", "outside-environment", Severity.WARNING,
    "A library comes from outside the environment.",
    "Depend on the package that provides it, or ship it.",
)  # fmt: skip

_DRIVERS = frozenset({"libcuda.so.1", "libnvidia-ml.so.1", "libnvcuvid.so.1", "libnvidia-encode.so.1"})
"""They belong to the kernel module, so only the machine has the right ones."""


def check(analysis: Analysis) -> Iterator[Finding]:
    """Say for each owner what it takes from the machine that it may not."""
    if analysis.scene.kind == "process" or analysis.scene.is_for_any_machine:
        return
    allowed = analysis.scene.from_machine | _DRIVERS
    host = analysis.host_objects
    found: dict[str, dict[str, dict[Object, str]]] = {}
    for root in analysis.roots:
        for (needer, name), used in analysis.closure(root).resolved.items():
            if (
                name not in allowed
                and used.object.folder == ""
                and used.object not in host
                and not analysis.scene.is_inside(used.object.path)
                and analysis.scene.is_inside(needer.object.path)
            ):
                owner = needer.object.owner
                who = needer.object.name if owner == SYSTEM else owner
                found.setdefault(who, {}).setdefault(name, {})[needer.object] = used.path
    for owner, names in found.items():
        needers = list(dict.fromkeys(item for each in names.values() for item in each))
        why = (
            "packages bring all but the C library"
            if analysis.scene.is_conda
            else "the manylinux policies do not list them"
        )
        yield RULE.finding(
            plain_owner(owner),
            f"{owner} takes {listed(sorted(names))} from this machine; {why}.",
            needers,
            evidence=[
                f"{item.member}: {name} => {path}" for name in sorted(names) for item, path in names[name].items()
            ],
        )
