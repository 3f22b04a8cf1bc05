"""The keys of caches count all that their results come from: compared with what a process opens as it makes one."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from handmade import make_wheel
from opened import Opened, opened_by
from tt_conda.base import settings
from tt_conda.base.code import ROOT, Code, code_of
from tt_conda.building.build import TOOL
from tt_conda.embedded import assemble
from tt_conda.embedded.assemble import available_pythons, ensure_channel
from tt_conda.workspace import proof


def assert_all_counts(opened: Opened, code: Code, expected: set[str], but: Collection[str] = ()) -> None:
    """Nothing opened is missing in a key, and ``expected``, which was opened, would be missed if it were.

    Programs called ``but`` count by more than their version.
    """
    opened = replace(opened, programs=opened.programs - {*but})
    assert opened.missing_in(code) == set()
    less = Code(
        frozenset(file for file in code.files if str(file.relative_to(ROOT)) not in expected),
        code.libraries - expected, code.programs - expected,
    )  # fmt: skip
    assert opened.missing_in(less) == expected


def test_one_wheel_is_carved(compile_library: Callable[..., Path], tmp_path: Path) -> None:
    base = compile_library("libbase-0123abcd.so.1", "int base(void) { return 1; }", "-Wl,-soname,libbase-0123abcd.so.1")
    module = compile_library("m.so", "int base(void); int m(void) { return base(); }", str(base), "-Wl,-rpath,$ORIGIN")
    members = {"pkg/m.cpython-310-x86_64-linux-gnu.so": module.read_bytes(), "pkg/__init__.py": b"",
               "pkg.libs/libbase-0123abcd.so.1": base.read_bytes()}  # fmt: skip
    rules = tmp_path / "rules.toml"
    rules.write_text('own = ["libbase.so*"]\n')
    opened = opened_by(f"""
from pathlib import Path
from tt_conda.commands.carve import carve
carve([Path({str(make_wheel(tmp_path, members))!r})], Path({str(tmp_path / "out")!r}), rules=[Path({str(rules)!r})])
""")
    assert (tmp_path / "out/lib/libbase.so.1").is_file()
    assert_all_counts(
        opened, code_of(TOOL), {"providers.toml", "carve/plan.py", "report/carve.py", "base/files.py", "patchelf"}
    )


def test_one_environment_is_proved(tmp_path: Path) -> None:
    python = next(iter(available_pythons()))
    ensure_channel(["python", "click"])
    file = tmp_path / "proof.toml"
    file.write_text(f"""\
[[environment]]
name = "e"
python = "{python}"
specs = ["click"]
imports = ["click"]
packages = ["click"]
""")
    opened = opened_by(
        f"""
from pathlib import Path
from tt_conda.workspace.proof import prove
found = prove(Path({str(file)!r}), [{str(assemble.channel_dir())!r}])
assert found.problems == [] and found.audits["e"][0] > 0
""",
        {"TT_CONDA_PROJECT": str(tmp_path)},
    )
    rules = {f"audit/rules/{rule.name}" for rule in (ROOT / "audit/rules").glob("tc*.py")}
    data = {"providers.toml", "audit/runtimes.toml", "audit/embedded.toml"}
    assert len(rules) > 15
    # the key has the environment's packages, Python among them, and what these two say of the machine
    asked = ("python", "ldconfig", "ld-linux-x86-64.so.2")
    expected = {*rules, *data, "rattler", "environment/install.py"}
    assert_all_counts(opened, code_of(proof._KNOWN.module), expected, but=asked)


def test_one_package_of_the_embedded_channel_is_made(tmp_path: Path) -> None:
    """Its inputs are in the store already, and count by their hashes."""
    ensure_channel(["libzlib"])
    cache = tmp_path / "cache"
    cache.mkdir()
    for name in ("inputs", "pythons.json"):
        (cache / name).symlink_to(settings.cache_dir() / name)
    opened = opened_by(
        """
from tt_conda.embedded.assemble import ensure_channel
folder = ensure_channel(["libzlib"])
assert list(folder.glob("linux-64/libzlib-*.conda"))
""",
        {"TT_CONDA_CACHE": str(cache)},
    )
    expected = {"providers.toml", "embedded/stage.py", "channel/index.py", "elf/rewrite.py", "dpkg-deb", "zstandard"}
    assert_all_counts(opened, code_of(assemble.__name__), expected)
