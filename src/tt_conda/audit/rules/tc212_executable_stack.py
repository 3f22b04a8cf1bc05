"""A library asks for an executable stack.

**Why it matters.** The header PT_GNU_STACK says whether an object needs an executable stack; an object without it
counts as one that does on x86_64, but not on aarch64. From glibc 2.41 on, `dlopen` and `import` refuse such an object,
and whatever needs it: `cannot enable executable stack as shared object requires: Invalid argument`. Older ones make the
stacks of the whole process executable, which removes a protection, and which SELinux may forbid.

**Seen in the wild.** `libctranslate2` of ctranslate2 4.5: one assembler file without `.note.GNU-stack` is enough.

**Bad.** An object linked from such a file, or with `-z execstack`:

    $ readelf -lW libx.so | grep STACK
      GNU_STACK      0x000000 0x0000000000000000 0x0000000000000000 0x000000 0x000000 RWE 0x10

**Good.** The same line ends in `RW  0x10`.

**What to do.** `patchelf --clear-execstack FILE`; it adds the header where there is none. At the source: end assembler
files with `.section .note.GNU-stack,"",@progbits`, or link with `-z noexecstack`. `tt-conda carve` clears it.

**Severity.** An error if the object is opened at run time. A warning if only programs bring it in, as the stack can
still be made executable at start; likewise if the environment's Python itself asks for it.

**False alarms.** Code that really runs on the stack (nested functions in GNU C whose address is taken) crashes without
an executable stack; it must be changed. Objects for musl are left out: its linker ignores the header.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.objects import Object
from tt_conda.audit.rules import Rule
from tt_conda.audit.words import listed, verb
from tt_conda.elf.read import PT_GNU_STACK

RULE = Rule(
    "TC212", "executable-stack", Severity.ERROR,
    "A library asks for an executable stack.",
    "Clear it: patchelf --clear-execstack FILE",
)  # fmt: skip


def check(analysis: Analysis) -> Iterator[Finding]:
    """One finding for each object that asks for it."""
    asking = {
        item: list[Object]() for item in analysis.placed
        if item.elf.wants_executable_stack and not item.is_program and not item.is_for_musl
    }  # fmt: skip
    if not asking:
        return
    for root in analysis.roots:
        for each in analysis.closure(root).loaded:
            if each.object in asking:
                asking[each.object].append(root)
    allowed = any(item.elf.wants_executable_stack for item in analysis.host_objects)
    for item, roots in asking.items():
        opened = [root for root in roots if not root.is_program]
        severity = Severity.ERROR if (opened or not roots) and not allowed else Severity.WARNING
        why = "asks for an executable stack"
        if not any(segment.kind == PT_GNU_STACK for segment in item.elf.segments):
            why = "has no PT_GNU_STACK header, and so asks for an executable stack"
        effect = "from glibc 2.41 on it cannot be opened" if severity is Severity.ERROR else (
            "programs that start with it run with executable stacks"
        )  # fmt: skip
        others = [root.name for root in opened if root is not item]
        if severity is Severity.ERROR and others:
            effect += f", nor can {listed(others, 3)}, which {verb(others, 'needs', 'need')} it"
        yield RULE.finding(
            item.library, f"{item.name} {why}: {effect}.", [item], severity=severity,
            remedy=f"Clear it: patchelf --clear-execstack {shlex.quote(item.member)}",
        )  # fmt: skip
