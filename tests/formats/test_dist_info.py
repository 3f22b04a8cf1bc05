"""RECORD, as carving writes it."""

from __future__ import annotations

import csv
from pathlib import Path

from tt_conda.formats.dist_info import write_record


def test_what_is_rewritten_on_installation_has_no_hash(tmp_path: Path) -> None:
    """Every conda puts its own prefix in the place of the build's, into a program's first line for one."""
    site = tmp_path / "lib/python3.10/site-packages"
    (site / "x-1.0.dist-info").mkdir(parents=True)
    program, module, data = tmp_path / "bin/x", site / "x.py", tmp_path / "share/x"
    for path, content in ((program, f"#!{tmp_path}/bin/python3.10\n"), (module, "import os\n"), (data, "")):
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    write_record(tmp_path, site, "x-1.0.dist-info", [program, module, data])
    rows = {name: (digest, size) for name, digest, size in csv.reader((site / "x-1.0.dist-info/RECORD").open())}
    assert rows["../../../bin/x"] == ("", "") == rows["x-1.0.dist-info/RECORD"]
    assert rows["x.py"][0].startswith("sha256=") and rows["x.py"][1] == "10"
    assert rows.keys() == {"../../../bin/x", "x.py", "x-1.0.dist-info/INSTALLER", "x-1.0.dist-info/RECORD"}
