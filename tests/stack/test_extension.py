"""The carved torch-ttnn fits the tt-metal and libttnn that it pins: every C++ symbol has a provider."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from rattler.package_streaming import extract

from toolchain import program
from tt_conda.elf import is_shared_object, read
from tt_conda.providers import load_providers

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


@pytest.fixture(scope="module")
def torch_ttnn(output: Path, pythons: Sequence[str], unpack: Callable[[str], Path]) -> Path:
    """The package, unpacked."""
    if "3.10" not in pythons:
        pytest.skip("no CPython 3.10 on this machine")
    (package,) = output.glob("linux-64/torch-ttnn-*.conda")
    return unpack(package.stem)


@pytest.fixture(scope="module")
def extension(torch_ttnn: Path) -> Path:
    """Its one library."""
    (path,) = objects(torch_ttnn)
    assert path.name == "ttnn_device_extension"
    return path


def pinned(folder: Path) -> Iterator[str]:
    """The packages of the suite that a package pins, by their file names."""
    for spec in json.loads((folder / "info/index.json").read_text())["depends"]:
        name, _, rest = spec.partition(" ==")
        if name in ("tt-metal", "libttnn"):
            yield f"{name}-{rest.replace(' ', '-')}"


def test_the_extension_finds_what_it_needs_in_the_environment(
    torch_ttnn: Path, extension: Path, unpack: Callable[[str], Path], environment_of: Callable[[str], Path]
) -> None:
    """Along its own search path, beside what it depends on; but PyTorch, which has tests of its own, and glibc."""
    elf, place = read(extension), extension.relative_to(torch_ttnn)
    assert (elf.rpath, elf.runpath) == ("$ORIGIN/" + "/".join([".."] * (len(place.parts) - 2)), None)
    environment = environment_of("0.65-py310")
    folder = Path(os.path.normpath(str(elf.rpath).replace("$ORIGIN", str(environment / place.parent))))
    assert folder == environment / "lib"
    providers = load_providers()
    theirs = {soname for soname, spec in providers.packages.items() if spec.split()[0] in ("libtorch", "pytorch")}
    missing = {name for name in elf.needed if not (folder / name).is_file()}
    assert {"libc10.so", "libtorch.so"} <= missing & theirs
    assert missing - theirs - providers.system == set()
    own = {path.name for stem in pinned(torch_ttnn) for path in (unpack(stem) / "lib").iterdir()}
    assert {"_ttnncpp.so", "libtt_metal.so"} <= own & set(elf.needed)


def test_every_symbol_of_the_extension_has_a_provider(
    torch_ttnn: Path, extension: Path, unpack: Callable[[str], Path]
) -> None:
    wanted = demangled(set(read(extension).symbols.undefined))
    wanted = {name: text for name, text in wanted.items() if any(part in text for part in STACK)}
    assert len(wanted) > 100
    provided: set[str] = set()
    for stem in pinned(torch_ttnn):
        for path in objects(unpack(stem)):
            provided |= read(path).symbols.defined
    assert provided
    assert {text for name, text in wanted.items() if name not in provided} == set()
