"""Loading the published extension from one copy of each library, beside the wheels as they are published.

    ci/run exec tt-conda build pytorch --cxx-stdlib libstdcxx --python 3.10   # an hour and more on two cores
    ci/run exec tt-conda install torch-ttnn 'python 3.10.*' --prefix ENV
    ci/run exec python benchmarks/load.py ENV

Both use ENV's Python and PyTorch; the wheels are unpacked into a folder that is searched first, and the extension is
loaded as torch_ttnn does it. Each step is timed in a fresh process, in turns; the best of seven counts. Times of one
run are compared with each other only.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import zipfile
from pathlib import Path

from tt_conda.inputs.lock import load
from tt_conda.inputs.wheels import fetch_wheel

PROJECT = Path(__file__).parents[1]
ROUNDS = 7
TORCH_TTNN, TTNN = ("torch-ttnn-shutov", "0.2.0"), ("ttnn-shutov", "0.65.0.dev20251205")

MEASURE = """
import importlib.util, json, os, sys, time
from importlib.machinery import ExtensionFileLoader
times, start = {}, time.perf_counter()
def step(name):
    global start
    times[name], start = time.perf_counter() - start, time.perf_counter()
import torch
step("import torch")
import ttnn
step("import ttnn")
loader = ExtensionFileLoader("ttnn_device_extension", sys.argv[1])
loader.create_module(importlib.util.spec_from_loader(loader.name, loader))
step("load the extension")
mapped = {line.split()[-1] for line in open("/proc/self/maps") if line.split()[-1].startswith("/")}
ours = [path for path in mapped if ".so" in path and any(word in os.path.basename(path) for word in WORDS)]
print(json.dumps({"times": times, "libraries": {path: os.path.getsize(path) for path in ours}}))
"""
WORDS = ["libtt", "ttnn", "libdevice", "libtracy", "libmpi"]
"""What the libraries of Tenstorrent, and what both wheels bring for them, have in their names."""


def unpacked(folder: Path) -> Path:
    """The two wheels, as pip would unpack them."""
    pins = {(pin.name, pin.version): pin for pin in load(PROJECT / "recipes/torch-ttnn/wheels.lock").wheel}
    pins |= {(pin.name, pin.version): pin for pin in load(PROJECT / "recipes/ttnn/wheels.lock").wheel}
    for key in (TTNN, TORCH_TTNN):
        with zipfile.ZipFile(fetch_wheel(pins[key])) as wheel:
            wheel.extractall(folder)
    return folder


def measure(python: Path, first: Path) -> tuple[dict[str, float], dict[str, int]]:
    """Seconds by step, and bytes by library."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "TT_", "LD_"))}
    environ["PYTHONPATH"] = str(first)
    code = MEASURE.replace("WORDS", repr(WORDS))
    extension = first / "torch_ttnn_cpp_extension/ttnn_device_extension"
    done = subprocess.run([python, "-c", code, extension], capture_output=True, text=True, env=environ, check=False)
    if done.returncode:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])
    told = json.loads(done.stdout.splitlines()[-1])
    return told["times"], told["libraries"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("env", type=Path, help="an environment with torch-ttnn")
    prefix: Path = parser.parse_args().env.resolve()
    site = prefix / "lib/python3.10/site-packages"
    best: dict[str, list[float]] = {}
    libraries: list[dict[str, int]] = [{}, {}]
    with tempfile.TemporaryDirectory(prefix="load-") as name:
        wheels = unpacked(Path(name))
        for _ in range(ROUNDS):
            for at, first in enumerate((site, wheels)):
                times, libraries[at] = measure(prefix / "bin/python", first)
                home = prefix if first == site else wheels
                strange = [path for path in libraries[at] if not path.startswith(f"{home}/")]
                if strange:
                    raise SystemExit(f"these are from elsewhere: {strange}")
                for step, value in times.items():
                    best.setdefault(step, [float("inf")] * 2)
                    best[step][at] = min(best[step][at], value)
    print(f"{'':22} {'lib/':>10} {'wheels':>10}   ratio")
    for step, (here, there) in best.items():
        print(f"{step:22} {here:8.3f} s {there:8.3f} s {there / here:7.2f}")
    here_mb, there_mb = (sum(found.values()) / 1e6 for found in libraries)
    print(f"{'libraries':22} {len(libraries[0]):10} {len(libraries[1]):10}")
    print(f"{'their files':22} {here_mb:7.1f} MB {there_mb:7.1f} MB {there_mb / here_mb:7.2f}")


if __name__ == "__main__":
    main()
