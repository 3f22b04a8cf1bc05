"""Demangle C++ names.

Uses the C++ runtime's own ``__cxa_demangle`` (Itanium C++ ABI, 3.4), called through ctypes. Without a runtime, names
stay mangled.
"""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Callable
from functools import lru_cache

_RUNTIMES = ("libstdc++.so.6", "libc++abi.so.1")
_LONGEST = 32_768
"""Maximum characters: longer names take long to demangle and nobody reads them."""


@lru_cache(maxsize=65_536)
def demangle(name: str) -> str:
    """Demangle a symbol's name; other names are returned unchanged."""
    if not name.startswith("_Z") or len(name) > _LONGEST:
        return name
    runtime = _runtime()
    return runtime(name) if runtime else name


@lru_cache
def _runtime() -> Callable[[str], str] | None:
    library = _open()
    if library is None:
        return None
    cxa_demangle, free = library.__cxa_demangle, ctypes.CDLL(None).free
    cxa_demangle.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int)]
    cxa_demangle.restype = ctypes.c_void_p
    free.argtypes, free.restype = [ctypes.c_void_p], None

    def ask(name: str) -> str:
        status = ctypes.c_int()
        found = cxa_demangle(name.encode("utf-8", "surrogateescape"), None, None, ctypes.byref(status))
        if not found:
            return name
        try:
            return ctypes.string_at(found).decode("utf-8", "surrogateescape")
        finally:
            free(found)

    return ask


def _open() -> ctypes.CDLL | None:
    for name in (*_RUNTIMES, *(f"{sys.prefix}/lib/{name}" for name in _RUNTIMES)):
        try:
            library = ctypes.CDLL(name)
            library.__cxa_demangle  # noqa: B018  (checks that it exists)
        except (OSError, AttributeError):
            continue
        return library
    return None


_PREFIX = re.compile(
    r"_Z"
    r"(?:GV|GR|T[VTISHW]|Tc?(?:h|v)?n?\d+_(?:n?\d+_)?)?"  # guards, references, vtables, type information, thunks
    r"Z*N[rVKRO]*"  # names local to a function, nested names, qualifiers of member functions
    r"(?:(?P<std>S[tabiosd])|(?P<size>\d+))"
)


def namespace_of(name: str) -> str:
    """The outermost namespace or class of a mangled name, parsed from its text; empty for C names and global functions.

    Itanium C++ ABI, 5.1.2 (nested names) and 5.1.8 (``St`` and the other abbreviations of ``std``).
    """
    match = _PREFIX.match(name)
    if match is None:
        return "std" if name.startswith(("_ZSt", "_ZNSt", "_ZTISt", "_ZTVSt", "_ZTSSt")) else ""
    if match["std"]:
        return "std"
    start = match.end()
    return name[start : start + int(match["size"])]
