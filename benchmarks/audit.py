"""The audit beside auditwheel, on all of the wheels at once, on an environment with PyTorch, and as symbols grow.

    .venv/bin/pip install -e '.[bench]'
    .venv/bin/python benchmarks/audit.py [--torch ENVIRONMENT]

Times of one run on one machine are compared with each other only: the best of three, the rivals taking turns. Without
--torch an environment is made with pip; where that cannot fetch PyTorch's CPU wheel, name one that has it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from pathlib import Path

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(PROJECT / "tests"))

from published import published  # noqa: E402
from toolchain import program  # noqa: E402

ROUNDS = 3
NEWEST = "ttnn-0.81.1-3.12"
LATE = ["ttnn-shutov-0.65.0.dev20251205-3.10", "torch-ttnn-shutov-0.2.0-3.10", "--", "ttnn-0.81.1-3.10"]
EARLY = ["ttnn-shutov-0.62.0.dev20250916-3.10", "torch-ttnn-shutov-0.1.0-3.10", "--", "ttnn-0.63.0-3.10"]
SIZES = [10_000, 20_000, 40_000, 80_000, 160_000, 320_000]
TORCH = "torch==2.13.0"

# Audits its arguments (-- between those that are not installed together) in a fresh process, and says how long that
# took from the first import on, and its memory.
INSIDE = """
import json, sys, time
start = time.perf_counter()
from pathlib import Path
from tt_conda.audit.audit import audit
from tt_conda.audit.targets import read_targets
told = {"seconds": 0, "rules": 0, "objects": 0, "symbols": 0, "findings": 0}
for together in " ".join(sys.argv[1:]).split(" -- "):
    with read_targets([Path(name) for name in together.split()]) as scene:
        read = time.perf_counter()
        told["findings"] += len(audit(scene).findings)
        told["rules"] += time.perf_counter() - read
        told["objects"] += len(scene.objects)
        told["seconds"] = time.perf_counter() - start
        told["symbols"] += sum(len(o.elf.symbols.defined) + len(o.elf.symbols.undefined) for o in scene)
status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
told["bytes"] = int(status["VmHWM"].removesuffix("kB")) * 1024  # ru_maxrss counts what the starting process used, too
print(json.dumps(told))
"""


def seconds(command: Sequence[str | Path]) -> float:
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return time.perf_counter() - start


def inside(targets: Sequence[Path | str]) -> dict[str, float]:
    """The best of three runs."""
    runs: list[dict[str, float]] = []
    for _ in range(ROUNDS):
        done = subprocess.run(
            [sys.executable, "-c", INSIDE, *targets], stdout=subprocess.PIPE, text=True, check=True, cwd=PROJECT
        )
        runs.append(json.loads(done.stdout))
    return min(runs, key=lambda run: run["seconds"])


def wheels(labels: Sequence[str]) -> list[Path | str]:
    return [label if label == "--" else published(label) for label in labels]


def line(title: str, run: dict[str, float]) -> None:
    print(
        f"{title:34} {run['objects']:8.0f} {run['symbols']:9,.0f} {run['seconds']:7.2f} {run['rules']:9.2f}"
        f" {run['bytes'] / 1e6:6.0f} {run['findings']:9.0f}"
    )


def beside_auditwheel() -> None:
    here = Path(sys.executable).parent
    if not (here / "auditwheel").exists():
        print("auditwheel is not there: .venv/bin/pip install -e '.[bench]'")
        return
    wheel, ours, theirs = published(NEWEST), [], []
    for _ in range(ROUNDS):
        ours.append(seconds([here / "tt-conda", "audit", wheel]))
        theirs.append(seconds([here / "auditwheel", "show", wheel]))
    print(f"{wheel.name}: auditwheel show {min(theirs):.2f} s, tt-conda audit {min(ours):.2f} s, start to end:"
          f" {min(theirs) / min(ours):.1f} times faster\n")  # fmt: skip


def environment(given: Path | None, folder: Path) -> Path | None:
    if given:
        return given
    prefix = folder / "torch"
    venv.create(prefix, with_pip=True)
    done = subprocess.run([prefix / "bin/pip", "install", "-q", "--no-deps", TORCH, "numpy"], check=False)
    has_cuda = any(prefix.rglob("libtorch_cuda.so"))
    return None if done.returncode or has_cuda else prefix


def curve(folder: Path) -> None:
    """A library that defines n functions and one that needs them all, for growing n."""
    print(f"\n{'symbols':>9} {'seconds':>8} {'µs/symbol':>10}")
    start = inside([_pair(folder / "1", 1)])["seconds"]
    for size in SIZES:
        run = inside([_pair(folder / str(size), size)])
        spent = run["seconds"] - start
        bar = "█" * round(spent * 20)
        print(f"{run['symbols']:9,.0f} {spent:8.3f} {spent / run['symbols'] * 1e6:10.2f} {bar}")


def _pair(folder: Path, size: int) -> Path:
    folder.mkdir()
    names = [f"_ZN4some9namespace8functionILi{n}EEEvv" for n in range(size)]
    sources = {
        "libgives.so": "".join(f".globl {name}\n.type {name},@function\n{name}:\n" for name in names) + "ret\n",
        "libneeds.so": ".data\n" + "".join(f".quad {name}\n" for name in names),
    }
    for target, text in sources.items():
        source = folder / f"{target}.s"
        source.write_text(text)
        needed = [str(folder / "libgives.so")] if target == "libneeds.so" else []
        command = [program("gcc"), "-shared", "-nostdlib", "-o", folder / target, source, *needed, "-Wl,-rpath,$ORIGIN"]
        subprocess.run(command, check=True)
        source.unlink()
    return folder


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--torch", type=Path, help="an environment with PyTorch's CPU wheel")
    given = arguments.parse_args().torch
    folder = Path(tempfile.mkdtemp())
    try:
        beside_auditwheel()
        print(f"{'':34} {'objects':>8} {'symbols':>9} {'seconds':>7} {'in rules':>9} {'MB':>6} {'findings':>9}")
        line(f"{NEWEST}, the wheel", inside([published(NEWEST)]))
        line("0.65 with 0.2.0, then 0.81.1", inside(wheels(LATE)))
        line("and 0.62 with 0.1.0, 0.63, 0.81.1", inside(wheels([*EARLY, "--", *LATE, "--", NEWEST])))
        prefix = environment(given, folder)
        if prefix:
            line("an environment with PyTorch", inside([prefix]))
        else:
            print("pip gave no CPU build of PyTorch: name an environment that has one with --torch")
        curve(folder)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
