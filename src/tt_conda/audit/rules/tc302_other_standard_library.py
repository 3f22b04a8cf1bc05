"""A symbol exists only with the other C++ standard library's types.

**Why it matters.** libc++'s `std::string` is `std::__1::basic_string<…>`, libstdc++'s is
`std::__cxx11::basic_string<…>`: two types with different layouts, and two names for every function that takes one. Code
compiled with one library cannot call code compiled with the other. It fails with `undefined symbol`, although the
function exists. The same happens between libstdc++'s two ABIs (`_GLIBCXX_USE_CXX11_ABI=0`).

**Seen in the wild.** A PyTorch extension compiled with clang 17 and libc++, beside the official PyTorch, compiled with
GCC and libstdc++:

    custom_device_extension.so: undefined symbol:
    _ZN3c106detail14torchCheckFailEPKcS2_jRKNSt3__112basic_stringIcNS3_11char_traitsIcEENS3_9allocatorIcEEEE

That is `c10::detail::torchCheckFail(char const*, char const*, unsigned int, std::__1::basic_string<char> const&)`;
`libc10.so` has it as `torchCheckFail(…, std::__cxx11::basic_string<char> const&)` (pytorch/glow#5713 is the same).

**What to do.** Compile both with the same standard library: the extension with `-stdlib=libstdc++`, or the library it
calls with `-stdlib=libc++`. Only C functions can be called across.

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
    "A symbol exists only with the other C++ standard library's types.",
    "Compile both with the same C++ standard library (-stdlib=libstdc++ or -stdlib=libc++).",
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
    """The standard library implied by a symbol's types, for a symbol whose counterpart exists in the other library."""
    if flavour := flavour_of_name(name):
        return {"libc++": "libc++ (std::__1)", "libstdc++": "libstdc++ (std::__cxx11)"}[flavour]
    return "libstdc++'s old ABI (_GLIBCXX_USE_CXX11_ABI=0)" if "Ss" in name else "libstdc++"
