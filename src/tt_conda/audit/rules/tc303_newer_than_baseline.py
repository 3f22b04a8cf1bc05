"""An object needs a newer C or C++ library than its package declares.

**Why it matters.** A wheel's platform tag (`manylinux_2_28`) and a conda package's `__glibc >=2.28` declare the systems
on which it works. There, an object that needs a newer symbol version fails with ``version `GLIBC_2.34' not found``,
although the installer raised no objection.

**Seen in the wild.** Wheels built on the developer's machine and renamed instead of repaired. Libraries copied from a
newer distribution into an older one's container.

**What to do.** Build in the container, or against the sysroot, of the declared policy; or declare the newer one
(`auditwheel addtag`, conda's `c_stdlib_version`).

**How it is checked.** glibc versions are compared with the tag itself. GLIBCXX, CXXABI and GCC versions are compared
with the manylinux policy for that glibc (auditwheel's table), if the library comes from the machine. Weakly needed
versions do not count. Versions that name a feature count as the glibc that introduced it: `GLIBC_ABI_DT_RELR` is 2.36.
Compact relocations (DT_RELR) need that glibc even where the object does not say so; an older one starts it unrelocated.

**Bad.** A wheel tagged `manylinux_2_28` with an object linked with `-Wl,-z,pack-relative-relocs`.

**Good.** The same object linked without that option, or the tag `manylinux_2_36`.

**False alarms.** None known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.machine import Version, glibc_sonames, parse_version, policies
from tt_conda.audit.objects import Object
from tt_conda.audit.rules import Rule
from tt_conda.audit.scene import Baseline
from tt_conda.audit.words import listed, plain_owner, verb

RULE = Rule(
    "TC303", "newer-than-baseline", Severity.ERROR,
    "An object needs a newer C or C++ library than its package declares.",
    "Build against the older library, or declare the newer one.",
)  # fmt: skip

_MACHINES = {"libstdc++.so.6", "libgcc_s.so.1"}


def check(analysis: Analysis) -> Iterator[Finding]:
    """Compare what each owner's objects need with the oldest system that the owner promises."""
    for baseline in _strictest(analysis.scene.baselines):
        limits = {"GLIBC": baseline.glibc}
        if baseline.manylinux:
            limits |= policies().newest(baseline.glibc)
        over: dict[str, dict[Object, tuple[Version, str]]] = {}
        for item in analysis.scene:
            if item.owner != baseline.owner:
                continue
            for family, version in _needs(analysis, item).items():
                if version[0] > limits.get(family, version[0]):
                    over.setdefault(family, {})[item] = version
        for family, items in over.items():
            yield _finding(baseline, family, limits[family], items)


def _strictest(baselines: Iterable[Baseline]) -> list[Baseline]:
    """One for each owner: all that it declares must hold, so the newest glibc."""
    found: dict[str, Baseline] = {}
    for each in baselines:
        if each.owner not in found or each.glibc > found[each.owner].glibc:
            found[each.owner] = each
    return list(found.values())


_RELR = "GLIBC_ABI_DT_RELR"


def _needs(analysis: Analysis, item: Object) -> dict[str, tuple[Version, str]]:
    """Family → the newest version that an object needs of what comes from the machine, with its name."""
    found: dict[str, tuple[Version, str]] = {}
    if item.elf.has_relr and not item.is_for_musl:
        found["GLIBC"] = policies().named[_RELR], _RELR
    for library, versions in item.elf.version_needs.items():
        if library in glibc_sonames() or (library in _MACHINES and not analysis.files.named(library)):
            for name in versions:
                parsed = parse_version(name)
                if parsed and name not in item.elf.weak_versions:
                    found[parsed[0]] = max((parsed[1], name), found.get(parsed[0], ((), "")))
    return found


def _finding(baseline: Baseline, family: str, limit: Version, items: dict[Object, tuple[Version, str]]) -> Finding:
    newest, needed = max(items.values())
    worst = [item for item, version in items.items() if version == (newest, needed)]
    symbols = sorted({name for item in worst for name, v in item.elf.symbols.wanted_versions.items() if v == needed})
    return RULE.finding(
        f"{plain_owner(baseline.owner)} {family}",
        f"{listed((item.name for item in worst), 3)} {verb(worst, 'needs', 'need')} {needed}{_glibc(needed, newest)}"
        f"{f' (for {listed(symbols, 3)})' if symbols else ''}; {baseline.owner} declares only "
        f"{family}_{'.'.join(map(str, limit))} ({baseline.said_by}).",
        items,
        evidence=[f"{item.member}: {name}{_glibc(name, version)}" for item, (version, name) in items.items()],
    )


def _glibc(name: str, version: Version) -> str:
    """The glibc of a version without a number."""
    return f", which is glibc {'.'.join(map(str, version))}" if name in policies().named else ""
