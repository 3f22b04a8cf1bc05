"""The environment ``dev``, without what the project compiles: a checkout is installed, edited, and imported again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tt_conda.base.errors import TtCondaError
from tt_conda.environment import shell
from tt_conda.workspace import make
from tt_conda.workspace import manifest as manifests

PROJECT = Path(__file__).parents[2]
NATIVE = Path(__file__).parent / "native"
SAY = "import native; print(native.answer(), native.compiled())"

pytestmark = pytest.mark.xdist_group("workspace-dev")

Call = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield (made := tmp_path_factory.mktemp("workspace"))
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def dev(folder: Path) -> manifests.Environment:
    """The project's own ``dev`` as it is, but for PyTorch, which takes long to compile."""
    text = (PROJECT / "workspaces/dev/pixi.toml").read_text()
    assert text.count('\npytorch = "*"\n') == 1
    file = folder / "workspaces/dev/pixi.toml"
    file.parent.mkdir(parents=True)
    file.write_text(text.replace('\npytorch = "*"\n', "\n"))
    shutil.copytree(PROJECT / "recipes/torch-ttnn", folder / "recipes/torch-ttnn")  # has the script of `develop`
    return manifests.read(file).environment("default")


@pytest.fixture(scope="module")
def checkout(folder: Path) -> Path:
    return Path(shutil.copytree(NATIVE, folder / "my checkout"))


@pytest.fixture(scope="module")
def prefix(dev: manifests.Environment, checkout: Path, others: list[str | Path]) -> Path:
    make.make(dev, dev.prefix, others, editable=[checkout])
    return dev.prefix


@pytest.fixture
def call(prefix: Path, tmp_path: Path) -> Call:
    """Run a command in the activated environment, elsewhere than in the checkout."""

    def run(*command: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR", "TT_CONDA_CACHE") if name in os.environ}
        program = "import sys; from pathlib import Path; from tt_conda.environment import shell\n"
        program += "sys.exit(shell.run(Path(sys.argv[1]), sys.argv[2:]))"
        return subprocess.run(
            [sys.executable, "-c", program, prefix, *command],
            env={**kept, "PATH": "/usr/bin:/bin", "PYTHONPATH": str(PROJECT / "src"),
                 "TT_CONDA_OWN_PYTHONPATH": str(PROJECT / "src"), "CCACHE_DIR": str(tmp_path), **more},
            cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip

    return run


def say(call: Call, **more: str) -> str:
    """What an import says; what building again says stands before it."""
    return call("python", "-c", SAY, **more).stdout.splitlines()[-1]


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    later = time.time_ns() + 2_000_000_000  # ninja compares times
    os.utime(file, ns=(later, later))


def test_an_edit_is_compiled_by_the_next_import(call: Call, checkout: Path) -> None:
    assert say(call) == "41 libstdcxx Release"
    edit(checkout / "native.cpp", "41", "42")
    assert say(call) == "42 libstdcxx Release"
    edit(checkout / "src/native/__init__.py", "import answer as answer", "import answer as _answer")
    with (checkout / "src/native/__init__.py").open("a") as file:
        file.write("def answer():\n    return _answer() + 1\n")
    assert say(call) == "43 libstdcxx Release"


def test_an_edit_that_does_not_compile_says_where(call: Call, checkout: Path) -> None:
    edit(checkout / "native.cpp", "PyLong_FromLong(42)", "PyLong_FromLong(forty_two)")
    with pytest.raises(subprocess.CalledProcessError) as error:
        say(call)
    assert (
        "native.cpp" in error.value.stdout + error.value.stderr
        and "forty_two" in error.value.stdout + error.value.stderr
    )
    edit(checkout / "native.cpp", "PyLong_FromLong(forty_two)", "PyLong_FromLong(42)")
    assert say(call) == "43 libstdcxx Release"


def test_it_is_compiled_in_the_environment_alone(call: Call, checkout: Path, prefix: Path) -> None:
    """With its compiler, through its ccache, by ninja; and clangd knows how."""
    (build,) = checkout.glob("build/*")
    (entry,) = json.loads((build / "compile_commands.json").read_text())
    assert f"{prefix}/bin/clang++" in entry["command"].replace("\\ ", " ") and "/usr/include" not in entry["command"]
    assert "ccache" in (build / "build.ninja").read_text()
    done = call("clangd", f"--check={checkout}/native.cpp", f"--compile-commands-dir={build}")
    assert "All checks completed, 0 errors" in done.stderr


def test_pip_neither_asks_for_what_it_depends_on_nor_isolates(call: Call, prefix: Path) -> None:
    """Its metadata asks for ``torch==2.7.1+cpu``, which PyPI does not even have: the environment decides."""
    names = {line.split()[0] for line in call("python", "-m", "pip", "list", "--format=freeze").stdout.splitlines()}
    assert "native-thing==1.0" in names and not {name for name in names if name.startswith("torch")}


def test_debug_and_the_other_standard_library(call: Call, checkout: Path, prefix: Path) -> None:
    """Both by the variables that CMake and scikit-build-core have for it; a plain install, by hand."""
    (build,) = checkout.glob("build/*")
    shutil.rmtree(build)  # CMake reads CXXFLAGS in a new folder only
    again = ["python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", checkout]
    call(
        "bash", "-c", 'CXXFLAGS="$CXXFLAGS -stdlib=libc++" exec "$@"', "bash", *again, SKBUILD_CMAKE_BUILD_TYPE="Debug"
    )
    assert say(call) == "43 libcxx Debug"


def test_a_second_time_nothing_is_left_to_do(
    dev: manifests.Environment, prefix: Path, checkout: Path, others: list[str | Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: object, **__: object) -> int:
        raise AssertionError("there is nothing to do")

    monkeypatch.setattr(shell, "run", work)
    make.make(dev, prefix, others)
    make.make(dev, prefix, others, editable=[checkout])
    (checkout / "pyproject.toml").write_text((checkout / "pyproject.toml").read_text().replace("1.0", "1.1"))
    with pytest.raises(AssertionError):
        make.make(dev, prefix, others, editable=[checkout])


def test_a_checkout_that_does_not_build_is_an_error(
    dev: manifests.Environment, prefix: Path, folder: Path, others: list[str | Path], capfd: pytest.CaptureFixture[str]
) -> None:
    broken = Path(shutil.copytree(NATIVE, folder / "broken"))
    (broken / "CMakeLists.txt").write_text("message(FATAL_ERROR nonsense)\n")
    with pytest.raises(TtCondaError, match="broken could not be installed"):
        make.make(dev, prefix, others, editable=[broken])
    said = capfd.readouterr()
    assert "nonsense" in said.err and said.out == ""
    assert str(broken) not in (prefix / "conda-meta/tt-conda.pip").read_text(), "so it is tried again"


def test_a_checkout_beside_the_package_of_the_same_name_is_refused(
    dev: manifests.Environment, folder: Path, others: list[str | Path]
) -> None:
    twice = folder / "twice"
    twice.mkdir()
    (twice / "pyproject.toml").write_text('[project]\nname = "Scikit_Build.Core"\nversion = "1"\n')
    with pytest.raises(TtCondaError, match=r"holds scikit-build-core-.*\.conda, and .*twice is a checkout of the same"):
        make.make(dev, folder / "env", others, editable=[twice])
    assert not (folder / "env").exists()
