"""Sonames, and auditwheel's hash in them."""

from __future__ import annotations

import re

# auditwheel names a vendored copy ``<base>-<first 8 digits of its sha256>.<rest>``, cutting at the first dot:
# libevent_core-2.1.so.7.0.1 becomes libevent_core-2-98f05372.1.so.7.0.1 (auditwheel/repair.py, copylib).
_HASHED = re.compile(r"^(?P<base>[^./]+)-(?P<hash>[0-9a-f]{8})(?P<rest>\..*)$")

_VERSION = re.compile(r"\.so((?:\.[^./]+)*)$")


def plain_soname(name: str) -> str:
    """Return ``name`` without auditwheel's hash: ``libtracy-b842b7dc.so.0.10.0`` → ``libtracy.so.0.10.0``.

    Wheels repaired against libraries from other wheels have several: ``libgfortran-040039e1-0352e75f.so.5``.
    """
    while match := _HASHED.match(name):
        name = match["base"] + match["rest"]
    return name


def soname_stem(name: str) -> str:
    """Return a plain soname without its version: ``libmpi.so.40.40.7`` → ``libmpi.so``."""
    return _VERSION.sub(".so", name)


def version_of(name: str) -> tuple[str, ...]:
    """Return the numbers after ``.so``: ``libhwloc.so.15.4.1`` → ``("15", "4", "1")``."""
    match = _VERSION.search(name)
    return tuple(part for part in match[1].split(".") if part) if match else ()


def same_library(a: str, b: str) -> bool:
    """Tell whether two plain names denote one library: one's version numbers are a prefix of the other's.

    ``libmpi.so.40.40.7`` and ``libmpi.so.40`` are one library, ``libssl.so.1.1`` and ``libssl.so.3`` are two.
    An unversioned name (``libtracy.so``) is the link name of any version.
    """
    if soname_stem(a) != soname_stem(b):
        return False
    va, vb = version_of(a), version_of(b)
    shorter = min(len(va), len(vb))
    return va[:shorter] == vb[:shorter]
