"""A small scene that is the same on every machine, and the findings that the renderers show."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tt_conda import __version__
from tt_conda.audit.analysis import Analysis
from tt_conda.audit.audit import Report
from tt_conda.audit.baseline import Accepted
from tt_conda.audit.config import Config, Ignore
from tt_conda.audit.finding import Certainty, Finding, Place, Severity
from tt_conda.audit.rules import tc901_unreadable_file as tc901
from tt_conda.audit.targets import read_targets
from tt_conda.audit.verdict import Verdict, judge

Compile = Callable[..., Path]
GOLDEN = Path(__file__).with_name("golden")


@pytest.fixture
def folders(tmp_path: Path, compile_library: Compile, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two folders: an app with its own copy of the library that the other one has, and with one that is cut."""
    (tmp_path / "made").mkdir()
    base = compile_library("made/libbase.so.1", "int base;", "-nodefaultlibs", "-Wl,-soname,libbase.so.1")
    gone = compile_library("made/libgone.so.2", "int gone;", "-nodefaultlibs", "-Wl,-soname,libgone.so.2")
    code = "int base, gone; int PyInit__app(void) { return base + gone; }"
    app = compile_library(
        "made/_app.so", code, "-Wl,--no-as-needed", str(base), str(gone), "-Wl,-rpath,$ORIGIN/libs,--as-needed"
    )
    put = {"core/lib/libbase.so.1": base, "app/libs/libbase-0a1b2c3d.so.1": base, "app/_app.so": app}
    for path, source in put.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(source.read_bytes().ljust(1_200_000 if "base" in path else 300_000, b"\0"))
    (tmp_path / "app/libs/libbase.so.1").symlink_to("libbase-0a1b2c3d.so.1")
    (tmp_path / "app/libs/libcut.so").write_bytes(b"\x7fELF\x02\x01")
    monkeypatch.chdir(tmp_path)
    return Path("core"), Path("app")


@pytest.fixture
def verdict(folders: tuple[Path, Path]) -> Verdict:
    """Findings of every severity; one is ignored, one accepted, and the lists hold one entry too many each."""
    scene = read_targets(list(folders))
    copies = [Place(owner="core/", path="lib/libbase.so.1"), Place(owner="app/", path="libs/libbase-0a1b2c3d.so.1")]
    module = [Place(owner="app/", path="_app.so")]
    twice = Finding(
        code="TC001", severity=Severity.WARNING, subject="libbase.so.1", places=copies, bytes=1_200_000,
        message="libbase.so.1 is there twice: core and app <each> bring one.",
        remedy="Let app depend on core.", evidence=["equal content", "needed as libbase.so.1"],
    )  # fmt: skip
    note = twice.model_copy(update={"code": "TC002", "severity": Severity.NOTE, "subject": "old", "bytes": 0,
                                    "places": module, "message": "_app.so was made with an old linker.",
                                    "certainty": Certainty.POSSIBLE, "evidence": []})  # fmt: skip
    known = note.model_copy(update={"code": "TC003", "subject": "known", "severity": Severity.WARNING})
    taken = note.model_copy(update={"code": "TC004", "subject": "taken", "severity": Severity.ERROR})
    config = Config(ignore=[Ignore(code="TC003", path="_app.so", reason="upstream #1 is open"),
                            Ignore(code="TC901", path="libother.so", reason="a test file")])  # fmt: skip
    accepted = [
        Accepted(code="TC004", subject="taken", fingerprint=taken.fingerprint, message=taken.message),
        Accepted(code="TC901", subject="libold.so", fingerprint="0" * 16, message="libs/libold.so: cut"),
    ]
    found = [*tc901.check(Analysis(scene)), taken, twice, known, note]
    return judge(Report(scene, found), config, accepted=accepted)


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare a text with its snapshot; TT_CONDA_REFRESH_GOLDEN=1 writes it instead."""

    def compare(name: str, text: str) -> None:
        text = text.replace(__version__, "VERSION")
        text = re.sub(r"<style>.*?</style>", "<style></style>", text, flags=re.S)
        text = re.sub(r"<script>.*?</script>", "<script></script>", text, flags=re.S)
        text = re.sub(r"sha256-[\w+/=]+", "sha256-…", text)
        file = GOLDEN / name
        if os.environ.get("TT_CONDA_REFRESH_GOLDEN"):
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        before = file.read_text()
        changes = difflib.unified_diff(before.splitlines(), text.splitlines(), "golden", "now", lineterm="")
        assert text == before, "\n".join(changes)

    return compare
