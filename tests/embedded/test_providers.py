"""The two tables that name who provides a soname: what carving depends on, and what the embedded channel holds."""

from __future__ import annotations

from tt_conda.embedded.table import Table
from tt_conda.providers import load_providers


def test_both_tables_name_the_same_package() -> None:
    ours = Table.load().providers()
    theirs = {soname: spec.split()[0] for soname, spec in load_providers().packages.items()}
    both = ours.keys() & theirs.keys()
    assert len(both) > 20
    assert {soname: ours[soname] for soname in both} == {soname: theirs[soname] for soname in both}


def test_the_c_library_is_in_neither() -> None:
    system = load_providers().system
    assert not system & load_providers().packages.keys()
    assert not system & Table.load().providers().keys()
