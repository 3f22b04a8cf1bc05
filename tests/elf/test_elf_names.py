"""Names of libraries: auditwheel's hash, versions, and what is the same library."""

from __future__ import annotations

import pytest

from tt_conda.elf import plain_soname, soname_stem
from tt_conda.elf.names import same_library, version_of


@pytest.mark.parametrize(
    ("hashed", "plain"),
    [
        ("libdevice-79b22e8e.so", "libdevice.so"),
        ("libtracy-b842b7dc.so.0.10.0", "libtracy.so.0.10.0"),
        ("libevent_core-2-98f05372.1.so.7.0.1", "libevent_core-2.1.so.7.0.1"),
        ("libstdc++-0d31ccbe.so.6.0.28", "libstdc++.so.6.0.28"),
        ("libtt-umd.so.0.9.14", "libtt-umd.so.0.9.14"),
        ("libopen-pal.so.80", "libopen-pal.so.80"),
        ("libfoo-1234567.so", "libfoo-1234567.so"),
        ("libfoo-GHIJKLMN.so", "libfoo-GHIJKLMN.so"),
        ("libfoo-deadbeef", "libfoo-deadbeef"),
    ],
)
def test_hash_is_taken_off(hashed: str, plain: str) -> None:
    assert plain_soname(hashed) == plain
    assert plain_soname(plain) == plain


@pytest.mark.parametrize(
    ("name", "stem", "version"),
    [
        ("libmpi.so.40.40.7", "libmpi.so", ("40", "40", "7")),
        ("libmpi.so", "libmpi.so", ()),
        ("libevent-2.1.so.7", "libevent-2.1.so", ("7",)),
        ("lib.socket.so.1", "lib.socket.so", ("1",)),
        ("ttnn_device_extension", "ttnn_device_extension", ()),
    ],
)
def test_stem_and_version(name: str, stem: str, version: tuple[str, ...]) -> None:
    assert (soname_stem(name), version_of(name)) == (stem, version)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("libmpi.so.40.40.7", "libmpi.so.40", True),
        ("libtracy.so", "libtracy.so.0.10.0", True),
        ("libssl.so.1.1", "libssl.so.3", False),
        ("libfoo.so.1", "libfoo.so.10", False),
        ("libfoo.so.1", "libbar.so.1", False),
    ],
)
def test_same_library(a: str, b: str, same: bool) -> None:
    assert same_library(a, b) is same_library(b, a) is same
