"""Firmware of the published wheel in a package that is compiled, where SFPI's compiler cannot be had."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from published import TTNN_065, published
from tt_conda.building.variants import narrow, render

PROJECT = Path(__file__).parents[2]
SOURCE = PROJECT / "recipes/tt-metal/source"
OBJECTS = "share/tt-metalium/runtime/hw/lib"
OTHER = "tt_metal/hw/toolchain/substitutes.cpp"


@pytest.fixture(scope="module")
def wheel_carved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the recipe takes of the published wheel."""
    folder = tmp_path_factory.mktemp("carved")
    parts = [f"{OBJECTS}/*", "share/tt-metalium/tt_metal/hw/*"]
    words = [
        *("carve", published(TTNN_065), "--rules", PROJECT / "recipes/tt-metal/carve.toml", "--prefix", folder),
        *("--sbom", "tt-metal-kernels", *(word for part in parts for word in ("--only", part))),
    ]
    command = [sys.executable, "-m", "tt_conda.cli", *map(str, words)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture
def carved(wheel_carved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(wheel_carved, tmp_path / "carved"))


@pytest.fixture
def tree(wheel_carved: Path, tmp_path: Path) -> Path:
    """A tree with the wheel's own sources of firmware."""
    shutil.copytree(wheel_carved / "share/tt-metalium/tt_metal", tmp_path / "tt-metal/tt_metal")
    (tmp_path / "tt-metal/tt_metal/sfpi-version").write_text("sfpi_version=7.11.0\n")
    return tmp_path / "tt-metal"


def compare(tree: Path, carved: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SOURCE / "firmware.py", tree, carved, carved.parent / "env/bill.cdx.json"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def compiler(tree: Path) -> Path:
    """The program in the place of SFPI's, where common.sh puts it."""
    place = tree / "runtime/sfpi/compiler/bin"
    place.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(SOURCE / "riscv-tt-elf-g++", place))


def test_the_bill_of_materials_has_each_object_and_the_wheel_it_is_from(tree: Path, carved: Path) -> None:
    done = compare(tree, carved)
    assert done.returncode == 0, done.stderr
    bill = json.loads((carved.parent / "env/bill.cdx.json").read_text())
    wheel, *firmware = bill["components"]
    with zipfile.ZipFile(published(TTNN_065)) as archive:
        theirs = {
            name.replace("ttnn/runtime", "share/tt-metalium/runtime"): hashlib.sha256(archive.read(name)).hexdigest()
            for name in archive.namelist()
            if name.startswith("ttnn/runtime/hw/lib/") and name.endswith(".o")
        }
    assert {item["name"]: item["hashes"][0]["content"] for item in firmware} == theirs
    assert len(theirs) == 17
    assert wheel["hashes"][0]["content"] == hashlib.sha256(published(TTNN_065).read_bytes()).hexdigest()
    for item in firmware:
        assert item["type"] == "firmware"
        (ancestor,) = item["pedigree"]["ancestors"]
        assert ancestor["hashes"] == wheel["hashes"]
    assert bill["properties"] == []  # nothing that the wheel has besides is in the package


def test_firmware_of_other_sources_is_refused(tree: Path, carved: Path) -> None:
    with (tree / OTHER).open("a") as file:
        file.write("// more\n")
    done = compare(tree, carved)
    assert done.returncode == 1 and OTHER in done.stderr and "is not of these sources" in done.stderr
    (tree / OTHER).unlink()
    assert OTHER in compare(tree, carved).stderr
    shutil.rmtree(carved / "share/tt-metalium/tt_metal")
    assert "no tt_metal/hw in it" in compare(tree, carved).stderr
    assert not (carved.parent / "env").exists()


def test_firmware_of_another_compiler_is_refused(tree: Path, carved: Path) -> None:
    (tree / "tt_metal/sfpi-version").write_text("sfpi_version='7.12.0'\n")
    assert "compiled with SFPI 7.11.0; this tree wants 7.12.0" in compare(tree, carved).stderr
    (tree / "tt_metal/sfpi-version").write_text("sfpi_version=7.11.0\n")
    shutil.rmtree(carved / OBJECTS)
    assert "compiled with SFPI none" in compare(tree, carved).stderr


@pytest.mark.parametrize("said", ["sfpi_version=7.11.0", "sfpi_version='7.78.0'"])
def test_it_says_the_version_that_the_tree_wants(tree: Path, said: str) -> None:
    (tree / "tt_metal/sfpi-version").write_text(f"# comment\n{said}\nsfpi_x86_64_debian_txz_md5=00\n")
    done = subprocess.run([compiler(tree), "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"riscv-tt-elf-g++ (tenstorrent/sfpi:{said.split('=')[1].strip(chr(39))}) none\n"


def test_objects_come_from_the_wheel_or_are_empty(tree: Path, carved: Path) -> None:
    target = tree / "runtime/hw/lib/wormhole"
    target.mkdir(parents=True)

    def compiled(name: str, **more: str) -> subprocess.CompletedProcess[str]:
        words = [compiler(tree), "-mcpu=tt-wh", "-Os", "-Iinclude", "-c", "-o", target / name, tree / OTHER]
        variables = {"PATH": "/usr/bin:/bin", **more}
        return subprocess.run(words, env=variables, capture_output=True, text=True, check=False)

    firmware = carved / OBJECTS
    assert compiled("substitutes.o", FIRMWARE=str(firmware)).returncode == 0
    assert (target / "substitutes.o").read_bytes() == (firmware / "wormhole/substitutes.o").read_bytes()
    missing = compiled("new.o", FIRMWARE=str(firmware))
    assert missing.returncode == 1 and "does not have the firmware" in missing.stderr
    assert compiled("noc.o").returncode == 0
    assert (target / "noc.o").read_bytes() == b""


def test_it_is_taken_only_where_it_is_asked_for() -> None:
    """By default SFPI compiles it, in tt-metal-kernels alone; the wheel's stands in the build string."""
    recipes = [PROJECT / "recipes" / name / "recipe.yaml" for name in ("sfpi", "tt-metal", "ttnn", "torch-ttnn")]
    for firmware, needs in (("sfpi", {"tt-metal-kernels"}), ("wheel", set())):
        outputs = render(
            recipes, narrow(PROJECT / "variants.yaml", {"origin": ["source"]}, {"tt_firmware": [firmware]})
        )
        assert {o.name for o in outputs if "sfpi" in o.requirements} == needs
        made = {o.rendered.recipe.build.string.rsplit("_h", 1)[0] for o in outputs if o.name == "tt-metal-kernels"}
        assert made == {"source" if firmware == "sfpi" else "source_wheelfirmware"}
