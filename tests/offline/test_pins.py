"""What packages are made of, and where a folder has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from small_upstream import Project
from tt_conda.offline.cache import find_repositories
from tt_conda.offline.pins import Archive, Repository, wanted


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://github.com/fmtlib/fmt.git", "git/github.com/fmtlib/fmt"),
        ("https://somebody:secret@GitHub.com/fmtlib/fmt", "git/github.com/fmtlib/fmt"),
        ("ssh://git@example.org:22/a b/c.git/", "git/example.org%3A22/a%20b/c"),
        ("https://example.org/../../etc/./x.git", "git/example.org/etc/x"),
    ],
)
def test_the_place_of_a_repository_is_in_the_folder(url: str, place: str) -> None:
    assert Repository(url, commit="1" * 40).place == Path(place, f"{'1' * 40}.bundle")


def test_a_tag_with_a_slash_is_one_file() -> None:
    assert Repository("https://e.org/x", tag="release/../1").place == Path("git/e.org/x/release%2F..%2F1.bundle")


def test_an_archive_without_sha256_has_its_place_by_md5() -> None:
    assert Archive(("https://e.org/x",), md5="2" * 32).place == Path("md5", "2" * 32)
    assert Archive(("https://e.org/x",), sha256="a" * 64, md5="2" * 32).place == Path("aa", "a" * 64)


def test_files_of_this_machine_are_no_sources_to_fetch(project: Project) -> None:
    local: list[dict[str, Any]] = [{"path": "x"}, {"git": "../x"}, {"git": "file:///x"}, {"url": "file:///x.zip"}]
    project.recipe(*local)
    assert not wanted(project.outputs()).pins and not wanted(project.outputs()).faults


def test_a_repository_of_several_checkouts_is_one(own_cache: Path) -> None:
    (table := own_cache / "sources/.metadata").mkdir(parents=True)
    for commit in "12":
        entry = {"url": "https://e.org/x.git", "cache_path": f"git/checkouts/abc/{commit}"}
        (table / f"{commit}.json").write_text(json.dumps(entry))
    (table / "3.json").write_text("not JSON")
    assert find_repositories(Repository("https://e.org/x.git")) == [own_cache / "sources/git/db/abc"]


def test_what_two_recipes_name_is_one_source(project: Project) -> None:
    archive = {"url": "https://example.org/x.zip", "sha256": "a" * 64}
    project.recipe(archive, name="one")
    project.recipe(archive, name="two")
    assert list(wanted(project.outputs()).pins.values()) == [("one", "two")]
