"""What the audit says will load, loads, and what it says will not, does not: every object is really opened.

Each shared object of the packages below is opened alone in a process of its own (``dlopen`` with RTLD_NOW, as
``import`` does it), and the linker's answer is compared with the audit's.
"""

from __future__ import annotations

import sys
import venv
import zipfile
from pathlib import Path

import pytest

from really import compare
from tt_conda.inputs.lock import load
from tt_conda.inputs.wheels import fetch_wheel

PACKAGES = (
    "cffi", "cryptography", "grpcio", "h5py", "lxml", "matplotlib", "numpy", "pandas", "pillow", "psycopg2-binary",
    "pyarrow", "pyqt5", "pyqt5-qt5", "pyzmq", "scikit-learn", "scipy",
)  # fmt: skip


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the packages, unpacked from the cached wheels."""
    prefix = tmp_path_factory.mktemp("venv").resolve() / "env"
    venv.create(prefix, symlinks=True)
    site = prefix / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    pins = {pin.name: pin for pin in load(Path(__file__).parents[1] / "wheels.lock").wheel}
    for name in PACKAGES:
        with zipfile.ZipFile(fetch_wheel(pins[name])) as archive:
            archive.extractall(site)
    return prefix


def test_published_packages(installed: Path, tmp_path: Path) -> None:
    count, wrong = compare(installed, tmp_path)
    assert count > 500
    assert not wrong, "\n".join(wrong)
