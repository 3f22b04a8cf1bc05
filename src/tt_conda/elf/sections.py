"""The sections of an ELF file, by name."""

from __future__ import annotations

import struct

from tt_conda.elf.read import ElfError

_NOBITS = 8


def sections(content: bytes) -> dict[str, tuple[int, int]]:
    """Name → offset and size in the file, of sections with content (64-bit, little-endian; elf(5)).

    Raises:
        ElfError: not such an ELF file, or its section table cannot be read.
    """
    if content[:6] != b"\x7fELF\x02\x01":
        raise ElfError("not a 64-bit little-endian ELF file")
    try:
        (table,) = struct.unpack_from("<Q", content, 0x28)
        size, count, names_at = struct.unpack_from("<HHH", content, 0x3A)
        headers = [struct.unpack_from("<IIQQQQ", content, table + at * size) for at in range(count)]
        names = headers[names_at][4] if headers else 0
    except (struct.error, IndexError) as error:
        raise ElfError(f"its sections cannot be read ({error})") from error
    found = {}
    for name, kind, _, _, offset, length in headers:
        end = content.find(b"\0", names + name)
        if kind != _NOBITS and length:
            found[content[names + name : end].decode(errors="replace")] = offset, length
    return found
