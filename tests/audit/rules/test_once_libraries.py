"""TC101 to TC103: what is there more than once, and what that costs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from audit.rules.scenes import TORCH_010, TTNN_062, by_subject, compile_library, embedded, found, functions, scene_of
from published import TORCH_020, TTNN_065, other_wheel
from tt_conda.audit.finding import Severity
from tt_conda.audit.targets import read_targets

FOUR = ("_ttnncpp.so", "libdevice.so", "libtt_metal.so", "libtt_stl.so")


def test_torch_ttnn_brings_the_libraries_of_ttnn_again() -> None:
    """43.7 MiB of libraries, doubled by the pair."""
    first = {
        item.library: item.size for item in reversed(list(scene_of(TTNN_062)))
        if item.library in FOUR and "/build/lib/" in item.path
    }  # fmt: skip
    assert set(first) == set(FOUR)
    assert round(sum(first.values()) / 2**20, 1) == 43.7

    twice = by_subject(found(scene_of(TTNN_062, TORCH_010), "TC101"))
    for name in FOUR:
        owners = {place.owner.partition(" ")[0] for place in twice[name].places}
        assert owners == {"ttnn-shutov", "torch-ttnn-shutov"}
        assert twice[name].severity is Severity.WARNING
    assert sum(twice[name].bytes for name in FOUR) > sum(first.values())  # libdevice and libtt_metal more than twice


def test_hash_names_are_undone() -> None:
    twice = by_subject(found(scene_of(TTNN_062, TORCH_010), "TC101"))
    assert any("libtracy-b842b7dc.so.0.10.0" in line for line in twice["libtracy.so.0.10.0"].evidence)
    assert {place.path.rpartition("/")[2] for place in twice["libdevice.so"].places} == {
        "libdevice.so", "libdevice-9738860f.so", "libdevice-b5dc09b7.so",
    }  # fmt: skip


def test_one_wheel_has_libdevice_twice() -> None:
    (finding,) = found(scene_of("ttnn-0.63.0-3.10"), "TC101")
    assert finding.subject == "libdevice.so"
    assert [place.path for place in finding.places] == [
        "ttnn/build/lib/libdevice.so",
        "ttnn.libs/libdevice-79b22e8e.so",
    ]
    assert "same build-id" in finding.evidence[0]
    assert finding.bytes == 4_747_449


def test_torch_ttnn_has_two_libtt_metal() -> None:
    twice = by_subject(found(scene_of(TORCH_020), "TC101"))
    assert [place.path.rpartition("/")[2] for place in twice["libtt_metal.so"].places] == [
        "libtt_metal.so", "libtt_metal-f5848393.so",
    ]  # fmt: skip


@pytest.mark.debian
def test_the_second_libssl_beside_conda_s() -> None:
    """psycopg/psycopg2#543: the wheel's libssl beside the one that Python's ssl uses."""
    twice = by_subject(found(read_targets([embedded("openssl"), other_wheel("psycopg2-binary")]), "TC101"))
    for name in ("libssl.so.3", "libcrypto.so.3"):
        assert [place.owner.partition(" ")[0] for place in twice[name].places] == ["openssl", "psycopg2-binary"]


def test_copies_are_bytes_that_could_go(tmp_path: Path) -> None:
    first = compile_library(tmp_path / "a/libx.so.1", functions(["x_one", "x_two"]))
    (tmp_path / "b").mkdir()
    shutil.copy(first, tmp_path / "b/libx.so.1")
    (finding,) = found(read_targets([tmp_path / "a", tmp_path / "b"]), "TC101")
    assert (finding.subject, finding.bytes) == ("libx.so.1", first.stat().st_size)
    assert finding.evidence[0] == "identical content"
    assert found(read_targets([tmp_path / "a", tmp_path / "b"], once=True), "TC101") == []


def test_modules_and_plugins_share_names_without_being_copies(tmp_path: Path) -> None:
    for owner in ("a", "b"):
        compile_library(tmp_path / owner / "_C.so", functions(["PyInit__C", f"{owner}_own"]), soname=None)
        compile_library(tmp_path / owner / "libplugin.so", functions([f"{owner}_entry"]))
    assert found(read_targets([tmp_path / "a", tmp_path / "b"]), "TC101") == []


def test_different_libraries_of_one_name_are_no_copies(tmp_path: Path) -> None:
    for owner in ("a", "b"):
        library = compile_library(tmp_path / owner / "libcommon.so", functions(f"{owner}_{n}" for n in range(20)))
        compile_library(tmp_path / owner / "main.so", functions([f"{owner}_main"]), needs=[library], soname=None)
    assert found(read_targets([tmp_path / "a", tmp_path / "b"]), "TC101") == []


