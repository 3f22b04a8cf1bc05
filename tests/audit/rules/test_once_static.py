"""TC104 and TC105: symbols and code that several different objects hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.rules.scenes import by_subject, compile_library, found, functions, scene_of
from tt_conda.audit.embedded import library_of
from tt_conda.audit.finding import Certainty, Severity
from tt_conda.audit.targets import read_targets
from tt_conda.elf.read import read
from tt_conda.elf.traces import traces

MANY = [f"zip_{n}" for n in range(30)]


def test_two_libraries_that_export_the_same(tmp_path: Path) -> None:
    compile_library(tmp_path / "libone.so", functions([*MANY, "one_own"]))
    compile_library(tmp_path / "libother.so", functions([*MANY, "other_own"]))
    (finding,) = found(read_targets([tmp_path]), "TC104")
    assert finding.subject == "libone.so libother.so"
    assert "30 of the same symbols" in finding.message


def test_the_first_in_load_order_wins(tmp_path: Path) -> None:
    one = compile_library(tmp_path / "libone.so", functions(MANY))
    other = compile_library(tmp_path / "libother.so", functions(MANY))
    compile_library(tmp_path / "main.so", "int main_(void) { return 0; }", "-Wl,--no-as-needed",
                    needs=[other, one], soname=None)  # fmt: skip
    (finding,) = found(read_targets([tmp_path]), "TC104")
    assert "libother.so wins over libone.so in what main.so loads" in finding.evidence


def test_a_few_names_weak_ones_and_versions_do_not_count(tmp_path: Path) -> None:
    few = [f"few_{n}" for n in range(9)]
    weak = "".join(f"__attribute__((weak)) int weak_{n}(void) {{ return 1; }}\n" for n in range(30))
    for owner in ("one", "other"):
        script = tmp_path / f"{owner}.map"
        script.write_text(f"{owner.upper()}_1.0 {{ global: zip_*; }};\n")
        versioned = f"-Wl,--version-script,{script}"
        compile_library(tmp_path / f"lib{owner}.so", functions(few) + weak)
        compile_library(tmp_path / f"libversioned-{owner}.so", functions(MANY), versioned)
    assert found(read_targets([tmp_path]), "TC104") == []


def test_symbols_of_a_static_library_in_two_modules(tmp_path: Path) -> None:
    for name in ("a", "b"):
        compile_library(tmp_path / f"{name}.so", functions([*MANY, f"PyInit_{name}"]), soname=None)
    (finding,) = found(read_targets([tmp_path]), "TC105")
    assert (finding.subject, finding.certainty) == ("zip", Certainty.CERTAIN)


@pytest.mark.parametrize("label", ["cyllama-0.2.18", "cyllama-0.7.0"])
def test_each_extension_of_cyllama_has_its_own_ggml(label: str) -> None:
    ggml = by_subject(found(scene_of(label), "TC105"))["ggml"]
    modules = {place.path.split(".")[0] for place in ggml.places}
    assert {"cyllama/llama/llama_cpp", "cyllama/sd/stable_diffusion", "cyllama/whisper/whisper_cpp"} <= modules
    assert ggml.certainty is Certainty.LIKELY  # its symbols are hidden: only its sources' names tell
    assert ggml.severity is Severity.NOTE
    assert any("ggml/src/ggml-alloc.c" in line for line in ggml.evidence)


def test_openssl_that_is_hidden_in_other_libraries() -> None:
    openssl = by_subject(found(scene_of("psycopg2-binary", "pyarrow"), "TC105"))["OpenSSL"]
    assert {place.owner.partition(" ")[0] for place in openssl.places} == {"psycopg2-binary", "pyarrow"}
    names = {place.path.rpartition("/")[2].split(".")[0] for place in openssl.places}
    assert {"libcrypto-fb8d5b21", "libarrow", "libarrow_flight", "libarrow_s3", "libparquet"} <= names


def test_headers_and_generated_code_are_no_evidence(tmp_path: Path) -> None:
    shared = ["include/fmt/format-inl.h", "/usr/include/boost/any.hpp", "src/messages.pb.cc", "pkg/_helper.pyx.c"]
    code = "".join(f'const char *path_{n} = "{path}";\n' for n, path in enumerate(shared))
    for name in ("a", "b"):
        compile_library(tmp_path / f"{name}.so", code, "-fvisibility=hidden", soname=None)
    assert found(read_targets([tmp_path]), "TC105") == []


def test_banners_tell_the_version(tmp_path: Path) -> None:
    for name, version in (("a", "1.2.13"), ("b", "1.3.1")):
        banner = f" deflate {version} Copyright 1995-2024 Jean-loup Gailly and Mark Adler "
        compile_library(tmp_path / f"{name}.so", f'__attribute__((used)) static const char banner[] = "{banner}";',
                        soname=None)  # fmt: skip
    (finding,) = found(read_targets([tmp_path]), "TC105")
    assert finding.subject == "zlib"
    assert "its version string says 1.2.13" in finding.evidence[0]
    assert "its version string says 1.3.1" in finding.evidence[1]


def test_traces_are_found_without_section_headers(tmp_path: Path) -> None:
    library = compile_library(tmp_path / "liba.so", 'const char *path = "/build/zlib/src/deflate.c";')
    content = bytearray(library.read_bytes())
    assert traces(bytes(content)).sources == {"/build/zlib/src/deflate.c"}
    content[40:48] = bytes(8)  # e_shoff
    content[60:64] = bytes(4)  # e_shnum, e_shstrndx
    assert "/build/zlib/src/deflate.c" in traces(bytes(content)).sources
    assert read(library).traces.sources == {"/build/zlib/src/deflate.c"}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/project/build/llama.cpp/ggml/src/ggml-cpu/ggml-cpu.c", "ggml"),
        ("../3rdparty/harfbuzz/src/hb-font.cc", "harfbuzz"),
        ("/project/tt_metal/third_party/umd/device/cluster.cpp", "umd"),
        ("/project/.cpmcache/cadical/e484f16380757632029cca8f5e9ef187192b2b48/src/solver.cpp", "cadical"),
        ("../src/nssl-3.6.5-c2a478abe6.clean/crypto/asn1/a_bitstr.c", "OpenSSL"),
        ("/arrow/cpp/src/arrow/compute/exec.cc", "arrow"),
        ("../../../libgomp/oacc-init.c", "libgomp"),
        ("src/main.c", ""),
    ],
)
def test_a_path_tells_the_library(path: str, name: str) -> None:
    assert library_of(path) == name
