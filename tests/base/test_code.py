"""The code that a module's results depend on, found by reading it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tt_conda.base import code
from tt_conda.base.code import code_digest, code_of, files_digest

MODULES = {
    "__init__.py": "",
    "a.py": "if TYPE_CHECKING:\n    import pkg.typed\ndef f():\n    from pkg import b\n",
    "b.py": "import zstandard, pkg.rules\nfrom pkg.sub import c\nPROGRAMS = ('patchelf',)\nx = 'b.toml', 'no.toml'\n",
    "b.toml": "", "unused.py": "", "unused.toml": "", "typed.py": "",
    "rules/__init__.py": "import pkgutil\nfound = pkgutil.iter_modules(__path__)\n",
    "rules/one.py": "from pkg import by_rule\n", "by_rule.py": "",
    "sub/__init__.py": "", "sub/c.py": "command = ['-m', 'pkg.started']\n", "sub/d.py": "", "started.py": "",
}  # fmt: skip
USED = {*MODULES} - {"unused.py", "unused.toml", "typed.py", "sub/d.py"}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name, text in MODULES.items():
        file = tmp_path / "pkg" / name
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(text)
    return tmp_path / "pkg"


def test_each_way_to_depend_on_code(package: Path) -> None:
    found = code_of("pkg.a", root=package)
    assert {str(file.relative_to(package)) for file in found.files} == USED
    assert found.programs == {"patchelf"} and {"zstandard", "pkgutil"} <= found.libraries


@pytest.mark.parametrize("name", MODULES)
def test_a_change_counts_where_it_is_used(package: Path, name: str) -> None:
    before = files_digest(code_of("pkg.a", root=package), package)
    (package / name).write_text(f"{MODULES[name]}# changed\n")
    assert (files_digest(code_of("pkg.a", root=package), package) != before) == (name in USED)


@pytest.mark.parametrize(
    ("what", "module"), [("_library_version", "tt_conda.carve.rules"), ("_program_version", "tt_conda.elf.rewrite")]
)
def test_versions_count(monkeypatch: pytest.MonkeyPatch, what: str, module: str) -> None:
    other = "tt_conda.base.errors"
    before = code_digest(module), code_digest(other)
    monkeypatch.setattr(code, what, lambda name: "99" if name in ("pydantic", "patchelf") else "")
    code_digest.cache_clear()
    try:
        assert code_digest(module) != before[0] and code_digest(other) == before[1]
    finally:
        code_digest.cache_clear()


def test_versions_are_known() -> None:
    assert code._library_version("zstandard") and code._library_version("rattler") and code._program_version("patchelf")
