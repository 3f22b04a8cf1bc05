"""Every object of our environments is really opened: the audit says of each what the linker says."""

from __future__ import annotations

from pathlib import Path

from really import compare


def test_environments(prefix: Path, tmp_path: Path) -> None:
    count, wrong = compare(prefix, tmp_path)
    assert count > 100
    assert not wrong, "\n".join(wrong)
