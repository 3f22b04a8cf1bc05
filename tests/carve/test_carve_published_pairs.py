"""Several published wheels, or several carvings of one, fit together."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from published import PROJECT, RULES, TORCH_020, TTNN_065, carved, files, published
from toolchain import program
from tt_conda.base.errors import TtCondaError
from tt_conda.carve import CarveReport, Rules, carve, load_rules
from tt_conda.elf import read

TTNN_RULES = load_rules([RULES])
TORCH_RULES = load_rules([PROJECT / "recipes/torch-ttnn/carve.toml"])


def tree(folder: Path) -> dict[str, str]:
    """Every file with the hash of its content, every link with its target."""
    found = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files(folder)}
    for base, folders, names in os.walk(folder):
        for name in (*folders, *names):
            if (path := Path(base, name)).is_symlink():
                found[str(path.relative_to(folder))] = f"→ {path.readlink()}"
    return found


def own_undefined(extension: Path) -> set[str]:
    """Undefined symbols in whose names the namespaces tt, ttnn or ttsl stand."""
    names = sorted(read(extension).symbols.undefined)
    text = subprocess.run(
        [program("c++filt")], input="\n".join(names), capture_output=True, text=True, check=True
    ).stdout
    plain = dict(zip(names, text.splitlines(), strict=True))
    return {name for name in names if re.search(r"\b(tt|ttnn|ttsl)::", plain[name])}


def missing(extension: Path, lib: Path) -> tuple[int, set[str]]:
    wanted = own_undefined(extension)
    offered = set().union(*(read(path).symbols.defined for path in files(lib) if path.parent == lib))
    return len(wanted), wanted - offered


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Path, CarveReport]]:
    with tempfile.TemporaryDirectory(dir=os.environ["TT_CONDA_TEST_FOLDER"]) as folder:
        prefix = Path(folder) / "prefix"
        yield prefix, carve([published(TTNN_065), published(TORCH_020)], prefix, TTNN_RULES)


def test_the_pair_ships_each_library_once(pair: tuple[Path, CarveReport]) -> None:
    _, report = pair
    assert report.library_bytes <= 135e6
    torch = [library for library in report.libraries if library.member.startswith("torch_ttnn")]
    assert sum(library.bytes for library in torch) <= 6e6
    assert [Path(library.path).name for library in torch] == ["ttnn_device_extension"]
    assert report.library_bytes + report.dropped_bytes >= 296e6, "the rest is accounted for"
    foreign = [copy for copy in report.dropped if "another build" in copy.why]
    assert {copy.soname for copy in foreign} >= {"libtt_metal.so", "_ttnncpp.so", "libdevice.so"}


def test_each_wheel_of_a_pair_records_its_own_files(pair: tuple[Path, CarveReport]) -> None:
    """Or removing one with pip would remove the other."""
    prefix, _ = pair
    site_packages = prefix / "lib/python3.10/site-packages"
    recorded = []
    for info in sorted(site_packages.glob("*.dist-info")):
        names = [line.rsplit(",", 2)[0] for line in (info / "RECORD").read_text().splitlines()]
        recorded.append({os.path.normpath(site_packages / name) for name in names})
    torch, ttnn = recorded
    assert not torch & ttnn
    assert str(site_packages / "torch_ttnn/__init__.py") in torch
    assert torch | ttnn == {str(path) for path in [*files(site_packages), *files(prefix / "bin")]}


def test_the_pair_fits(pair: tuple[Path, CarveReport]) -> None:
    prefix, _ = pair
    extension = prefix / "lib/python3.10/site-packages/torch_ttnn_cpp_extension/ttnn_device_extension"
    wanted, absent = missing(extension, prefix / "lib")
    assert wanted == 145
    assert not absent


def test_the_older_pair_lacks_one_symbol() -> None:
    torch, ttnn = carved("torch-ttnn-shutov-0.1.0-3.10"), carved("ttnn-shutov-0.62.0.dev20250916-3.10")
    wanted, absent = missing(torch.site_packages / "torch_ttnn_cpp_extension/ttnn_device_extension", ttnn.lib)
    assert wanted > 100
    (symbol,) = absent
    assert "ConvTranpose2dOperation" in symbol


def test_torch_ttnn_alone_names_what_is_missing(scratch: Path) -> None:
    with pytest.raises(TtCondaError) as error:
        carve([published(TORCH_020)], scratch / "prefix", TORCH_RULES)
    for soname in ("_ttnncpp.so", "libtt_metal.so", "libdevice.so", "libtt_stl.so", "libtracy.so.0.10.0"):
        assert f"  {soname}: " in error.value.what
    assert "libmpi" not in error.value.what
    assert "own" in error.value.way_out
    assert not list(scratch.iterdir())


def test_what_the_environment_has_is_dropped(scratch: Path) -> None:
    environment = scratch / "env"
    shutil.copytree(carved(TTNN_065).lib, environment / "lib", symlinks=True, ignore=shutil.ignore_patterns("python*"))
    before = tree(environment)
    report = carve([published(TORCH_020)], environment, TORCH_RULES)
    after = tree(environment)
    assert {name: after[name] for name in before} == before, "the environment's own files stay"
    assert {copy.soname for copy in report.dropped if copy.why == "the environment has it"} - {"libtracy.so"} == {
        "_ttnncpp.so", "libtt_metal.so", "libdevice.so", "libtt_stl.so", "libtracy.so.0.10.0",
    }  # fmt: skip
    (library,) = report.libraries
    assert library.bytes <= 6e6
    assert set(report.depends) == {"libgcc", "libstdcxx", "libtorch", "pytorch"}
    assert not any(path.startswith("lib/lib") for path in set(after) - set(before))
    _, absent = missing(environment / library.path, environment / "lib")
    assert not absent


def test_libraries_and_data_do_not_depend_on_the_python() -> None:
    """But for the random names that gcc gives to sections of its LTO objects."""
    one, two = carved("ttnn-0.81.1-3.10"), carved("ttnn-0.81.1-3.12")
    for folder in ("lib", "share"):
        first, second = (
            {path.relative_to(wheel.prefix): path for path in files(wheel.prefix / folder) if "python" not in str(path)}
            for wheel in (one, two)
        )
        assert set(first) == set(second)
        for name in first:
            contents = [first[name].read_bytes(), second[name].read_bytes()]
            if contents[0] != contents[1]:
                assert name.match("share/tt-metalium/runtime/hw/lib/*/*.o")
                assert all(b".gnu.lto_" in content for content in contents)


def test_carving_is_deterministic(scratch: Path) -> None:
    """Also where patchelf did it, and for another process."""
    whole = tree(carved("ttnn-0.63.0-3.10").prefix)
    carve([published("ttnn-0.63.0-3.10")], scratch / "again", TTNN_RULES)
    again = tree(scratch / "again")
    assert {name for name in whole if whole[name] != again.get(name)} == {
        "bin/tt-run",  # names the prefix's Python
        "lib/python3.10/site-packages/ttnn-0.63.0.dist-info/RECORD",
    }
    assert set(again) == set(whole)


def outputs() -> dict[str, list[str]]:
    """Package → the paths that its recipe carves."""
    found: dict[str, list[str]] = {}
    for recipe in ("tt-metal", "ttnn"):
        text = (PROJECT / f"recipes/{recipe}/recipe.yaml").read_text()
        for output in text.split("- package:\n")[1:]:
            name = re.search(r"name: (\S+)", output)
            patterns = re.findall(r"""--only ["']([^"']+)["']""", output)
            if name and "tt-conda carve" in output:
                found[name[1]] = patterns
    return found


def test_the_recipes_share_out_every_file_of_every_wheel() -> None:
    packages = outputs()
    assert set(packages) >= {"tt-metal", "tt-metal-kernels", "libttnn", "ttnn"}
    for label in [*(f"ttnn-{version}-3.10" for version in ("0.59.0rc60", "0.66.0", "0.81.1")), TTNN_065]:
        for path in tree(carved(label).prefix):
            owners = [name for name, only in packages.items() if any(fnmatchcase(path, pattern) for pattern in only)]
            assert len(owners) == 1, f"{label}: {path} is in {owners}"


def test_the_recipes_parts_are_the_whole(scratch: Path) -> None:
    whole = tree(carved(TTNN_065).prefix)
    parts: dict[str, str] = {}
    for name, only in outputs().items():
        report = carve([published(TTNN_065)], scratch / name, TTNN_RULES, only=only)
        part = tree(scratch / name)
        assert not set(part) & set(parts), "no file is in two packages"
        assert report.files == len(files(scratch / name))
        assert all(
            any(soname in read(path).needed for path in files(scratch / name / "lib") if ".so" in path.name)
            for sonames in report.depends.values() for soname in sonames
        ), "what a part depends on is what its own libraries need"  # fmt: skip
        parts |= part
    same = {name for name in whole if name != "bin/tt-run" and not name.endswith("RECORD")}
    assert {name: parts[name] for name in same} == {name: whole[name] for name in same}
    assert set(parts) == set(whole)


def test_rules_can_be_merged_and_must_be_right(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('own = ["liba.so"]\n[data]\n"x" = "share/x"\n')
    (tmp_path / "b.toml").write_text('own = ["libb.so"]\n')
    assert load_rules([tmp_path / "a.toml", tmp_path / "b.toml"]) == Rules(
        own=["liba.so", "libb.so"], data={"x": "share/x"}
    )
    bad_version = '[[edit]]\nfile = "a"\nold = "b"\nnew = "c"\nversions = "newer"\n'
    for content in ("own = 3", "mine = []", "own = [", bad_version):
        (tmp_path / "bad.toml").write_text(content)
        with pytest.raises(TtCondaError, match=r"bad\.toml: these carving rules cannot be read"):
            load_rules([tmp_path / "bad.toml"])
    with pytest.raises(TtCondaError, match=r"absent\.toml"):
        load_rules([tmp_path / "absent.toml"])
