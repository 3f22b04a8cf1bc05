"""Every published wheel becomes a prefix in which each library stands once and finds what it needs."""

from __future__ import annotations

import base64
import csv
import fcntl
import hashlib
import os
import pathlib
import re
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.version import Version

from published import PINS, RULES, Carved, carved, dynamic, files, tags
from tt_conda.carve import load_rules
from tt_conda.commands import defaults
from tt_conda.elf import is_shared_object, plain_soname, read, soname_stem
from tt_conda.environment.install import install
from tt_conda.providers import load_providers

HASHED = re.compile(r"-[0-9a-f]{8}\.")
OWN = {"_ttnncpp.so", "libdevice.so", "libtracy.so", "libtt-umd.so", "libtt_metal.so", "libtt_stl.so"}
PROVIDERS = load_providers()
USED = {"libgcc", "libhwloc", "libnuma", "libstdcxx", "libzlib", "openmpi", "zstd"}
DATA = load_rules([RULES]).data


@pytest.fixture(scope="module", params=PINS)
def wheel(request: pytest.FixtureRequest) -> Carved:
    return carved(request.param)


def test_a_library_stands_once_in_lib_under_its_soname(wheel: Carved) -> None:
    own = [path for path in wheel.lib.iterdir() if path.is_file() and not path.is_symlink()]
    stems = Counter(path.name.partition(".so")[0] + ".so" for path in own)
    assert set(stems) <= OWN
    assert {"_ttnncpp.so", "libdevice.so"} <= set(stems) or {"_ttnncpp.so", "libtt-umd.so"} <= set(stems)
    assert set(stems.values()) == {1}
    for path in own:
        (soname,) = tags(path, "SONAME")
        assert (wheel.lib / soname).resolve() == path.resolve(), "the loader finds it under its soname"
    elsewhere = [path for path in wheel.objects if path.parent != wheel.lib]
    assert [path.name.split(".")[0] for path in elsewhere] in (["_ttnn"], ["ttnn_device_extension"])


def test_links_form_one_chain_to_the_real_file(wheel: Carved) -> None:
    links = {path.name: str(path.readlink()) for path in wheel.lib.iterdir() if path.is_symlink()}
    for name, target in links.items():
        assert "/" not in target
        assert target.startswith(name + "."), "each link leads to the next longer version"
        assert (wheel.lib / name).is_file()
    if (wheel.lib / "libtt-umd.so").exists():
        (real,) = [path.name for path in wheel.lib.glob("libtt-umd.so*") if not path.is_symlink()]
        assert re.fullmatch(r"libtt-umd\.so\.0\.\d+\.\d+", real)
        assert links["libtt-umd.so"] == "libtt-umd.so.0"
        assert links["libtt-umd.so.0"] == real


def test_no_hash_of_auditwheel_survives(wheel: Carved) -> None:
    for path in wheel.objects:
        names = [path.name, *tags(path, "SONAME"), *tags(path, "NEEDED"), *read(path).version_needs]
        assert not [name for name in names if HASHED.search(name)], path
    assert not [path for path in wheel.prefix.glob("lib/**/*.so*") if HASHED.search(path.name)]
    assert not list(wheel.site_packages.glob("*.libs"))


def test_everything_needed_is_there_or_provided(wheel: Carved) -> None:
    promised = {soname for sonames in wheel.report.depends.values() for soname in sonames}
    used: set[str] = set()
    for path in wheel.objects:
        names = tags(path, "NEEDED")
        assert len(names) == len(set(names)), f"{path} needs something twice"
        for name in names:
            if name in PROVIDERS.system or (wheel.lib / name).is_file():
                continue
            assert name in PROVIDERS.packages, f"{path}: nobody provides {name}"
            used.add(name)
    assert used == promised
    for spec, sonames in wheel.report.depends.items():
        assert all(PROVIDERS.packages[soname] == spec for soname in sonames)


def test_symbol_versions_are_bound_to_what_is_needed(wheel: Carved) -> None:
    for path in wheel.objects:
        elf = read(path)
        assert set(elf.version_needs) <= set(elf.needed), path


def test_search_paths_lead_to_lib_only(wheel: Carved) -> None:
    for path in wheel.objects:
        assert not tags(path, "RUNPATH"), path
        (search,) = tags(path, "RPATH")
        assert re.fullmatch(r"\$ORIGIN(/\.\.)*", search), path
        assert Path(os.path.normpath(search.replace("$ORIGIN", str(path.parent)))) == wheel.lib


