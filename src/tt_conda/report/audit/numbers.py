"""Numbers as people read them."""

from __future__ import annotations


def megabytes(size: int) -> str:
    """Bytes in the unit that fits: ``153.2 MB``, ``12 kB``, ``300 bytes`` (powers of ten)."""
    if size >= 999_950:
        return f"{size / 1e6:,.1f} MB"
    return f"{size / 1e3:,.0f} kB" if size >= 1000 else f"{size} bytes"


def count(number: int, what: str, many: str = "") -> str:
    """``1 error``, ``2 errors``."""
    return f"{number:,} {what if number == 1 else many or what + 's'}"
