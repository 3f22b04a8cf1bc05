"""What an audit can be pointed at: all kinds give the same objects, and none of them is loaded."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from handmade import make_wheel, unpack_wheel
from published import TORCH_020, published
from tt_conda.audit.analysis import Analysis
from tt_conda.audit.audit import audit
from tt_conda.audit.finding import Severity
from tt_conda.audit.lookup import Lookup
from tt_conda.audit.scene import ROOT, SYSTEM, Scene
from tt_conda.audit.targets import read_targets, wheel
from tt_conda.base.errors import TtCondaError
from tt_conda.channel.index import publish
from tt_conda.elf import read
from tt_conda.environment.coverage import sort_packages

Compile = Callable[..., Path]
Pack = Callable[..., Path]
SITE = "lib/python3.10/site-packages"


@pytest.fixture
def library(compile_library: Compile) -> Path:
    return compile_library("libone.so.1", "int one(void) { return 1; }", "-Wl,-soname,libone.so.1")


@pytest.fixture
def module(compile_library: Compile, library: Path) -> Path:
    source = "int one(void); int two(void) { return one(); }"
    return compile_library("two.so", source, str(library), "-Wl,--disable-new-dtags,-rpath,$ORIGIN/../..")


def paths(scene: Scene) -> dict[str, str]:
    """Where each object would be → who brings it."""
    return {found.path.removeprefix(f"{ROOT}/"): found.owner for found in scene}


@pytest.mark.xdist_group("published")
def test_a_published_wheel_holds_the_objects_that_unpacking_finds(tmp_path: Path) -> None:
    file = published(TORCH_020)
    unpack_wheel(file, tmp_path / "unpacked")
    with read_targets([file]) as scene, read_targets([tmp_path / "unpacked"]) as folder:
        packed = {found.member: found for found in scene}
        plain = {found.member: found for found in folder}
        assert packed.keys() == plain.keys()
        assert len(packed) == 27
        for member, found in packed.items():
            assert found.elf.symbols == plain[member].elf.symbols
            assert (found.elf.soname, found.elf.needed) == (plain[member].elf.soname, plain[member].elf.needed)
            assert found.identity == plain[member].identity
            assert found.owner == plain[member].owner == "torch-ttnn-shutov 0.2.0"
        assert (
            scene.objects[f"{ROOT}/{SITE}/torch_ttnn_cpp_extension/ttnn_device_extension"].content()[:4] == b"\x7fELF"
        )


def test_members_of_a_wheel_are_where_installing_puts_them(tmp_path: Path, library: Path) -> None:
    members = {
        "pkg/libone.so.1": library.read_bytes(),
        "pkg-1.0.data/platlib/other/libone.so.1": library.read_bytes(),
        "pkg-1.0.data/data/lib/libone.so.1": library.read_bytes(),
        "pkg-1.0.data/scripts/program": library.read_bytes(),
        "pkg/data.py": library.read_bytes(),
    }
    with read_targets([make_wheel(tmp_path, members)]) as scene:
        assert paths(scene) == dict.fromkeys(
            [f"{SITE}/pkg/libone.so.1", f"{SITE}/other/libone.so.1", "lib/libone.so.1", "bin/program"], "pkg 1.0"
        )
        assert scene.baselines[0].glibc == (2, 34)


def test_large_members_are_not_held_in_memory(tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel, "_IN_MEMORY", 100)
    with read_targets([make_wheel(tmp_path, {"pkg/libone.so.1": library.read_bytes()})]) as scene:
        (found,) = scene
        assert found.elf.symbols == read(library).symbols
        assert (found.identity[0], found.content()) == (library.stat().st_size, library.read_bytes())
        folder = scene.unpacked()
    assert not folder.exists()


def test_a_conda_package(library: Path, module: Path, pack: Pack) -> None:
    files = {"lib/libone.so.1": library, "lib/libone.so": "libone.so.1", f"{SITE}/two.so": module}
    package = pack("p", files, build="py310_0", depends=["__glibc >=2.28"])
    with read_targets([package]) as scene:
        assert paths(scene) == {"lib/libone.so.1": "p 1.0", f"{SITE}/two.so": "p 1.0"}
        two = scene.objects[f"{ROOT}/{SITE}/two.so"]
        assert [item.path for item in Analysis(scene).closure(two).loaded][1] == f"{ROOT}/{SITE}/../../libone.so.1"
        assert Lookup(scene).find(f"{ROOT}/lib/libone.so") is scene.objects[f"{ROOT}/lib/libone.so.1"]
        assert scene.baselines[0].glibc == (2, 28)


def test_an_old_conda_package(library: Path, tmp_path: Path) -> None:
    package = tmp_path / "old-1.0-0.tar.bz2"
    (tmp_path / "index.json").write_text('{"name": "old", "version": "1.0", "depends": []}')
    with tarfile.open(package, "w:bz2") as archive:
        archive.add(tmp_path / "index.json", "info/index.json")
        archive.add(library, "lib/libone.so.1")
    with read_targets([package]) as scene:
        assert paths(scene) == {"lib/libone.so.1": "old 1.0"}
        assert next(iter(scene)).content() == library.read_bytes()


def test_a_name_twice_in_an_archive(library: Path, module: Path, tmp_path: Path) -> None:
    package = tmp_path / "twice-1.0-0.tar.bz2"
    (tmp_path / "index.json").write_text('{"name": "twice", "version": "1.0", "depends": []}')
    with tarfile.open(package, "w:bz2") as archive:
        archive.add(tmp_path / "index.json", "info/index.json")
        for name, file in (("lib/a.so", module), ("lib/a.so", library), ("lib/b.so", module)):
            archive.add(file, name)
        link = tarfile.TarInfo("lib/c.so")
        link.type, link.linkname = tarfile.LNKTYPE, "lib/a.so"
        archive.addfile(link)
        archive.add(module, "lib/c.so")
    with read_targets([package]) as scene:
        found = {item.member: item.content() for item in scene}
        assert found == {
            "lib/a.so": library.read_bytes(), "lib/b.so": module.read_bytes(), "lib/c.so": module.read_bytes(),
        }  # fmt: skip


def test_a_noarch_python_package_is_of_the_others_python(library: Path, pack: Pack, tmp_path: Path) -> None:
    pure = pack("pure", {"site-packages/data/libone.so.1": library}, noarch="python")
    with read_targets([pure, make_wheel(tmp_path, {"pkg/x.so": library.read_bytes()})]) as scene:
        assert set(paths(scene)) == {f"{SITE}/data/libone.so.1", f"{SITE}/pkg/x.so"}


def test_a_channel_is_looked_at_in_environments_that_hold_every_package(
    library: Path, pack: Pack, tmp_path: Path
) -> None:
    channel = tmp_path / "channel"
    packages = [
        pack("a", {"lib/a.so": library}, version="1.0"),
        pack("a", {"lib/a.so": library}, version="2.0"),
        pack("b", {"lib/b.so": library}, depends=["a ==2.0"]),
        pack("c", {"lib/c.so": library}, depends=["a ==1.0"]),
        pack("d", {"lib/d.so": library}, depends=["nowhere", "a ==2.0"]),
    ]
    publish(packages, channel)
    with read_targets([channel], environments=sort_packages) as scene:
        together = [{found.owner for found in each} for each in (scene, *scene.others)]
        assert {"a 1.0", "a 2.0", "b 1.0", "c 1.0", "d 1.0"} == set().union(*together)
        for owners in together:
            assert not {"a 1.0", "a 2.0"} <= owners
        (last,) = [each for each in (scene, *scene.others) if any(found.owner == "d 1.0" for found in each)]
        assert last.kind == "files"  # something that it needs is not there; what is there is looked at with it
        assert {found.owner for found in last} == {"a 2.0", "d 1.0"}
        one = [found for each in (scene, *scene.others) for found in each if found.owner == "a 2.0"]
        assert len(set(one)) == 1 < len(one)


def test_an_environment_names_the_packages_of_conda_and_of_pip(library: Path, pack: Pack, tmp_path: Path) -> None:
    prefix = tmp_path / "env"
    (prefix / "conda-meta").mkdir(parents=True)
    (prefix / "lib").mkdir()
    (prefix / "lib/libone.so.1").write_bytes(library.read_bytes())
    (prefix / "lib/libone.so").symlink_to("libone.so.1")
    (prefix / "conda-meta/p-1.0-0.json").write_text('{"name": "p", "version": "1.0", "files": ["lib/libone.so.1"]}')
    site = prefix / SITE
    info = site / "q-3.dist-info"
    info.mkdir(parents=True)
    (info / "RECORD").write_text("q/libone.so.1,,\n../../../bin/q,,\n")
    for path in (site / "q/libone.so.1", prefix / "bin/q", site / "stray.so"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(library.read_bytes())
    with read_targets([prefix]) as scene:
        assert scene.kind == "installed"
        assert {found.member: found.owner for found in scene} == {
            "lib/libone.so.1": "p 1.0", f"{SITE}/q/libone.so.1": "q 3", "bin/q": "q 3", f"{SITE}/stray.so": "env/",
        }  # fmt: skip


def test_a_wheel_beside_an_environment_would_be_installed_in_it(library: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=False)
    file = make_wheel(tmp_path, {"pkg/libone.so.1": library.read_bytes()})
    with read_targets([file, tmp_path / "env"]) as scene:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        assert f"{tmp_path}/env/lib/python{version}/site-packages/pkg/libone.so.1" in scene.objects
        assert scene.program == f"{tmp_path}/env/bin/python"
        assert Analysis(scene).host


def test_a_process_is_what_it_has_mapped(library: Path, tmp_path: Path) -> None:
    copy = tmp_path / "gone.so"
    copy.write_bytes(library.read_bytes())
    code = "import ctypes, sys; [ctypes.CDLL(name) for name in sys.argv[1:]]; print(1, flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(library), str(copy)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        copy.unlink()
        with read_targets([], pid=process.pid) as scene:
            assert scene.kind == "process"
            assert str(library.resolve()) in scene.objects
            assert [found.owner for found in scene if found.soname == "libc.so.6"] == [SYSTEM]
            assert [item.why for item in scene.unreadable if "gone.so" in item.member]
            analysis = Analysis(scene)
            for found in scene:
                assert not analysis.closure(found).missing
        process.communicate(b"")


def test_a_healthy_process_lacks_nothing() -> None:
    """What a module needs may have been mapped by another one before."""
    code = "import bz2, ctypes, lzma, pydantic_core, rattler, sqlite3, ssl, sys; print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        with read_targets([], pid=process.pid) as scene:
            assert {"libssl.so.3", "libffi.so.8"} & {item.library for item in scene}
            assert [f.message for f in audit(scene, ["TC2", "TC3"]).findings if f.severity is Severity.ERROR] == []
        process.communicate(b"")


@pytest.mark.parametrize("pid", [2**22 + 1, 0])
def test_no_such_process(pid: int) -> None:
    with pytest.raises(TtCondaError, match="there is no process"):
        read_targets([], pid=pid)


def test_what_cannot_be_audited_is_named(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    for targets, what in (
        ([text], "not a wheel"),
        ([tmp_path / "none"], "no such file"),
        ([], "no targets"),
    ):
        with pytest.raises(TtCondaError, match=what):
            read_targets(targets)


def test_auditing_loads_nothing(compile_library: Compile, tmp_path: Path) -> None:
    mark = tmp_path / "loaded"
    source = f'#include <stdio.h>\n__attribute__((constructor)) void f(void) {{ fopen("{mark}", "w"); }}'
    compile_library("pkg/libmark.so", source)
    before = {**os.environ}
    code = (
        "import sys; from pathlib import Path; from tt_conda.audit.audit import audit;"
        "from tt_conda.audit.targets import read_targets; audit(read_targets([Path(sys.argv[1])]));"
        "assert 'libmark' not in open('/proc/self/maps').read()"
    )
    folder = next(tmp_path.rglob("libmark.so")).parent
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, env=before)
    assert not mark.exists()
    subprocess.run([sys.executable, "-c", f"import ctypes; ctypes.CDLL({str(folder / 'libmark.so')!r})"], check=True)
    assert mark.exists()


@pytest.mark.parametrize(
    ("url", "way_out"),
    [
        ("http://host:8000/stack", "-c http://host:8000/stack -c conda-forge, then tt-conda audit env"),
        ("https://host/stack/linux-64/a-1-0.conda", "curl -fO https://host/stack/linux-64/a-1-0.conda, then"),
        ("file:///srv/channel", "tt-conda audit /srv/channel"),
        ("s3://bucket/stack", "Copy it to this machine"),
    ],
)
def test_a_url_is_named_as_it_was_given(url: str, way_out: str) -> None:
    """A path has one slash where a URL has two."""
    with pytest.raises(TtCondaError) as caught:
        read_targets([Path(url)])
    assert caught.value.what.startswith(f"{url}: ")
    assert way_out in caught.value.way_out
