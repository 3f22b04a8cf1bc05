"""A library's symbolic links are stored as whole copies of it.

**Why it matters.** A versioned library is installed as one file and one or two links to it: `libx.so` → `libx.so.0` →
`libx.so.0.9.14`. Wheels cannot hold links, so what builds a wheel from an installed tree stores the file again under
each name. That multiplies its size, and a program that opens one name while its libraries need another gets two
copies with separate global variables, as the linker tells files apart by their inode.

**Seen in the wild.** `ttnn` 0.81.1 has `libtt-umd.so`, `libtt-umd.so.0` and `libtt-umd.so.0.9.14`, the same 7.8 MB
three times, and `libtracy.so` twice; `pyarrow` has `libarrow_python.so` three times.
ai-dynamo/nixl#1567 is about a plugin that was loaded twice because of it; pypa/wheel#400 and
tensorflow/tensorflow#27556 are about the missing links.

**What to do.** In a wheel, keep only the name that others need (the soname: `readelf -d`) and leave out the others,
which serve the compiler only. Conda packages hold links: do not dereference them when copying (`cp -a`).

**False alarms.** None known. Hard links, which cost nothing, are told from copies by their inode.
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
    "A library's symbolic links are stored as whole copies of it.",
    "Keep the file under its soname only, or store the other names as links.",
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
                f"{names}, {'links' if len(links) > 1 else 'a link'} to {full.name} by rights, "
                f"{'are whole copies' if len(links) > 1 else 'is a whole copy'} of it.",
                [*reversed(links), full], bytes=superfluous,
                evidence=[f"equal content of {full.size:,} bytes in one folder", *_soname(full)],
            )  # fmt: skip


def _soname(item: Object) -> list[str]:
    return [f"soname: {item.elf.soname}"] if item.elf.soname else []
