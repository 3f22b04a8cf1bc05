"""Every package that the suite builds is the same file when it is built again, elsewhere and later."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tt_conda.building.inventory import PackageFacts
from tt_conda.building.verify import verify
from tt_conda.formats import conda

PARTS = 2
"""The packages are built again in two tests, which run side by side."""


@pytest.mark.parametrize("part", range(PARTS))
def test_built_again_it_is_the_same(
    output: Path, suite: list[PackageFacts], others: list[str | Path], part: int
) -> None:  # fmt: skip
    stems = sorted(package.stem for package in suite)
    packages = [next(output.glob(f"*/{stem}.conda")) for stem in stems[part::PARTS]]
    verdicts = verify(packages, [output, *others], jobs=1)
    assert len(verdicts) == len(packages) > 2
    for verdict in verdicts:
        assert verdict.same, (verdict.package.name, verdict.missing, verdict.differences, "built from this checkout?")


def test_every_carved_package_has_a_bill_of_materials(output: Path, suite: list[PackageFacts]) -> None:
    for package in suite:
        if "_wheel_" not in f"_{package.build}":
            continue
        with conda.opened(next(output.glob(f"*/{package.stem}.conda")), [conda.FILES]) as parts:
            bom = json.loads(parts[conda.FILES].read(f"share/sbom/{package.name}.cdx.json"))
            changed = {item["name"]: item["hashes"][0]["content"] for item in bom["components"] if "pedigree" in item}
            there = {path: hashlib.sha256(parts[conda.FILES].read(path)).hexdigest() for path in changed}
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bom)) is None
        assert changed == there
        objects = {found.path for found in package.objects}
        assert objects <= changed.keys(), package.stem
        edited = ["ttnn/__init__.py"] if package.name == "ttnn" else []
        assert [path.partition("/site-packages/")[2] for path in changed.keys() - objects] == edited, package.stem
