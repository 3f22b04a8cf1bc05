"""Names of C++ are shown as people write them, and sorted by namespace without demangling each."""

from __future__ import annotations

import pytest

from tt_conda.elf.demangle import demangle, namespace_of


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
