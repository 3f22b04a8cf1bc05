"""A simulator's file becomes a package: it is examined in a child process, described, and installed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from conftest import Compile
from simulators import BLACKHOLE, WORMHOLE, Fake, real
from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import sha256_of
from tt_conda.channel import index
from tt_conda.environment.install import install
from tt_conda.environment.solver import solve
from tt_conda.formats import conda
from tt_conda.simulator import examine as examining
from tt_conda.simulator import package
from tt_conda.simulator.chips import DESCRIPTORS, build_of
from tt_conda.simulator.examine import UNKNOWN, examine


@pytest.mark.parametrize(
    ("flags", "name", "chips", "has_tiles"),
    [
        ([WORMHOLE], "wh", 1, False),
        ([BLACKHOLE], "bh", 1, False),
        ([WORMHOLE, "-DTILES", "-DNO_BARS"], "wh", 1, True),
        ([BLACKHOLE, "-DDEVICES=4"], "bh_x4", 4, False),
        ([WORMHOLE, "-DREMOTE"], "wh_x2", 2, False),
    ],
)
def test_what_a_library_is(fake: Fake, flags: list[str], name: str, chips: int, has_tiles: bool) -> None:
    found = examine(fake("libttsim.so", *flags))
    assert (found.name, found.chips, found.has_tiles, found.version) == (name, chips, has_tiles, UNKNOWN)
    assert ("libttsim_pci_mem_rd_bytes" in found.exports) == ("-DNO_BARS" not in flags)
    assert {"libttsim_init", "libttsim_clock", "libttsim_tile_rd_bytes"} <= found.exports


@pytest.mark.parametrize(("chip", "chips"), [("wh", 1), ("bh", 1), ("wh_x2", 2), ("bh_x2", 2)])
def test_what_a_library_of_upstreams_is(chip: str, chips: int) -> None:
    found = examine(real(chip))
    assert (found.name, found.chips, found.has_tiles) == (chip, chips, False)


def test_a_version_is_what_the_person_says_or_a_known_hash(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    library = fake("libttsim.so", WORMHOLE)
    monkeypatch.setattr(examining, "_releases", lambda: {sha256_of(library): "1.2.3"})
    assert examine(library).version == "1.2.3"
    assert examine(library, "1.3").version == "1.3"


def test_the_known_hashes_are_hashes() -> None:
    for sha256, version in examining._releases().items():
        assert len(bytes.fromhex(sha256)) == 32 and version.split(".")[0] == "1"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["-DBROKEN_load=abort()"], "it ended by SIGABRT"),
        (["-DBROKEN_init=_Exit(3)"], "it ended with exit code 3"),
        (['-DBROKEN_init=violation("wrong mood")'], "exit code 1: ERROR: wrong mood"),
        (["-DBROKEN_init=for(;;)"], "hangs: loading and starting it took more than 1 seconds"),
        (["-DBROKEN_load=for(;;)"], "hangs: loading"),
        (["-DBROKEN_init=__builtin_trap()"], "instructions that this processor lacks"),
        (["-UCHIP", "-DCHIP=0x1234"], "no chip that is known here: it has the PCI id 1e52:1234"),
        (["-DDEVICES=0"], "no PCI device at all"),
    ],
)
def test_a_library_that_does_not_work_is_an_error_and_no_more(fake: Fake, flags: list[str], said: str) -> None:
    library = fake("libttsim.so", WORMHOLE, *flags)
    with pytest.raises(TtCondaError) as error:
        examine(library, timeout=1)
    assert said in error.value.what and str(library) in error.value.what and error.value.way_out


def test_files_that_are_no_simulators(tmp_path: Path, fake: Fake, compile_library: Compile) -> None:
    text = tmp_path / "libttsim_wh.so"
    text.write_text("Not Found")
    foreign = tmp_path / "foreign.so"
    content = bytearray(fake("libttsim.so", WORMHOLE).read_bytes())
    content[18:20] = (183).to_bytes(2, "little")  # e_machine: aarch64
    foreign.write_bytes(content)
    for library, said in (
        (tmp_path / "nowhere.so", "There is no file"),
        (tmp_path, "There is no file"),
        (text, "no shared library: "),
        (foreign, "is for aarch64, and this machine is x86_64"),
        (compile_library("liba.so", "int a;"), "no function libttsim_init and no libttsim_pci_config_rd32"),
    ):
        with pytest.raises(TtCondaError) as error:
            examine(library)
        assert said in error.value.what and str(library) in error.value.what


def test_the_package(tmp_path: Path, fake: Fake, channel: Path) -> None:
    library = fake("libttsim_bh_x2.so", BLACKHOLE, "-DDEVICES=2")
    (library.parent / "NOTICE").write_text("upstream's\n")
    simulator = examine(library, "1.10.0")
    file = package.add(simulator, channel)
    first = file.read_bytes()
    assert file.name == f"ttsim-1.10.0-bh_x2_h{simulator.sha256[:8]}_0.conda"
    assert package.add(simulator, channel).read_bytes() == first
    record = index.read_record(file)
    assert record["depends"] == [f"__glibc >={simulator.glibc},<3.0.a0", "tt-metal-kernels"]
    with conda.opened(file) as parts:
        info, files = parts[conda.INFO], parts[conda.FILES]
        assert b"Apache License" in info.read("info/licenses/LICENSE")
        assert info.read("info/licenses/NOTICE") == b"upstream's\n"
        assert files.read(package.LIBRARY) == library.read_bytes()
        bill = files.read("share/sbom/ttsim.cdx.json").decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
    (component,) = json.loads(bill)["components"]
    assert component["hashes"] == [{"alg": "SHA-256", "content": sha256_of(library)}]

    prefix = tmp_path / "env"
    install(["ttsim"], prefix, [channel])
    descriptor = prefix / package.DESCRIPTOR
    assert descriptor.is_symlink() and descriptor.read_text() == "# blackhole_140_arch.yaml\n"
    assert descriptor.resolve().parent == (prefix / DESCRIPTORS).resolve()
    assert (prefix / package.LIBRARY).read_bytes() == library.read_bytes()
    done = subprocess.run(
        ["bash", "-c", 'for f in "$1"/etc/conda/activate.d/*.sh; do [ -e "$f" ] && . "$f"; done; env', "-", prefix],
        env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "TT_METAL_SIMULATOR" not in done.stdout, "an installed simulator is no device by itself"


def test_a_version_must_be_one(fake: Fake, channel: Path) -> None:
    with pytest.raises(TtCondaError, match="is no version"):
        package.add(examine(fake("libttsim.so", WORMHOLE), "latest release"), channel)


def test_solvers_take_one_wormhole_where_nobody_asks(fake: Fake, channel: Path) -> None:
    flags = {
        "wh": [WORMHOLE], "bh": [BLACKHOLE], "wh_x2": [WORMHOLE, "-DREMOTE"], "bh_x2": [BLACKHOLE, "-DDEVICES=2"],
    }  # fmt: skip
    for number, (chip, more) in enumerate(flags.items()):
        package.add(examine(fake(f"{chip}.so", *more), f"1.{number}"), channel)

    def taken(spec: str) -> str:
        return next(str(r.build) for r in solve([spec], [channel]) if r.name.normalized == "ttsim")

    assert taken("ttsim").startswith("wh_h")
    for chip in flags:
        assert taken(f"ttsim * {build_of(chip)}").startswith(f"{chip}_h")


@pytest.mark.parametrize("chip", ["", "gs", "wh_2", "wh_x", "wh_xy", "wh*", "wh x2"])
def test_chips_that_there_are_not(chip: str) -> None:
    with pytest.raises(TtCondaError, match="There is no chip"):
        build_of(chip)
