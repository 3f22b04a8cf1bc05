"""Damaged shared objects and archives, made from real ones: ``python fuzz.py FOLDER SEED COUNT FILE...``.

Audits COUNT of them with every rule, in a process of its own that may use 1 GB, and one minute of processor time for
any one scene, and prints what became of them as JSON. A file that is neither audited nor said to be unreadable ends it.
"""

from __future__ import annotations

import json
import random
import resource
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path

from tt_conda.audit.audit import audit
from tt_conda.audit.scene import Scene
from tt_conda.audit.targets import read_targets
from tt_conda.audit.targets.candidates import promises_object
from tt_conda.elf import HEAD, is_object

TOGETHER = 50
"""Damaged objects that are audited in one folder."""
MINUTE = 60.0
"""Seconds of processor time."""
INTERESTING = [0, 1, 0x7F, 0x80, 0xFF]


def damaged(data: bytes, chance: random.Random) -> bytes:
    """One of the ways in which files go wrong: cut, bytes changed (most of them where the tables are), parts moved."""
    content = bytearray(data)
    match chance.randrange(6):
        case 0:
            return bytes(content[: chance.randrange(len(content))])
        case 1:
            return bytes(content[: min(len(content), chance.randrange(4096))])
        case 2:
            at = chance.randrange(len(content))
            content[at : at + chance.randrange(1, 4096)] = b""
        case 3:
            at, size = chance.randrange(len(content)), chance.choice([16, 256, 4096])
            content[at : at + size] = chance.randbytes(size)
        case _:
            limit = chance.choice([64, 1024, len(content)])
            for _ in range(chance.choice([1, 2, 8, 64])):
                at, width = chance.randrange(min(limit, len(content))), chance.choice([1, 1, 4, 8])
                known = bytes([chance.choice(INTERESTING)]) * width
                content[at : at + width] = known if chance.random() < 0.7 else chance.randbytes(width)
    return bytes(content)


def check(scene: Scene, file: Path) -> str:
    """What became of a file; it must have been audited, or named as unreadable, unless it is no object of ours."""
    if any(found.path == str(file) for found in scene):
        return "audited"
    if any(item.member == file.name for item in scene.unreadable):
        return "unreadable"
    head = file.read_bytes()[:HEAD]
    assert not promises_object(file.name, head), f"{file} is passed over in silence"
    return "foreign" if not is_object(head) else "not dynamic"


def objects(folder: Path, sources: list[Path], count: int, chance: random.Random) -> Counter[str]:
    """Audit damaged objects, some at a time, beside one that is whole."""
    told: Counter[str] = Counter()
    whole = [source.read_bytes() for source in sources]
    while told.total() < count:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        number = min(TOGETHER, count - told.total())
        files = [folder / f"libdamaged{index}.so" for index in range(number)]
        for file in files:
            file.write_bytes(damaged(chance.choice(whole), chance))
        good = folder / "libwhole.so"
        good.write_bytes(whole[0])
        signal.setitimer(signal.ITIMER_PROF, MINUTE)
        with read_targets([folder]) as scene:
            report = audit(scene)
            told.update(check(scene, file) for file in files)
            assert any(found.path == str(good) for found in scene), "the rest is not audited"
            named = {place.path for finding in report.findings if finding.code == "TC901" for place in finding.places}
            assert {item.member for item in scene.unreadable} == named
        signal.setitimer(signal.ITIMER_PROF, 0)
    return told


def archives(folder: Path, sources: list[Path], count: int, chance: random.Random) -> Counter[str]:
    """Audit damaged archives, each alone."""
    told: Counter[str] = Counter()
    for _ in range(count):
        source = chance.choice(sources)
        file = folder / source.name
        file.write_bytes(damaged(source.read_bytes(), chance))
        signal.setitimer(signal.ITIMER_PROF, MINUTE)
        with read_targets([file]) as scene:
            report = audit(scene)
            assert len([f for f in report.findings if f.code == "TC901"]) >= min(1, len(scene.unreadable))
            told["unreadable" if scene.unreadable else "audited"] += 1
        signal.setitimer(signal.ITIMER_PROF, 0)
    return told


def most_memory() -> int:
    """The most memory of this process so far, in bytes (proc(5)).

    getrusage's ru_maxrss would count what the process used that started it: a worker of pytest, after its other tests.
    """
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].removesuffix("kB")) * 1024


def main() -> None:
    """Run, and print what became of the files and the most memory that was used, in bytes."""
    folder, seed, count = Path(sys.argv[1]).resolve(), int(sys.argv[2]), int(sys.argv[3])
    sources = [Path(name) for name in sys.argv[4:]]
    chance = random.Random(seed)
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))  # address space: threads reserve more than they use
    run = archives if sources[0].suffix in (".whl", ".conda", ".bz2") else objects
    told = run(folder, sources, count, chance)
    print(json.dumps({"told": told, "bytes": most_memory()}))


if __name__ == "__main__":
    main()
