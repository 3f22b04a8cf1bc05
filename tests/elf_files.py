"""ELF files: as binutils reads them, and damaged ones."""

from __future__ import annotations

import random
import struct
import subprocess
from pathlib import Path

from published import dynamic
from toolchain import program
from tt_conda.elf import read


def binutils(*arguments: str | Path) -> str:
    return subprocess.run([program("readelf"), "-W", *arguments], capture_output=True, text=True, check=True).stdout


def symbols_of(path: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {"defined": set(), "undefined": set(), "weak": set()}
    for line in binutils("--dyn-syms", path).splitlines():
        parts = line.split()
        if len(parts) < 8 or not parts[0].endswith(":") or parts[4] not in ("GLOBAL", "WEAK", "UNIQUE"):
            continue
        name = parts[7].split("@")[0]
        found["undefined" if parts[6] == "UND" else "defined"].add(name)
        if parts[4] == "WEAK":
            found["weak"].add(name)
    return found


def agree(path: Path) -> None:
    elf, seen = read(path), dynamic(path)
    assert list(elf.needed) == [value for tag, value in seen if tag == "NEEDED"]
    for tag in ("SONAME", "RPATH", "RUNPATH"):
        assert getattr(elf, tag.lower()) == next((value for name, value in seen if name == tag), None)
    notes = binutils("-n", path)
    assert elf.build_id == (notes.split("Build ID: ")[1].split()[0] if "Build ID: " in notes else None)
    text = binutils("-V", path)
    needs = [line.split("File: ")[1].split()[0] for line in text.splitlines() if "File: " in line]
    assert sorted(elf.version_needs) == sorted(set(needs))
    expected, found = symbols_of(path), elf.symbols
    assert (found.defined, found.undefined, found.weak) == (
        expected["defined"],
        expected["undefined"],
        expected["weak"],
    )


def mutations(data: bytes, count: int, seed: int) -> list[bytes]:
    """Damaged copies: bytes, words and runs, mostly where the loader's tables are."""
    chance = random.Random(seed)
    tables = [struct.unpack_from("<Q", data, 32)[0] + 56 * i for i in range(struct.unpack_from("<H", data, 56)[0])]
    found = []
    for _ in range(count):
        damaged = bytearray(data)
        for _ in range(chance.choice((1, 1, 2, 5))):
            at = chance.choice((chance.randrange(64), chance.choice(tables) + chance.randrange(56),
                                chance.randrange(0x1000), chance.randrange(len(data))))  # fmt: skip
            new = chance.choice((
                bytes([chance.randrange(256)]), b"\xff" * 4, b"\xff" * 8, bytes(8), b"\xff" * 7 + b"\x7f",
                chance.randbytes(4), struct.pack("<I", chance.randrange(64)),
            ))  # fmt: skip
            damaged[at : at + len(new)] = new[: max(0, len(data) - at)]
        found.append(bytes(damaged))
    return found


def dynamic_mutations(path: Path, count: int, seed: int) -> list[bytes]:
    """Damaged values in the dynamic section, and swapped tags."""
    chance, data, entries = random.Random(seed), path.read_bytes(), read(path).entries
    found = []
    for _ in range(count):
        damaged, entry = bytearray(data), chance.choice(entries)
        if chance.random() < 0.3:
            struct.pack_into("<Q", damaged, entry.offset - 8, chance.choice(entries).tag)
        else:
            value = chance.choice((0, 1, entry.value ^ 1 << chance.randrange(64), 2**64 - 1, 2**63, len(data) - 1,
                                   chance.choice(entries).value))  # fmt: skip
            struct.pack_into("<Q", damaged, entry.offset, value)
        found.append(bytes(damaged))
    return found


def strip_section_headers(path: Path) -> None:
    data = bytearray(path.read_bytes())
    struct.pack_into("<Q", data, 40, 0)
    struct.pack_into("<HH", data, 60, 0, 0)
    path.write_bytes(data)
