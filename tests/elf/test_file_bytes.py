"""Files that change while they are read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tt_conda.elf import ElfError, read
from tt_conda.elf.file_bytes import _WINDOW, FileBytes


def test_slices_are_those_of_the_content(tmp_path: Path) -> None:
    content = os.urandom(3 * _WINDOW + 17)
    (tmp_path / "x").write_bytes(content)
    data = FileBytes(tmp_path / "x")
    ends = [0, 1, 17, _WINDOW - 1, _WINDOW, _WINDOW + 1, 2 * _WINDOW + 5, len(content) - 1, len(content), 1 << 70]
    for start in ends:
        for end in ends:
            assert data[start:end] == content[start:end]
        assert data.find(b"\0", start, len(content)) == content.find(b"\0", start, len(content))
    data.close()


PROGRAM = """
import os, sys
from pathlib import Path
from tt_conda.elf import ElfError
from tt_conda.elf.read import _Image
image = _Image(Path(sys.argv[1]))
os.truncate(sys.argv[1], int(sys.argv[2]))
try:
    image.symbols(image.facts())
except ElfError as error:
    print(error)
"""


@pytest.mark.parametrize("kept", [0, 40, 64, 400, 4096, 300_000])
def test_a_file_that_shrinks_while_it_is_read_is_an_error(tmp_path: Path, kept: int) -> None:
    """In a process of its own: read through a mapping, it would end by SIGBUS."""
    module = next(Path(sysconfig.get_path("platlib"), "rattler").glob("*.so"))
    file = Path(shutil.copyfile(module, tmp_path / "libshrinks.so"))
    done = subprocess.run([sys.executable, "-c", PROGRAM, file, str(kept)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert str(file) in done.stdout


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "libwaits.so")
    with pytest.raises(ElfError, match="not an ELF file"):
        read(tmp_path / "libwaits.so")
