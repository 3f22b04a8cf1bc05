"""A search path leads to the build machine or to the working directory.

**Why it matters.** An absolute RPATH or RUNPATH is searched on every machine. If the folder does not exist, the search
only costs time. If somebody else can create it, their libraries are loaded; if it exists by chance, the wrong libraries
are. An empty or relative entry means the working directory: anybody who can write there can run code (CWE-426).

**Seen in the wild.** ttnn-shutov 0.65.0: RUNPATH `/opt/openmpi-v5.0.7-ulfm/lib:/project/build_Release/lib:$ORIGIN`.

**What to do.** Keep only entries relative to `$ORIGIN`: `patchelf --set-rpath`, CMake's `CMAKE_INSTALL_RPATH`, or
`CMAKE_BUILD_WITH_INSTALL_RPATH`.

**False alarms.** Programs made for one place on one machine, such as those that `cmake --install` puts into
`/usr/local`. Paths below the audited environment are not reported, nor are conda's placeholders, which are replaced at
installation.
"""

from __future__ import annotations

from collections.abc import Iterator

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.lost import Lost, search_paths
from tt_conda.audit.objects import Object
from tt_conda.audit.rules import Rule
from tt_conda.audit.words import listed

RULE = Rule(
    "TC204", "build-path", Severity.WARNING,
    "A search path leads to the build machine or to the working directory.",
    "Use only entries relative to $ORIGIN.",
)  # fmt: skip


def check(analysis: Analysis) -> Iterator[Finding]:
    """Say which search paths have absolute or relative entries; objects of an owner with the same path are one."""
    groups: dict[tuple[str, str, str], list[Object]] = {}
    for item in analysis.scene:
        for tag, path in (("RUNPATH", item.elf.runpath), ("RPATH", item.elf.rpath)):
            if path is not None and not (tag == "RPATH" and item.elf.runpath is not None):
                groups.setdefault((item.owner, tag, path), []).append(item)
    lost: dict[Object, list[Lost]] = {}
    for each in analysis.lost:
        lost.setdefault(each.needer, []).append(each)
    for (_, tag, path), items in groups.items():
        absolute, relative = [], []
        for entry in path.split(":") if path else []:
            if entry.startswith("/"):
                if not _is_inside(analysis, entry):
                    absolute.append(entry)
            elif not entry.startswith(("$ORIGIN", "${ORIGIN}")):
                relative.append(entry)
        if not absolute and not relative:
            continue
        kept = [entry for entry in path.split(":") if entry not in absolute and entry not in relative]
        kept += [entry for item in items for entry in search_paths(lost.get(item, ())) if entry not in kept]
        kept = list(dict.fromkeys(kept))
        said = []
        if absolute:
            said.append(f"{listed(absolute)}, {'a folder' if len(absolute) == 1 else 'folders'} of the build machine")
        if relative:
            said.append(f"{listed([entry or '(empty)' for entry in relative])}, searched in the working directory")
        yield RULE.finding(
            path,
            f"The {tag} of {listed((item.name for item in items), 3)} has {'; and '.join(said)}.",
            items,
            remedy=f"Keep only the entries relative to the object: patchelf --set-rpath '{':'.join(kept)}'"
            if kept else "Remove it: patchelf --remove-rpath.",
            evidence=[f"{tag} {path}"],
        )  # fmt: skip


def _is_inside(analysis: Analysis, folder: str) -> bool:
    return "_placehold" in folder or any(
        folder.rstrip("/") == top or folder.startswith(top + "/") for top in analysis.scene.folders
    )
