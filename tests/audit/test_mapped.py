from __future__ import annotations

from pathlib import Path

from tt_conda.audit.mapped import MappedObject, by_library, problems

PREFIX = Path("/env")
SITE = PREFIX / "lib/python3.10/site-packages"


def mapped(path: Path, soname: str, build_id: str | None = None, package: str | None = "p") -> MappedObject:
    return MappedObject(path, soname, build_id, 1, package)


def test_an_environment_with_everything_once_is_fine() -> None:
    objects = [
        mapped(PREFIX / "lib/libtt_metal.so", "libtt_metal.so", "a"),
        mapped(SITE / "a/_C.cpython-310-x86_64-linux-gnu.so", "_C.so", "b"),
        mapped(SITE / "b/_C.abi3.so", "_C.so", "c"),  # modules may share a name
        mapped(Path("/lib/x86_64-linux-gnu/libc.so.6"), "libc.so.6", "d", None),
    ]
    assert problems(objects, PREFIX) == []


def test_a_second_copy_in_site_packages_is_said() -> None:
    # as torch-ttnn-shutov 0.2.0 has it: a library whose name does not begin with lib, and a hash-suffixed one
    objects = [
        mapped(PREFIX / "lib/_ttnncpp.so", "_ttnncpp.so", "a"),
        mapped(SITE / "torch_ttnn_cpp_extension/_ttnncpp.so", "_ttnncpp.so", "b"),
        mapped(PREFIX / "lib/libmpi.so.40", "libmpi.so.40", "c"),
        mapped(SITE / "torch_ttnn.libs/libmpi-39f7ef5e.so.40.40.7", "libmpi.so.40.40.7", "c"),
    ]
    said = problems(objects, PREFIX)
    assert any(text.startswith("_ttnncpp.so is mapped 2 times") for text in said)
    assert any(text.startswith("build c is mapped 2 times") for text in said)
    assert len(by_library(objects)["_ttnncpp.so"]) == 2


def test_a_library_of_the_machine_is_said_but_not_the_c_library() -> None:
    objects = [
        mapped(Path("/usr/lib/libhwloc.so.15"), "libhwloc.so.15", "a", None),
        mapped(Path("/usr/lib/libm.so.6"), "libm.so.6", "b", None),
    ]
    assert problems(objects, PREFIX) == ["libhwloc.so.15 comes from outside the environment: /usr/lib/libhwloc.so.15"]
