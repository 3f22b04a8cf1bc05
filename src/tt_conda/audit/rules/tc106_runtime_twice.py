"""Two runtimes that must be unique in a process: OpenMP, BLAS, MPI.

**Why it matters.** These libraries own per-process resources: the thread pool, the connection to the MPI launcher.
LLVM's and Intel's OpenMP (`libomp`, `libiomp5`) check for another copy of themselves at startup, and abort the process:

    OMP: Error #15: Initializing libiomp5.so, but found libomp.so already initialized.

GCC's `libgomp` does not check. Two copies of it, or one beside LLVM's, run side by side: twice as many threads as
cores, `OMP_NUM_THREADS` read twice, `omp_set_num_threads` and threadpoolctl affecting only one of them, and an
occasional deadlock after `fork`. `KMP_DUPLICATE_LIB_OK=TRUE` suppresses the error; its own text says that the program
may then crash or compute wrong results.

Two builds of OpenBLAS with different symbol names (numpy's `scipy_…64_` with 64-bit integers and scipy's `scipy_…`) do
not intercept each other's calls. They only cost space and a second thread pool, so that is a note. It is also a note if
nothing in the environment needs one of the two: conda's `libgcc` always brings `libgomp`.

**Seen in the wild.** `scikit-learn` and `pykdtree` each bundle a `libgomp` with auditwheel's hash in its name. conda's
`llvm-openmp` is loaded beside the `libgomp` in a torch wheel (prefix-dev/pixi#6818, pytorch/pytorch#98836, #193520).
`ttnn-shutov` 0.65.0 and `torch-ttnn-shutov` 0.2.0 each bundle Open MPI. conda's MPI beside a wheel's (mpi4py#155).

**What to do.** Take all packages that use the runtime from one source: everything from conda, whose `_openmp_mutex`,
`blas` and `mpi` packages select one for all, or everything from PyPI.

**False alarms.** Two runtimes that are never used in one process. If the audit found one load that brings in both, the
evidence names it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.chains import without_chains
from tt_conda.audit.copies import superfluous
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.objects import Object
from tt_conda.audit.rules import Rule
from tt_conda.audit.runtimes import Kind, clashes
from tt_conda.audit.words import listed

RULE = Rule(
    "TC106", "runtime-twice", Severity.WARNING,
    "Two runtimes that must be unique in a process.",
    "Take all packages that use the runtime from one source: all from conda, or all from PyPI.",
)  # fmt: skip


_CALLED = frozenset({"dgemm_", "cblas_dgemm", "dgemm_64_", "cblas_dgemm64_"})
"""A function that users of BLAS call, without a build's prefix."""


def check(analysis: Analysis) -> Iterator[Finding]:
    """One finding for each family."""
    found: dict[str, list[tuple[Object, Kind]]] = defaultdict(list)
    for item in analysis.judged:
        if kind := analysis.runtime_of(item):
            found[kind.family].append((item, kind))
    for family, all_of_it in found.items():
        kept = set(without_chains(item for item, _ in all_of_it))
        members = [(item, kind) for item, kind in all_of_it if item in kept]
        if len(members) > 1:
            yield _finding(analysis, family, members)


def _finding(analysis: Analysis, family: str, members: list[tuple[Object, Kind]]) -> Finding:
    kinds: dict[str, list[Object]] = defaultdict(list)
    for item, kind in members:
        kinds[kind.name].append(item)
    where, aborting = _meeting(analysis, members)
    apart = (
        not where
        and not any(
            _CALLED & a.elf.symbols.defined & b.elf.symbols.defined for (a, _), (b, _) in combinations(members, 2)
        )
        and family == "BLAS"
    )
    evidence = [f"{item}: {kind.name}" for item, kind in members]
    if where:
        evidence.append(where)
    if apart:
        evidence.append("the names that they are called by differ, so calls are not mixed up")
    unused = [item for item, _ in members if item not in analysis.needed] if analysis.scene.kind == "installed" else []
    alone = not where and len(members) - len(unused) < 2
    if alone:
        evidence.append(f"nothing in the environment needs {listed(item.soname for item in unused)}")
    severity = Severity.ERROR if where and aborting else Severity.NOTE if apart or alone else Severity.WARNING
    names = ", ".join(f"{name} {len(each)} times" if len(each) > 1 else name for name, each in kinds.items())
    clash = f"in one process they abort it with `{aborting}`" if aborting else f"in one process {clashes()[family]}"
    return RULE.finding(
        family, f"{len(members)} runtimes for {family} ({names}): {clash}.", [item for item, _ in members],
        severity=severity, bytes=sum(map(superfluous, kinds.values())), evidence=evidence,
    )  # fmt: skip


def _meeting(analysis: Analysis, members: list[tuple[Object, Kind]]) -> tuple[str, str]:
    """Which load brings two of them in; with what they end the process, if any two of them would."""
    groups: dict[str, list[Kind]] = defaultdict(list)
    for _, kind in members:
        groups[kind.group].append(kind)
    aborting = next((each[0].abort for group, each in groups.items() if group and len(each) > 1), "")
    if analysis.scene.kind == "process":
        return "the process has them all mapped", aborting
    wanted = dict(members)
    for start in analysis.judged:
        scope = [*([] if start.is_program else analysis.host), *analysis.closure(start).loaded]
        there = list(dict.fromkeys(item.object for item in scope if item.object in wanted))
        kinds = [wanted[item] for item in there]
        if len(there) > 1 and (not aborting or sum(1 for kind in kinds if kind.group) > 1):
            return f"loading {start.member} brings in {' and '.join(item.member for item in there)}", aborting
    return "", aborting
