"""A symbol is provided, but with the other C++ standard library's types.

**Why it matters.** `std::string` of libc++ is `std::__1::basic_string<…>`, that of libstdc++
`std::__cxx11::basic_string<…>`: two types with different contents, and two names for every function that takes one.
What was compiled with one library cannot call what was compiled with the other, and ends with `undefined symbol`,
although the function is there. The same happens between libstdc++'s two ABIs (`_GLIBCXX_USE_CXX11_ABI=0`).

**Seen in the wild.** An extension of PyTorch that was compiled with clang 17 and libc++, beside the official PyTorch,
which is compiled with GCC and libstdc++:

    custom_device_extension.so: undefined symbol:
    _ZN3c106detail14torchCheckFailEPKcS2_jRKNSt3__112basic_stringIcNS3_11char_traitsIcEENS3_9allocatorIcEEEE

That is `c10::detail::torchCheckFail(char const*, char const*, unsigned int, std::__1::basic_string<char> const&)`;
`libc10.so` has it as `torchCheckFail(…, std::__cxx11::basic_string<char> const&)` (pytorch/glow#5713 is the same).

**What to do.** Compile both with one standard library: the extension with `-stdlib=libstdc++`, or the library that it
calls with `-stdlib=libc++`. Only C functions may be called across.

**False alarms.** None known.
"""

from __future__ import annotations

from collections.abc import Iterator

from tt_conda.audit.analysis import Analysis
from tt_conda.audit.finding import Finding, Severity
from tt_conda.audit.flavour import flavour_of_name
from tt_conda.audit.objects import Object
from tt_conda.audit.rules import Rule
from tt_conda.elf.demangle import demangle

RULE = Rule(
    "TC302", "other-standard-library", Severity.ERROR,
    "A symbol is provided, but with the other C++ standard library's types.",
    "Compile both with one C++ standard library (-stdlib=libstdc++ or -stdlib=libc++).",
)  # fmt: skip


def check(analysis: Analysis) -> Iterator[Finding]:
    """Say which undefined symbols would be there with the other library's types, by who needs and who has them."""
    for each in analysis.undefined:
        groups: dict[Object, list[tuple[str, str]]] = {}
        for name, (given, provider) in sorted(analysis.other_library(each).items(), key=lambda pair: pair[0]):
            groups.setdefault(provider, []).append((name, given))
        for provider, pairs in groups.items():
            wanted, given = pairs[0]
            more = f", and {len(pairs) - 1} more symbols" if len(pairs) > 1 else ""
            yield RULE.finding(
                provider.soname,
                f"{each.item.name} was compiled with {_library(wanted)} and {provider.name} with {_library(given)}: it "
                f"needs {demangle(wanted)}, and {provider.name} has {demangle(given)}{more}.",
                [each.item, provider],
                evidence=[line for pair in pairs for line in (f"needed: {pair[0]}", f"there:  {pair[1]}")],
            )


def _library(name: str) -> str:
    """What a symbol's types say of its compiler, where the other library has a symbol that is called alike."""
    if flavour := flavour_of_name(name):
        return {"libc++": "libc++ (std::__1)", "libstdc++": "libstdc++ (std::__cxx11)"}[flavour]
    return "libstdc++'s old ABI (_GLIBCXX_USE_CXX11_ABI=0)" if "Ss" in name else "libstdc++"
