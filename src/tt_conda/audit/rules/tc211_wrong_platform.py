"""A file is for another system, machine, C library or Python than the package or environment that has it.

**Why it matters.** Such a file is never loaded: the dynamic linker passes over libraries for other machines, and Python
looks only for modules with its own suffix. Everything that needs the file fails.

**Seen in the wild.** Wheels cross-compiled with the tag of the build machine. A library for x86_64 copied into the
aarch64 wheel. `_x.cpython-310-….so` in a wheel for Python 3.12. Programs whose interpreter is a path of the build
machine, such as `/nix/store/…/ld-linux-x86-64.so.2`.

**Bad.** `pkg-1.0-cp312-cp312-manylinux_2_28_x86_64.whl` with `pkg/_x.cpython-312-x86_64-linux-gnu.so`, of which `file`
says `ELF 64-bit LSB shared object, ARM aarch64`.

**Good.** The same wheel with a file for x86-64.

**How it is checked.** A wheel's tags, a conda package's subdir, or the environment's own Python say what is expected.
Compared with it are: the system (ELF, Mach-O, PE) and machine of each file; glibc or musl, by the library that it
needs; the Python and machine in a module's suffix; the interpreter of programs, and whether they may be executed.
All such files of a package are one finding; that other objects lack them is not reported again.

**What to do.** Build the file for the declared platform, correct the tag, or leave the file out.

**Severity.** An error if something certainly opens the file: a module, a library that another one needs, a program in
`bin/`, all files of a package. A warning otherwise, and for a package for any platform with files for one. A note for
packages for macOS or Windows alone, whose files are not judged.

**False alarms.** Data that is never loaded on this platform. Files whose path says what they are for
(`native/linux-arm64/libx.so`) are left out, and modules with a sibling for the right Python.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterator

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.finding import Finding, Place, Severity
from tt_conda.audit.placement import Kind, Misplaced
from tt_conda.audit.rules import Rule
from tt_conda.audit.words import listed, verb

RULE = Rule(
    "TC211", "wrong-platform", Severity.ERROR,
    "A file is for another system, machine, C library or Python than its package or environment.",
    "Build the file for the declared platform, correct the declaration, or leave the file out.",
)  # fmt: skip


def check(analysis: Analysis) -> Iterator[Finding]:
    """One finding for each package and kind of contradiction."""
    groups: dict[tuple[str, Kind, bool], list[Misplaced]] = defaultdict(list)
    for each in analysis.misplaced:
        groups[each.owner, each.kind, each.is_sure].append(each)
    for (owner, kind, sure), files in groups.items():
        names = listed((each.member.rpartition("/")[2] for each in files), 3)
        are, they = verb(files, "is", "are"), verb(files, "It is", "They are")
        said = listed(dict.fromkeys(each.said for each in files), 3)
        wanted = listed(dict.fromkeys(each.wanted for each in files), 3)
        severity, remedy = Severity.ERROR if sure else Severity.WARNING, None
        if kind == "owner":
            message = f"{owner} is for {said}, and the rest for {wanted}: {names} cannot be loaded there."
            remedy = f"Take the build of {owner.partition(' ')[0]} for {wanted.partition(' (')[0]}."
        elif kind == "unknown":
            severity = Severity.NOTE
            message = f"{owner} is for {said}: its libraries are not judged, as only Linux's linkers are known."
            remedy = "Audit the build for Linux, or use the system's own tools."
        elif kind == "neutral":
            message = f"{owner} declares {wanted}, but {names} {are} for {said}."
            remedy = "Declare the platform: a wheel's tag is that of the files in it; a conda package is not noarch."
        elif kind == "python":
            message = f"{names} {are} for {said}, not for {wanted}: {verb(files, 'it is', 'they are')} never imported."
            remedy = "Build the module for the declared Python, or leave it out."
        elif kind == "interpreter":
            message = f"{names} {verb(files, 'has', 'have')} the interpreter {said}, which does not exist: " \
                      f"{verb(files, 'it does', 'they do')} not start."  # fmt: skip
            files_ = " ".join(shlex.quote(each.member) for each in files)
            remedy = f"Set the usual one: patchelf --set-interpreter {files[0].wanted.partition(' ')[0]} {files_}"
        elif kind == "permissions":
            message = f"{names} {are} not executable: starting {verb(files, 'it', 'them')} is refused."
            remedy = f"chmod +x {' '.join(shlex.quote(each.member) for each in files)}, and pack them again."
        else:
            message = f"{names} {are} for {said}, not for {wanted}. {they} never loaded there."
        yield RULE.finding(
            f"{owner.rstrip('/').partition(' ')[0]} {kind}", message,
            [Place(owner=owner, path=each.member) for each in files], severity=severity, remedy=remedy,
            evidence=[f"{each.member}: {each.said}" for each in files],
        )  # fmt: skip
