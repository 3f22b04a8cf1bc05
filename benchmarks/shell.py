"""From nothing to a prompt in which an edit in C++ is compiled and imported: `tt-conda shell dev --editable`.

    ci/run exec python benchmarks/shell.py                    # what `dev` has beside the stack, and a small extension
    ci/run exec python benchmarks/shell.py --stack CHANNEL…   # all of it, with their packages, and a torch-ttnn

Cold is without unpacked packages and without objects in ccache; the channels are on the machine. Times of one run are
compared with each other only.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).parents[1]
NATIVE = (
    PROJECT / "tests/workspace/native", "native.cpp", "PyLong_FromLong(41)", "PyLong_FromLong(42)",
    "import native; assert native.answer() == {}", ("41", "42"),
)  # fmt: skip
TORCH_TTNN = (
    PROJECT / "tests/standin/torch-ttnn",
    "torch_ttnn/cpp_extension/ttnn_cpp_extension/src/open_registration_extension.cpp",
    "values(other)).values()", "ttnn::add(values(other), values(other))).values()",
    "import torch, torch_ttnn.cpp_extension; x = torch.ones(1, device='ttnn:0'); assert (x + x).item() == {}",
    ("2", "3"),
)  # fmt: skip


def seconds(command: list[str | Path], environ: dict[str, str], cwd: Path) -> float:
    start = time.perf_counter()
    done = subprocess.run(command, env=environ, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout[-3000:] + done.stderr[-3000:])
    return time.perf_counter() - start


def workspace(folder: Path, *, stack: bool) -> None:
    """A copy of the project's, with or without the packages that the project compiles."""
    text = (PROJECT / "pixi.toml").read_text()
    if not stack:
        text = text.replace('"stack", "libcxx", "dev"', '"dev", "only-python"').replace("tt-metal-devel = {", "# {")
        text += '\n[feature.only-python.dependencies]\npython = "*"\n'
    (folder / "pixi.toml").write_text(text)
    shutil.copytree(PROJECT / "recipes", folder / "recipes", symlinks=True)
    for file in PROJECT.glob("variants*.yaml"):
        shutil.copy(file, folder)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--stack", metavar="CHANNEL", nargs="+", default=[], help="with pytorch, ttnn, tt-metal-devel")
    stack: list[str] = parser.parse_args().stack
    source, file, old, new, code, (before, after) = TORCH_TTNN if stack else NATIVE
    embedded = subprocess.run(["tt-conda", "embedded"], capture_output=True, text=True, check=True).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="shell-") as name:
        folder = Path(name)
        workspace(folder, stack=bool(stack))
        checkout = Path(shutil.copytree(source, folder / "checkout"))
        environ = {
            **{key: value for key, value in os.environ.items() if not key.startswith("TT_CONDA_EXTRA")},
            "TT_CONDA_CACHE": str(folder / "cache"), "CCACHE_DIR": str(folder / "ccache"), "TT_CONDA_PROJECT": name,
        }  # fmt: skip
        enter: list[str | Path] = ["tt-conda", "shell", "dev"]
        for channel in (*stack, embedded):
            enter += ["-c", str(Path(channel).absolute())]
        first: list[str | Path] = [*enter, "--editable", checkout, "--", "python", "-c", code.format(before)]
        times = {"cold: nothing is there": seconds(first, environ, folder)}
        text = (checkout / file).read_text()
        (checkout / file).write_text(text.replace(old, new))
        again: list[str | Path] = [*enter, "--", "python", "-c", code.format(after)]
        times["an edit in C++, and the import"] = seconds(again, environ, folder)
        times["again, nothing edited"] = seconds(again, environ, folder)
        shutil.rmtree(folder / ".tt-conda")
        shutil.rmtree(checkout / "build")
        (checkout / file).write_text(text)
        times["warm: the environment is made anew"] = seconds(first, environ, folder)
    cold = next(iter(times.values()))
    for what, took in times.items():
        print(f"{what:36} {took:6.1f} s   {took / cold:.2f}")


if __name__ == "__main__":
    main()