def test_no_path_of_the_build_machine_survives(wheel: Carved) -> None:
    for path in wheel.objects:
        elf = read(path)
        start, size = elf.strtab
        names = path.read_bytes()[start : start + size].split(b"\0")
        found = {n for n in names if b"/" in n} - {(elf.rpath or "").encode()}
        assert not found, path


def test_bytes_add_up_and_every_copy_has_a_reason(wheel: Carved, scratch: Path) -> None:
    wanted = {}
    with zipfile.ZipFile(wheel.wheel) as archive:
        for info in archive.infolist():
            if any(info.filename.startswith(folder + "/") for folder in DATA) or info.is_dir():
                continue
            with archive.open(info) as member:
                head = member.read(20)
            if head[:6] == b"\x7fELF\x02\x01" and head[18] == 62:
                wanted[info.filename] = info.file_size
    kept = {library.member.partition(": ")[2]: library for library in wheel.report.libraries}
    dropped = {copy.member.partition(": ")[2]: copy for copy in wheel.report.dropped}
    assert not set(kept) & set(dropped)
    assert set(kept) | set(dropped) == set(wanted)
    assert {name: copy.bytes for name, copy in dropped.items()} == {name: wanted[name] for name in dropped}
    assert all(copy.why for copy in dropped.values())
    assert wheel.report.library_bytes == sum(path.stat().st_size for path in wheel.objects)
    for name, library in kept.items():
        assert (wheel.prefix / library.path).stat().st_size == library.bytes
        growth = library.bytes - wanted[name]
        strings = read(wheel.prefix / library.path).strtab[1]  # patchelf lays .dynstr out anew where a name is longer
        limit = 0 if library.rewritten == "in place" else strings + (64 << 10)
        assert 0 <= growth <= limit, library.path


def versions(needs: dict[str, tuple[str, ...]]) -> Counter[tuple[str, str]]:
    """The symbol versions that are bound to each library, whatever it is called."""
    return Counter((soname_stem(plain_soname(name)), v) for name, found in needs.items() for v in found)


def test_rewriting_changes_names_and_nothing_else(wheel: Carved, scratch: Path) -> None:
    for library in wheel.report.libraries:
        original = wheel.original(library.member, scratch)
        before, after = read(original), read(wheel.prefix / library.path)
        assert after.build_id == before.build_id is not None
        assert after.symbols == before.symbols
        assert len(after.symbols.defined) + len(after.symbols.undefined) > 10
        assert versions(after.version_needs) == versions(before.version_needs)
        others = {"SONAME", "NEEDED", "RPATH", "RUNPATH"}
        assert [e for e in dynamic(original) if e[0] not in others] == [
            e for e in dynamic(wheel.prefix / library.path) if e[0] not in others
        ]
        original.unlink()


def test_data_stands_once_in_share_unchanged(wheel: Carved) -> None:
    found: dict[str, str] = {}
    with zipfile.ZipFile(wheel.wheel) as archive:
        for info in archive.infolist():
            for folder, target in DATA.items():
                if info.filename.startswith(folder + "/") and not info.is_dir():
                    content = archive.read(info)
                    place = wheel.prefix / (target + info.filename[len(folder) :])
                    assert place.read_bytes() == content, info.filename
                    assert not (wheel.site_packages / info.filename).exists()
                    executable = bool(info.external_attr >> 16 & 0o111)
                    assert os.access(place, os.X_OK) == executable or os.geteuid() == 0
                    found[str(place)] = info.filename
    share = {str(path) for path in files(wheel.prefix / "share")}
    assert share == set(found)
    assert bool(share) == ("torch" not in wheel.pin.name)
    data = [path for path in files(wheel.site_packages) if path.suffix in (".cpp", ".hpp", ".h", ".ld", ".elf")]
    assert not [path for path in data if path.relative_to(wheel.site_packages).parts[0] == "ttnn"]