@pytest.mark.parametrize(
    ("name", "names", "is_copy"),
    [("libcurl-fiona-0123abcd.so.4", range(40), True), ("libcurl_fiona.so.4.8.0", range(1, 41), True),
     ("libcurl-extras.so.4", range(30, 70), False), ("libnetwork.so.1", range(40), False)],
)  # fmt: skip
def test_a_copy_under_another_name(tmp_path: Path, name: str, names: range, is_copy: bool) -> None:
    first = compile_library(tmp_path / "a/libcurl.so.4", functions(f"curl_{n}" for n in range(40)))
    second = compile_library(tmp_path / "b/b.libs" / name, functions((f"curl_{n}" for n in names), "{ return 2; }"))
    twice = found(read_targets([tmp_path / "a", tmp_path / "b"]), "TC101")
    assert [finding.subject for finding in twice] == (["libcurl.so.4"] if is_copy else [])
    code = "import ctypes, sys; print(*(ctypes.CDLL(path).curl_35() for path in sys.argv[1:]))"
    told = subprocess.run([sys.executable, "-c", code, first, second], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["1", "2"]  # both are loaded
    beside = shutil.move(second, tmp_path / "a" / name)
    assert found(read_targets([Path(beside).parent]), "TC101") == []  # two libraries of one package


def test_a_copy_that_has_nothing_of_the_name(tmp_path: Path) -> None:
    compile_library(tmp_path / "a/libcurl.so.4", functions(f"curl_{n}" for n in range(100)))
    compile_library(tmp_path / "b/libnetwork.so.1", functions((f"curl_{n}" for n in range(1, 100)), "{ return 2; }"))
    (finding,) = found(read_targets([tmp_path / "a", tmp_path / "b"]), "TC101")
    assert finding.evidence[0] == "the same exports under other names: libcurl.so.4, libnetwork.so.1"


def test_a_renamed_copy_of_one_build(tmp_path: Path) -> None:
    library = compile_library(tmp_path / "a/libcurl.so.4", functions(["curl_1"]), "-Wl,--build-id=0x1234")
    compile_library(tmp_path / "b/libnet.so.1", functions(["curl_1", "x"]), "-Wl,--build-id=0x1234")
    (finding,) = found(read_targets([library.parent, tmp_path / "b"]), "TC101")
    assert finding.evidence[0] == "same build-id 1234: linked once, modified later"


def test_symbolic_links_that_became_copies() -> None:
    chains = by_subject(found(scene_of("ttnn-0.81.1-3.10"), "TC102"))
    umd = chains["libtt-umd.so.0"]
    assert [place.path.rpartition("/")[2] for place in umd.places] == [
        "libtt-umd.so", "libtt-umd.so.0", "libtt-umd.so.0.9.14",
    ]  # fmt: skip
    assert umd.bytes == 2 * 7_831_257
    assert [place.path.rpartition("/")[2] for place in chains["libtracy.so.0.14.1"].places] == [
        "libtracy.so", "libtracy.so.0.14.1",
    ]  # fmt: skip
    assert found(scene_of("ttnn-0.81.1-3.10"), "TC101") == []  # said once, not twice


def test_a_whole_closure_of_materialised_links() -> None:
    chains = by_subject(found(scene_of(TTNN_065), "TC102"))
    assert {"libmpi.so.40", "libpmix.so.2", "libhwloc.so.15", "libevent_core-2.1.so.7"} <= set(chains)


def test_links_and_hard_links_are_none(tmp_path: Path) -> None:
    full = compile_library(tmp_path / "lib/libx.so.1.2", functions(["x"]), soname="libx.so.1")
    (tmp_path / "lib/libx.so.1").symlink_to("libx.so.1.2")
    (tmp_path / "lib/libx.so").hardlink_to(full)
    assert found(read_targets([tmp_path]), "TC102") == []


def test_two_packages_put_different_objects_at_one_path(tmp_path: Path) -> None:
    for number, owner in enumerate(("a", "b")):
        module = compile_library(tmp_path / f"{owner}.so", functions([f"f{n}" for n in range(number + 1)]), soname=None)
        with zipfile.ZipFile(tmp_path / f"{owner}-1.0-py3-none-linux_x86_64.whl", "w") as archive:
            archive.write(module, "cv2/cv2.abi3.so")
            archive.write(tmp_path / "a.so", "cv2/same.abi3.so")
    (finding,) = found(read_targets(sorted(tmp_path.glob("*.whl"))), "TC103")
    assert finding.subject == "cv2/cv2.abi3.so"
    assert [place.owner for place in finding.places] == ["b 1.0", "a 1.0"]
