"""PyTorch's own tests, from its source's `test/` folder, on installed PyTorchs: what passes here, and what there.

    python benchmarks/pytorch_tests.py pytorch/test ENV/bin/python [OTHER/bin/python]

`tt-conda sources recipes/pytorch-libcxx/sources.lock --dest pytorch` unpacks the source. Each Python needs what the
tests need: pytest 7, pytest-timeout, pytest-xdist, expecttest, hypothesis, and scipy for test_ops. The C++ extensions
want a compiler: run theirs in an activated environment that has one (`tt-conda run --prefix ENV …`).

Of files with more tests than fit into the time, one in `sample` is run, chosen by the checksum of its name: the same
ones everywhere. A test that ends its process, or takes longer than five minutes, has failed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

FILES = {
    "test_torch": 1, "test_autograd": 1, "test_nn": 1, "test_serialization": 1, "test_cpp_extensions_aot_ninja": 1,
    "test_cpp_extensions_aot_no_ninja": 1, "test_cpp_extensions_jit": 1,
    "test_cpp_extensions_open_device_registration": 1, "test_ops": 20,
}  # fmt: skip
"""Test file → one in how many of its tests is run."""

SAMPLE = """
import os, zlib
def pytest_collection_modifyitems(config, items):
    every = int(os.environ["SAMPLE_EVERY"])
    chosen = [zlib.crc32(item.nodeid.split("::", 1)[1].encode()) % every == 0 for item in items]
    config.hook.pytest_deselected(items=[item for item, it_is in zip(items, chosen) if not it_is])
    items[:] = [item for item, it_is in zip(items, chosen) if it_is]
"""


def compile_extensions(tests: Path, python: Path, file: str, environ: dict[str, str]) -> None:
    """What upstream's run_test.py does for test_cpp_extensions_aot: install its extensions, with and without ninja."""
    environ["USE_NINJA"] = "0" if "no_ninja" in file else "1"
    for source in (tests / "cpp_extensions", tests / "cpp_extensions/no_python_abi_suffix_test"):
        command = [python, "setup.py", "install", "--root", "install"]
        done = subprocess.run(command, cwd=source, env=environ, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{source.name} with {python}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    (installed,) = (tests / "cpp_extensions/install").rglob("*-packages")
    environ["PYTHONPATH"] = os.pathsep.join([str(installed), environ["PYTHONPATH"]])
    shutil.copyfile(tests / "test_cpp_extensions_aot.py", tests / f"{file}.py")


def run(tests: Path, python: Path, file: str, every: int, workers: int) -> dict[str, tuple[str, str]]:
    """Test → (passed, failed or skipped; the message)."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "test")
        shutil.copytree(tests, folder, symlinks=True)
        (folder / "sample_plugin.py").write_text(SAMPLE)
        (folder / "pytest.ini").write_text("[pytest]\nmarkers =\n    serial: alone\nxfail_strict = True\n")
        environ = os.environ | {
            "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "SAMPLE_EVERY": str(every),
            "PYTORCH_TESTING_DEVICE_ONLY_FOR": "cpu",
            "TORCH_EXTENSIONS_DIR": f"{scratch}/extensions", "PYTHONPATH": os.pathsep.join(
                filter(None, [str(folder), os.environ.get("PYTHONPATH")])),
        }  # fmt: skip
        if "_aot_" in file:
            compile_extensions(folder, python, file, environ)
        command = [python, "-m", "pytest", f"{file}.py", "-p", "sample_plugin", "-p", "no:warnings", "-q", "--tb=line",
                   "--timeout=300", "--junit-xml=report.xml", "-o", "junit_family=xunit1"]  # fmt: skip
        command += ["-n", str(workers), "--max-worker-restart=100"]  # a worker that a test ends is no end
        done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
        if not (folder / "report.xml").exists():
            raise SystemExit(f"{file} with {python}: no report\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        found = {}
        for case in ET.parse(folder / "report.xml").iter("testcase"):
            name = f"{(case.get('classname') or '').rpartition('.')[2]}::{case.get('name')}"
            bad = case.find("failure") if case.find("failure") is not None else case.find("error")
            skipped = case.find("skipped")
            state = "failed" if bad is not None else "skipped" if skipped is not None else "passed"
            why = bad if bad is not None else skipped
            found[name] = state, (why.get("message") or "").strip() if why is not None else ""
        return found


def main() -> None:
    """Run and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tests", type=Path, help="the source's test/ folder")
    parser.add_argument("pythons", type=Path, nargs="+", help="Pythons that have PyTorch and the tests' packages")
    parser.add_argument("--file", action="append", help="only this file (test_torch); may be given again")
    parser.add_argument("--every", type=int, help="one in how many tests, instead of what fits into an hour")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--output", type=Path, help="a JSON file for all results")
    asked = parser.parse_args()
    results: dict[str, dict[str, dict[str, tuple[str, str]]]] = {}
    for file in asked.file or FILES:
        every = asked.every or FILES.get(file, 1)
        for python in asked.pythons:
            start = time.monotonic()
            found = run(asked.tests, python, file, every, 1 if "cpp_ext" in file else asked.workers)
            counts = Counter(state for state, _ in found.values())
            judged = counts["passed"] + counts["failed"]
            rate = 100 * counts["passed"] / judged if judged else 0.0
            of = f", 1 in {every}" if every > 1 else ""
            took = f"{rate:.2f} % of those that ran, {time.monotonic() - start:.0f} s"
            numbers = f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped"
            print(f"{file}{of}: {numbers}, {took}  {python}", flush=True)
            results.setdefault(file, {})[str(python)] = found
        first, *others = results[file].values()
        for name, (state, why) in sorted(first.items()):
            if state == "failed":
                elsewhere = "".join(f" [there: {other.get(name, ('not run', ''))[0]}]" for other in others)
                print(f"  {name}{elsewhere}: {' '.join(why.split())[:200]}", flush=True)
        if asked.output:
            asked.output.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