def test_other_files_are_unchanged(wheel: Carved) -> None:
    """But for the place of the data, which ttnn since 0.64 looks for beside itself; it runs here, without ttnn."""
    changed = []
    with zipfile.ZipFile(wheel.wheel) as archive:
        for info in archive.infolist():
            if any(info.filename.startswith(folder + "/") for folder in DATA):
                continue  # in share/, as the test above has it
            path = wheel.site_packages / info.filename
            if path.suffix == ".py" and path.read_bytes() != archive.read(info):
                changed.append(info.filename)
    version = Version(wheel.pin.version)
    assert changed == (["ttnn/__init__.py"] if "torch" not in wheel.pin.name and version >= Version("0.64") else [])
    for name in changed:
        code = (wheel.site_packages / name).read_text()
        (said,) = re.findall(r"^ +this_dir = (.*)$", code, re.M)
        _, looked_for = re.findall(r"^ +root_dir = (.*)$", code, re.M)  # editable, and installed
        this_dir = eval(said, {"pathlib": pathlib, "__file__": str(wheel.site_packages / name)})
        root = eval(looked_for, {"this_dir": this_dir})
        assert root == wheel.prefix / "share/tt-metalium" and (root / "tt_metal/soc_descriptors").is_dir()


def test_no_link_leads_to_a_folder(wheel: Carved) -> None:
    """conda leaves such links behind when it removes a package."""
    assert not [path for path in wheel.prefix.rglob("*") if path.is_symlink() and path.is_dir()]


def test_record_lists_exactly_what_is_there(wheel: Carved) -> None:
    (info,) = wheel.site_packages.glob("*.dist-info")
    assert (info / "INSTALLER").read_text() == "conda\n"
    rows = list(csv.reader((info / "RECORD").read_text().splitlines()))
    listed = {Path(os.path.normpath(wheel.site_packages / name)): (digest, size) for name, digest, size in rows}
    assert len(listed) == len(rows)
    there = files(wheel.site_packages) + (files(wheel.prefix / "bin") if (wheel.prefix / "bin").is_dir() else [])
    assert set(listed) == set(there)
    assert listed.pop(info / "RECORD") == ("", "")
    for path, (digest, size) in listed.items():
        content = path.read_bytes()
        value = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        assert (digest, size) == (f"sha256={value}", str(len(content)))


def test_nothing_is_left_over(wheel: Carved) -> None:
    assert {path.name for path in wheel.prefix.iterdir()} <= {"lib", "share", "bin"}
    assert wheel.report.files == len(files(wheel.prefix))
    for path in files(wheel.prefix):
        assert path.stat().st_mode & 0o7777 in (0o644, 0o755)


@pytest.fixture(scope="module")
def dependencies() -> Path:
    """An environment with everything that ttnn's libraries need from conda packages."""
    folder = Path(os.environ["TT_CONDA_TEST_FOLDER"])
    specs = {spec for spec in PROVIDERS.packages.values() if spec.split()[0] in USED}
    assert {spec.split()[0] for spec in specs} == USED
    with (folder / "dependencies.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        channels = defaults.others()
        install(sorted(specs), folder / "dependencies", channels)
    return folder / "dependencies"


def loadable(wheel: Carved) -> Iterator[Path]:
    """Libraries that need nothing but each other and what the environment of dependencies has."""
    there = {*PROVIDERS.system, *(soname for soname, spec in PROVIDERS.packages.items() if spec.split()[0] in USED)}
    for path in wheel.objects:
        todo, seen = [path], set[str]()
        while todo:
            for name in tags(todo.pop(), "NEEDED"):
                if name not in there and name not in seen:
                    seen.add(name)
                    if (wheel.lib / name).is_file():
                        todo.append(wheel.lib / name)
        if path.parent == wheel.lib and all((wheel.lib / name).is_file() for name in seen):
            yield path


def test_rewritten_libraries_load(wheel: Carved, dependencies: Path) -> None:
    """Now, with all relocations resolved, in a process that finds the wheel's own libraries by their own search path.

    Python extensions are for another Python than this one, perhaps. Of torch-ttnn's own copies, which no package
    gets, some need libraries that are in no channel of ours.
    """
    paths = [str(path) for path in loadable(wheel)]
    assert paths
    if "torch" not in wheel.pin.name:
        assert len(paths) == len([path for path in wheel.objects if path.parent == wheel.lib]) >= 2
    code = "import ctypes, os, sys\nfor path in sys.argv[1:]: ctypes.CDLL(path, os.RTLD_NOW)\nprint('loaded')"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("LD_")}
    clean["LD_LIBRARY_PATH"] = str(dependencies / "lib")
    done = subprocess.run([sys.executable, "-c", code, *paths], env=clean, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("loaded\n", "")


def test_the_objects_under_test_are_objects(wheel: Carved) -> None:
    assert len(wheel.objects) == len(wheel.report.libraries) >= 3
    assert all(is_shared_object(wheel.prefix / library.path) for library in wheel.report.libraries)
