"""Names of C++ are shown as people write them, and sorted by namespace without demangling each."""

from __future__ import annotations

import time

import pytest

from tt_conda.elf.demangle import _Demangler, demangle, namespace_of


@pytest.mark.parametrize(
    ("mangled", "plain"),
    [
        ("_ZN2tt8tt_metal12CreateDeviceEi", "tt::tt_metal::CreateDevice(int)"),
        ("_ZTVN4ttnn6TensorE", "vtable for ttnn::Tensor"),
        ("ggml_init", "ggml_init"),
        ("_Znot a name", "_Znot a name"),
        ("_ZN", "_ZN"),
        ("", ""),
    ],
)
def test_demangles(mangled: str, plain: str) -> None:
    assert demangle(mangled) == plain


@pytest.mark.parametrize(
    ("mangled", "namespace"),
    [
        ("_ZN2tt8tt_metal12CreateDeviceEi", "tt"),
        ("_ZNK4ttnn6Tensor5shapeEv", "ttnn"),
        ("_ZTVN4ttnn6TensorE", "ttnn"),
        ("_ZTIN4ttnn6TensorE", "ttnn"),
        ("_ZGVZN4ttnn3fooEvE1x", "ttnn"),
        ("_ZZN4ttnn3fooEvE1x", "ttnn"),
        ("_ZGVN4ttnn3fooE", "ttnn"),
        ("_ZThn16_N3c104impl3fooEv", "c10"),
        ("_ZTv0_n24_N3c103FooD1Ev", "c10"),
        ("_ZNSt6vectorIiSaIiEE9push_backEOi", "std"),
        ("_ZSt4cout", "std"),
        ("_ZNSs6appendEPKc", "std"),
        ("_Z3foov", ""),
        ("ggml_init", ""),
    ],
)
def test_namespace(mangled: str, namespace: str) -> None:
    assert namespace_of(mangled) == namespace


def doubling(levels: int) -> str:
    """Each type of this name has the one before it twice: 300 characters that stand for gigabytes."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return "_Z1f1AIiiE" + "".join(f"S_IS{digits[n]}_S{digits[n]}_E" for n in range(levels))


@pytest.mark.parametrize(
    "name",
    [doubling(30), "_Z1f" + "P" * 30_000 + "i", "_Z1f" + "1AI" * 8000 + "i" + "E" * 8000, "_ZN" + "1a" * 10_000 + "E",
     "_Z1fI" + "X" + "ad" * 10_000, "_Z1f" + "PF" * 8000, "_Z1f\n_Z1g", "_Z1f\0i", "_Z\udcff", "_Z" + "9" * 5000],
    ids=len,
)  # fmt: skip
def test_hostile_names_stay_mangled_and_the_next_one_is_demangled(name: str) -> None:
    start = time.monotonic()
    assert demangle(name) == name
    assert demangle("_ZN2tt8tt_metal11CloseDeviceEi") == "tt::tt_metal::CloseDevice(int)"
    demangle.cache_clear()
    assert time.monotonic() - start < 10


def test_a_name_that_ends_the_process_costs_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a runtime with a fault would: its process is killed while the name is with it."""
    own = _Demangler()
    assert own.ask(b"_Z3fooi") == b"foo(int)"
    assert own._process
    own._process.kill()
    own._process.wait()
    assert own.ask(b"_Z3bari") == b""
    assert own.ask(b"_Z3bari") == b"bar(int)"
    own.stop()
