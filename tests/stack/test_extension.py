"""The carved torch-ttnn fits the tt-metal and libttnn that it pins: every C++ symbol has a provider."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from rattler.package_streaming import extract

from toolchain import program
from tt_conda.elf import is_shared_object, read

STACK = ("tt::", "ttnn::", "ttsl::")


def demangled(names: set[str]) -> dict[str, str]:
    ordered = sorted(names)
    done = subprocess.run([program("c++filt")], input="\n".join(ordered), capture_output=True, text=True, check=True)
    return dict(zip(ordered, done.stdout.splitlines(), strict=True))


def objects(folder: Path) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return [path for path in files if is_shared_object(path)]


@pytest.fixture(scope="module")
def unpack(output: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A package of the channel, unpacked."""

    def one(stem: str) -> Path:
        folder = tmp_path_factory.mktemp("package")
        extract(output / "linux-64" / f"{stem}.conda", folder)
        return folder

    return one


def test_every_symbol_of_the_extension_has_a_provider(
    output: Path, pythons: Sequence[str], unpack: Callable[[str], Path]
) -> None:
    if "3.10" not in pythons:
        pytest.skip("no CPython 3.10 on this machine")
    (package,) = output.glob("linux-64/torch-ttnn-*.conda")
    folder = unpack(package.stem)
    depends = json.loads((folder / "info/index.json").read_text())["depends"]
    (extension,) = objects(folder)
    assert extension.name == "ttnn_device_extension"
    wanted = demangled(set(read(extension).symbols.undefined))
    wanted = {name: text for name, text in wanted.items() if any(part in text for part in STACK)}
    assert len(wanted) > 100
    provided: set[str] = set()
    for spec in depends:
        name, _, rest = spec.partition(" ==")
        if name in ("tt-metal", "libttnn"):
            for path in objects(unpack(f"{name}-{rest.replace(' ', '-')}")):
                provided |= read(path).symbols.defined
    assert provided
    assert {text for name, text in wanted.items() if name not in provided} == set()
