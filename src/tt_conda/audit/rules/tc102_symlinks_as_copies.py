"""Symlinks of a library stored as full copies.

**Why it matters.** A versioned library is installed as one file with one or two links to it: `libx.so` → `libx.so.0` →
`libx.so.0.9.14`. Wheels cannot hold links, so a wheel built from an installed tree contains the file once per name.
That multiplies its size. And since the linker distinguishes files by inode, a program that opens one name while its
libraries need another gets two copies with separate global variables.

**Seen in the wild.** `ttnn` 0.81.1 has `libtt-umd.so`, `libtt-umd.so.0` and `libtt-umd.so.0.9.14`, the same 7.8 MB
three times, and `libtracy.so` twice; `pyarrow` has `libarrow_python.so` three times.
ai-dynamo/nixl#1567 reports a plugin that was loaded twice for this reason; pypa/wheel#400 and
tensorflow/tensorflow#27556 discuss the missing links.

**What to do.** In a wheel, keep only the soname, which other objects need (`readelf -d`), and drop the other names,
which only the compiler uses. Conda packages can hold links: do not dereference them when copying (`cp -a`).

**False alarms.** None known. Hard links, which cost nothing, are recognised by their inode.
"""

from __future__ import annotations

from collections.abc import Iterator

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.chains import chains
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.objects import Object
from tt_conda.audit.rules import Rule

RULE = Rule(
    "TC102", "symlinks-as-copies", Severity.WARNING,
    "Symlinks of a library stored as full copies.",
    "Keep the file only under its soname, or store the other names as symlinks.",
)  # fmt: skip


def check(analysis: Analysis) -> Iterator[Finding]:
    """One finding for each chain of names."""
    for group in analysis.copies:
        for chain in chains(group.objects):
            files = {item.file for item in chain}
            if len(files) == 1:
                continue  # hard links
            full, *links = chain
            names = " and ".join(item.name for item in reversed(links))
            superfluous = full.size * (len(files) - 1)
            yield RULE.finding(
                full.library,
                f"{names} should be {'symlinks' if len(links) > 1 else 'a symlink'} to {full.name} but "
                f"{'are full copies' if len(links) > 1 else 'is a full copy'}.",
                [*reversed(links), full], bytes=superfluous,
                evidence=[f"identical content of {full.size:,} bytes in one folder", *_soname(full)],
            )  # fmt: skip


def _soname(item: Object) -> list[str]:
    return [f"soname: {item.elf.soname}"] if item.elf.soname else []
