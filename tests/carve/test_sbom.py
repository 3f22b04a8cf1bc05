"""The bill of materials: valid, true, and the same each time."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from handmade import make_wheel, unpack_wheel
from published import RULES, TTNN_065, carved, published
from tt_conda.base.files import digests
from tt_conda.carve import carve, load_rules
from tt_conda.elf import read


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("carved") / "prefix"
    carve([published(TTNN_065)], folder, load_rules([RULES]), only=["lib/*", "bin/*"], sbom="sample")
    return folder


@pytest.fixture(scope="module")
def bom(prefix: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((prefix / "share/sbom/sample.cdx.json").read_text())
    return found


def test_it_is_a_cyclonedx_document(bom: dict[str, Any]) -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(json.dumps(bom)) is None
    assert validator.validate_str(json.dumps({**bom, "nonsense": 1})) is not None


def test_it_names_the_wheel_by_its_hash(bom: dict[str, Any]) -> None:
    wheel = published(TTNN_065)
    (found,) = [item for item in bom["components"] if item["type"] == "library"]
    assert found["hashes"] == [{"alg": "SHA-256", "content": digests(wheel)[0]}]
    assert found["purl"] == f"pkg:pypi/ttnn-shutov@0.65.0.dev20251205?file_name={wheel.name}"
    assert bom["dependencies"] == [{"ref": "sample", "dependsOn": [wheel.name]}]


def test_every_library_has_its_origin_and_its_changes(bom: dict[str, Any], prefix: Path, tmp_path: Path) -> None:
    unpack_wheel(published(TTNN_065), tmp_path / "wheel")
    files = {item["name"]: item for item in bom["components"] if "pedigree" in item}
    there = {str(path.relative_to(prefix)) for path in prefix.rglob("*.so*") if not path.is_symlink()}
    code = files.pop("lib/python3.10/site-packages/ttnn/__init__.py")
    assert set(files) == there and there
    (ancestor,), (patch,) = code["pedigree"]["ancestors"], code["pedigree"]["patches"]
    assert ancestor["hashes"][0]["content"] == digests(tmp_path / "wheel/ttnn/__init__.py")[0]
    assert code["hashes"][0]["content"] == digests(prefix / code["name"])[0] != ancestor["hashes"][0]["content"]
    assert patch["diff"]["text"]["content"].startswith("root_dir = this_dir → ")
    for name, item in files.items():
        assert item["hashes"][0]["content"] == digests(prefix / name)[0]
        (ancestor,) = item["pedigree"]["ancestors"]
        member = tmp_path / "wheel" / ancestor["name"].partition(": ")[2]
        assert ancestor["hashes"][0]["content"] == digests(member)[0]
        before, after = read(member), read(prefix / name)
        said = item["pedigree"]["patches"][0]["diff"]["text"]["content"].splitlines()
        assert any(line.endswith(f"→ RPATH {after.rpath}") for line in said), said
        for old in set(before.needed) - set(after.needed):
            assert any(line.startswith(f"NEEDED {old} → ") for line in said), (name, old)
    metal = files["lib/libtt_metal.so"]["pedigree"]["patches"][0]["diff"]["text"]["content"]
    assert "RUNPATH /opt/openmpi-v5.0.7-ulfm/lib" in metal and "/project" in metal


def test_it_says_what_was_dropped_and_what_is_ours(bom: dict[str, Any]) -> None:
    dropped = [item["value"] for item in bom["properties"] if item["name"] == "tt-conda:dropped"]
    assert any("libmpi" in line for line in dropped) and len(dropped) > 10
    ours = {item["name"] for item in bom["components"] if item.get("description") == "written by tt-conda"}
    assert any(name.endswith(".dist-info/RECORD") for name in ours)


def test_the_same_carving_gives_the_same_document(bom: dict[str, Any], tmp_path: Path) -> None:
    carve([published(TTNN_065)], tmp_path / "again", load_rules([RULES]), only=["lib/*", "bin/*"], sbom="sample")
    assert json.loads((tmp_path / "again/share/sbom/sample.cdx.json").read_text()) == bom


@pytest.mark.parametrize(("dated", "said"), [(False, "1980-01-01"), (True, "2024-05-06")])
def test_a_wheel_whose_members_have_no_dates(tmp_path: Path, dated: bool, said: str) -> None:
    wheel = make_wheel(tmp_path, {"pkg/data": b"x"})
    content = bytearray(wheel.read_bytes())
    day = (2024 - 1980) << 9 | 5 << 5 | 6  # as a zip writes it
    for mark, at in ((b"PK\3\4", 12), (b"PK\1\2", 14)):  # where each local header, and each central one, has it
        places = [found.start() for found in re.finditer(re.escape(mark), content)]
        for number, place in enumerate(places):
            content[place + at : place + at + 2] = struct.pack("<H", day if dated and number == 0 else 0)
    wheel.write_bytes(content)
    carve([wheel], tmp_path / "prefix", load_rules([]), sbom="sample")
    document = json.loads((tmp_path / "prefix/share/sbom/sample.cdx.json").read_text())
    assert document["metadata"]["timestamp"].startswith(f"{said}T")


def test_without_being_asked_there_is_none() -> None:
    assert not (carved(TTNN_065).prefix / "share/sbom").exists()
