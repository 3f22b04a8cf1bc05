"""How fast one PyTorch is beside another: `python benchmarks/pytorch.py OURS/bin/python OTHER/bin/python`.

Both are measured in turns, so that what else the machine does touches both; of each workload the best time counts. A
ratio above 1 says that the first is faster.
"""

from __future__ import annotations

import json
import subprocess
import sys
from math import exp, log

ROUNDS = 5

MEASURE = """
import json, time, torch
from torch import nn
torch.manual_seed(0)
torch.set_num_threads(2)
a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
batch = torch.randn(64, 128, 128)
images, small = torch.randn(8, 64, 56, 56), torch.randn(4)
long, index = torch.randn(4_000_000), torch.randint(0, 4_000_000, (1_000_000,))
conv, norm = nn.Conv2d(64, 64, 3, padding=1), nn.LayerNorm(1024)
mlp = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 10))
cnn = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Flatten(),
                    nn.Linear(32 * 13 * 13, 10))
def step(model, x):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    def run():
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), torch.zeros(len(x), dtype=torch.long)).backward()
        optimizer.step()
    return run
def quietly(call):
    def run():
        with torch.no_grad():
            call()
    return run
work = {
    "matmul 1024": quietly(lambda: a @ b),
    "bmm 64x128": quietly(lambda: torch.bmm(batch, batch)),
    "conv2d 64x56": quietly(lambda: conv(images)),
    "softmax": quietly(lambda: a.softmax(-1)),
    "layer_norm": quietly(lambda: norm(a)),
    "add": quietly(lambda: long + long),
    "exp": quietly(lambda: long.exp()),
    "sum": quietly(lambda: long.sum()),
    "index": quietly(lambda: long[index]),
    "small add": quietly(lambda: small + small),
    "MLP step": step(mlp, torch.randn(64, 256)),
    "CNN step": step(cnn, torch.randn(32, 3, 32, 32)),
}
def best(call):
    times, end = [], time.perf_counter() + 0.7
    call(); call()
    while time.perf_counter() < end or len(times) < 5:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)
print(json.dumps({"version": torch.__version__, "times": {name: best(call) for name, call in work.items()}}))
"""


def measure(python: str) -> tuple[str, dict[str, float]]:
    """Version of the PyTorch that this interpreter has, and seconds by workload."""
    done = subprocess.run([python, "-c", MEASURE], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return found["version"], found["times"]


def main(pythons: list[str]) -> None:
    """Print the table."""
    versions, bests = ["", ""], [dict[str, float](), dict[str, float]()]
    for _ in range(ROUNDS):
        for at, python in enumerate(pythons):
            versions[at], times = measure(python)
            bests[at] = {name: min(value, bests[at].get(name, value)) for name, value in times.items()}
    print(f"{'':14} {versions[0]:>12} {versions[1]:>12}   ratio")
    ratios = {name: bests[1][name] / bests[0][name] for name in bests[0]}
    for name, ratio in ratios.items():
        print(f"{name:14} {bests[0][name] * 1e6:9.1f} us {bests[1][name] * 1e6:9.1f} us {ratio:7.2f}")
    print(f"{'geometric mean':40} {exp(sum(map(log, ratios.values())) / len(ratios)):7.2f}")


if __name__ == "__main__":
    main(sys.argv[1:3])
