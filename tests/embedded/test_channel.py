from __future__ import annotations

import csv
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from rattler.package_streaming import extract

from tt_conda.elf.read import Elf
from tt_conda.embedded import assemble
from tt_conda.embedded.assemble import ensure_channel
from tt_conda.embedded.link import elf_files, is_glibc, unhashed
from tt_conda.embedded.table import Table, debian_upstream


def _repodata(channel: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for subdir in ("linux-64", "noarch"):
        content = json.loads((channel / subdir / "repodata.json").read_text())
        for name, record in content["packages.conda"].items():
            yield channel / subdir / name, record


@pytest.fixture(scope="module")
def unpacked(channel: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Path, str]:
    """Every package of the channel, unpacked: folder → package name."""
    root = tmp_path_factory.mktemp("unpacked")
    packages = list(_repodata(channel))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda item: extract(item[0], root / item[0].stem), packages))
    return {root / path.stem: record["name"] for path, record in packages}


@pytest.fixture(scope="module")
def libraries(unpacked: dict[Path, str]) -> dict[Path, tuple[str, Elf]]:
    """Every ELF file of the channel: path → (package, facts)."""
    return {path: (name, elf) for folder, name in unpacked.items() for path, elf in elf_files(folder).items()}


def test_warm_nothing_is_done(channel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def update(*_: object) -> None:
        raise AssertionError("the channel is made again")

    monkeypatch.setattr(assemble, "_update", update)
    assert ensure_channel() == channel


def test_repodata_tells_the_truth(channel: Path, unpacked: dict[Path, str]) -> None:
    found = dict(_repodata(channel))
    assert len(found) > 100
    assert {path for subdir in ("linux-64", "noarch") for path in (channel / subdir).glob("*.conda")} == set(found)
    folders = {folder.name: folder for folder in unpacked}
    for path, record in found.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == record["sha256"], path
        index = json.loads((folders[path.stem] / "info/index.json").read_text())
        for field in ("name", "version", "build", "depends", "license", "subdir"):
            assert index.get(field, []) == record[field], (path, field)


def test_every_package_has_licence_and_about(unpacked: dict[Path, str]) -> None:
    table = Table.load()
    for folder, name in unpacked.items():
        about = json.loads((folder / "info/about.json").read_text())
        entry = table.entries[name]
        assert about["license"] == entry.license and about.get("summary"), name
        if entry.deb or entry.wheel or entry.cpython:
            texts = list((folder / "info/licenses").glob("*")) if (folder / "info/licenses").is_dir() else []
            assert texts or not _has_licence(folder), name


def test_every_file_of_record_is_there(unpacked: dict[Path, str]) -> None:
    """Hidden ones too: pip check, an uninstall and an SBOM read RECORD."""
    hidden = 0
    for folder in unpacked:
        for record in folder.glob("**/site-packages/*.dist-info/RECORD"):
            names = [row[0] for row in csv.reader(record.read_text().splitlines())]
            assert [name for name in names if not (record.parents[1] / name).exists()] == [], record
            hidden += any(part.startswith(".") for name in names for part in name.split("/"))
    assert hidden, "no package has a hidden file any more: nothing is tested here"


def _has_licence(folder: Path) -> bool:
    return any("licen" in path.name.lower() for path in folder.rglob("*.dist-info/*"))


@pytest.mark.parametrize("what", ["soname", "build-id", "content", "plain name"])
def test_no_library_is_in_two_packages(libraries: dict[Path, tuple[str, Elf]], what: str) -> None:
    owners: dict[str, set[str]] = defaultdict(set)
    for path, (name, elf) in libraries.items():
        if elf.kind != "dyn" or (elf.interpreter and not elf.soname):
            continue
        key: str | None
        if what == "soname":
            key = elf.soname
        elif what == "build-id":
            key = elf.build_id
        elif what == "content":
            key = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            key = (unhashed(path.name) or path.name.split(".so")[0]) if path.name.startswith("lib") else None
        if key:
            owners[key].add(name)
    assert {key: names for key, names in owners.items() if len(names) > 1} == {}


def test_no_file_is_in_two_packages(unpacked: dict[Path, str]) -> None:
    owners: dict[str, set[str]] = defaultdict(set)
    for folder, name in unpacked.items():
        for item in json.loads((folder / "info/paths.json").read_text())["paths"]:
            owners[item["_path"]].add(name)
    assert {path: names for path, names in owners.items() if len(names) > 1} == {}


def test_search_paths_stay_in_the_environment(
    unpacked: dict[Path, str], libraries: dict[Path, tuple[str, Elf]]
) -> None:
    """And nothing that the channel has is left to the machine: who needs a library has a way to lib/."""
    sonames = Table.load().sonames
    roots = {path: next(root for root in path.parents if root in unpacked) for path in libraries}
    for path, (name, elf) in libraries.items():
        if name == "sysroot_linux-64":
            continue
        assert elf.runpath is None, path
        folders = (elf.rpath or "").split(":") if elf.rpath else []
        assert all(folder.startswith("$ORIGIN") for folder in folders), (path, elf.rpath)
        resolved = [Path(folder.replace("$ORIGIN", str(path.parent))).resolve() for folder in folders]
        root = roots[path].resolve()
        assert all(folder.is_relative_to(root) for folder in resolved), (path, elf.rpath)
        for needed in elf.needed:
            if is_glibc(needed):
                continue
            if needed in sonames and sonames[needed] != name:
                assert root / "lib" in resolved, (path, needed)
            else:
                assert any((folder / needed).exists() for folder in resolved), (path, needed)


def test_links_lead_somewhere(channel: Path, unpacked: dict[Path, str]) -> None:
    everything = {
        item["_path"] for folder in unpacked for item in json.loads((folder / "info/paths.json").read_text())["paths"]
    }
    for folder in unpacked:
        for path in folder.rglob("*"):
            if path.is_symlink():
                target = Path(path.parent, path.readlink())
                inside = Path(*target.parts).relative_to(folder) if target.is_relative_to(folder) else None
                assert inside is not None, (path, path.readlink())
                assert os.path.normpath(inside) in everything, (path, path.readlink())


@pytest.mark.parametrize(
    ("debian", "upstream"),
    [
        ("1:19.1.7-3~deb12u1", "19.1.7"), ("2.9.14+dfsg-1.3~deb12u6", "2.9.14"), ("6.4-4", "6.4"),
        ("1.0.8-5+b1", "1.0.8"), ("3.0.20-1~deb12u2", "3.0.20"), ("0.3.21+ds-4", "0.3.21"),
    ],
)  # fmt: skip
def test_upstream_versions(debian: str, upstream: str) -> None:
    assert debian_upstream(debian) == upstream
