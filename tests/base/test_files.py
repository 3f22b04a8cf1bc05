"""Files that appear whole."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tt_conda.base.files import write_atomically


def test_threads_may_write_one_file_at_the_same_time(tmp_path: Path) -> None:
    """As packages that are audited side by side write what they found in a dependency of both."""
    path, contents = tmp_path / "file", [str(number) * 10_000 for number in range(10)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: write_atomically(path, contents[number % 10]), range(2_000)))
    assert path.read_text() in contents
    assert list(tmp_path.iterdir()) == [path]
