"""The axes, and the order of what they give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tt_conda.base.errors import TtCondaError
from tt_conda.building.variants import ON_REQUEST, Output, closure, in_order, narrow, parse_variants, render

VARIANTS = """
python: ["3.10", "3.12"]
lib: ["1.0", "2.0", "2.1"]
ext: ["a", "none", "none"]
zip_keys:
  - [lib, ext]
"""


@pytest.fixture
def variants(tmp_path: Path) -> Path:
    file = tmp_path / "variants.yaml"
    file.write_text(VARIANTS)
    return file


def recipe(folder: Path, name: str, version: str = "1.0", **more: Any) -> Path:
    (folder / name).mkdir()
    file = folder / name / "recipe.yaml"
    file.write_text(json.dumps({"package": {"name": name, "version": version}, **more}))
    return file


def outputs(variants: Path, *recipes: Path, **wanted: list[str]) -> list[Output]:
    return render(recipes, narrow(variants, wanted))


def test_zipped_axes_go_together(tmp_path: Path, variants: Path) -> None:
    file = recipe(tmp_path, "p", "${{ lib }}", build={"string": "${{ ext }}_py${{ python }}_0"})
    assert [o.stem for o in outputs(variants, file)] == [
        f"p-{lib}-{ext}_py{python}_0"
        for lib, ext in (("1.0", "a"), ("2.0", "none"), ("2.1", "none")) for python in ("3.10", "3.12")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"lib": ["2.0"]}, {"2.0-none"}),
        ({"ext": ["a"]}, {"1.0-a"}),
        ({"ext": ["none"]}, {"2.0-none", "2.1-none"}),
        ({"lib": ["1.0", "2.1"], "python": ["3.12"]}, {"1.0-a", "2.1-none"}),
        ({"lib": ["1.0", "2.0"], "ext": ["none"]}, {"2.0-none"}),
    ],
)
def test_narrowing_one_of_two_zipped_axes_narrows_the_other(
    tmp_path: Path, variants: Path, wanted: dict[str, list[str]], found: set[str]
) -> None:
    file = recipe(tmp_path, "p", "${{ lib }}", build={"string": "${{ ext }}"})
    assert {o.stem.removeprefix("p-") for o in outputs(variants, file, **wanted)} == found


def test_each_package_once(tmp_path: Path, variants: Path) -> None:
    independent = recipe(tmp_path, "p", build={"string": "0"})
    (only,) = outputs(variants, independent)
    assert only.axes.keys().isdisjoint({"python", "lib", "ext"})


@pytest.mark.parametrize(
    ("wanted", "message", "way_out"),
    [
        ({"python": ["3.11"]}, "python has no value 3.11", "It has: 3.10, 3.12."),
        ({"python": ["3.10", "4", "5"]}, "python has no value 4, 5", "It has: 3.10, 3.12."),
        ({"colour": ["red"]}, "colour has no value red", "It has: none."),
        ({"lib": ["1.0"], "ext": ["none"]}, "ext has no value none", "It has: a."),
    ],
)
def test_values_that_are_not_there(
    variants: Path, wanted: dict[str, list[str]], message: str, way_out: str
) -> None:  # fmt: skip
    with pytest.raises(TtCondaError) as error:
        narrow(variants, wanted)
    assert message in error.value.what and str(variants) in error.value.what
    assert way_out in error.value.way_out


def test_a_value_of_another_origin_is_said_to_be_there(variants: Path) -> None:
    variants.with_name("variants.source.yaml").write_text("lib: ['3.0']\next: [c]\norigin: [source]\n")
    with pytest.raises(TtCondaError) as error:
        narrow(variants, {"lib": ["3.0"]})
    assert error.value.way_out.endswith("variants.source.yaml has 3.0: --origin source")


def test_variants_of_the_command_line(variants: Path) -> None:
    """Those of the files narrow a key; those that are built on request replace its values."""
    variants.with_name("variants.source.yaml").write_text("lib: ['3.0']\next: [c]\norigin: [source]\n")
    variants.with_name(ON_REQUEST).write_text("ext: [debug]\n")
    assert parse_variants(variants, []) == ({}, {})
    assert parse_variants(variants, ["lib=2.0", "lib=3.0"]) == ({"lib": ["2.0", "3.0"]}, {})
    assert parse_variants(variants, ["python=3.12", "ext=a", "ext=debug"]) == (
        {"python": ["3.12"]}, {"ext": ["a", "debug"]},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message", "way_out"),
    [
        ("lob=2.0", "--variant lob=2.0: variants.yaml has no key lob", "\n  lib=1.0|2.0|2.1\n"),
        ("lib", "--variant lib: not KEY=VALUE", "\n  ext=a|none|debug\n"),
        ("ext=Debug", "--variant ext=Debug: no such value", "ext has: a, none, debug."),
        ("lib=", "--variant lib=: no such value", "lib has: 1.0, 2.0, 2.1."),
    ],
)
def test_a_wrong_variant_lists_what_there_is(variants: Path, given: str, message: str, way_out: str) -> None:
    variants.with_name(ON_REQUEST).write_text("ext: [debug]\n")
    with pytest.raises(TtCondaError) as error:
        parse_variants(variants, ["python=3.10", given])
    assert error.value.what == message and way_out in error.value.way_out + "\n"


@pytest.mark.parametrize("text", ["python: [", "- a\n- b\n"])
def test_a_file_that_holds_no_axes(tmp_path: Path, text: str) -> None:
    file = tmp_path / "variants.yaml"
    file.write_text(text)
    with pytest.raises(TtCondaError, match="axes cannot be read"):
        narrow(file, {})


def test_what_is_required_comes_first_whatever_its_section(tmp_path: Path, variants: Path) -> None:
    files = [
        recipe(tmp_path, "a", requirements={"run": ["b >=1"]}),
        recipe(tmp_path, "b", requirements={"host": ["c", "elsewhere"]}),
        recipe(tmp_path, "c", requirements={"build": ["d"]}),
        recipe(tmp_path, "d", "${{ lib }}"),
    ]
    ordered = [(o.name, o.version) for o in in_order(outputs(variants, *files))]
    assert ordered == [("d", "1.0"), ("d", "2.0"), ("d", "2.1"), ("c", "1.0"), ("b", "1.0"), ("a", "1.0")]


def test_only_the_variant_that_is_required(tmp_path: Path, variants: Path) -> None:
    """Through another package too; a package without a variant key requires every variant."""
    build = {"string": "${{ lib | replace('.', '') }}"}
    ext = {"build": {**build, "skip": "ext == 'none'"}, "requirements": {"run": ["mid ==${{ lib }}"]}}
    (tmp_path / "ext.yaml").write_text(
        json.dumps({
            "recipe": {"name": "ext", "version": "1.0"},
            "outputs": [{"package": {"name": "ext", "version": "1.0"}, **ext}],
        })
    )  # fmt: skip
    files = [
        tmp_path / "ext.yaml",
        recipe(tmp_path, "mid", "${{ lib }}", build=build, requirements={"host": ["base ==${{ lib }}", "tool"]}),
        recipe(tmp_path, "base", "${{ lib }}", build=build),
        recipe(tmp_path, "tool", build={"string": "0"}),
        recipe(tmp_path, "all", build={"string": "0"}, requirements={"run": ["base"]}),
    ]
    found = outputs(variants, *files)
    assert [o.stem for o in closure(found, ["ext"])] == ["ext-1.0-10", "mid-1.0-10", "base-1.0-10", "tool-1.0-0"]
    assert {o.stem for o in closure(found, ["all"])} == {"all-1.0-0", "base-1.0-10", "base-2.0-20", "base-2.1-21"}
    assert closure(found, []) == [] and closure(found, {o.name for o in found}) == found


def test_a_circle_names_its_members(tmp_path: Path, variants: Path) -> None:
    files = [
        recipe(tmp_path, "a", requirements={"host": ["b"]}),
        recipe(tmp_path, "b", requirements={"host": ["a"]}),
        recipe(tmp_path, "c"),
    ]
    with pytest.raises(TtCondaError, match=r"circle: a, b\n"):
        in_order(outputs(variants, *files))
