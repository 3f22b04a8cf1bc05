"""The reproducible form: packages that are built twice are the same bits; and what is said where they are not."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import shutil
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from rattler_build import Package

from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import digests
from tt_conda.building.build import Built, build
from tt_conda.building.compare import Difference, differences
from tt_conda.building.reproducible import RENDERED, dump_rendered, load_rendered, make_reproducible
from tt_conda.building.verify import named, verify
from tt_conda.channel import index
from tt_conda.formats import conda
from tt_conda.formats.conda import FILES, INFO

Make = Callable[..., Path]

RECIPE = """
package: {name: sample, version: "1.0"}
build:
  number: 0
  string: "0"
  script:
    - mkdir -p $PREFIX/bin $PREFIX/share $PREFIX/lib/python3.12/site-packages/sample-1.0.dist-info
    - cp $RECIPE_DIR/data $PREFIX/share/data; ln -s data $PREFIX/share/link
    - |
      printf '#!%s/bin/sh\\n' $PREFIX > $PREFIX/bin/sample; chmod 755 $PREFIX/bin/sample
      printf 'x\\0%s/lib\\0y' $PREFIX > $PREFIX/share/binary
      cd $PREFIX/lib/python3.12/site-packages/sample-1.0.dist-info
      echo '{"url": "file://'$SRC_DIR'", "dir_info": {}}' > direct_url.json
      echo "../../../bin/sample,sha256=$(sha256sum $PREFIX/bin/sample | cut -c1-20),9" > RECORD
      echo "sample-1.0.dist-info/direct_url.json,sha256=$RANDOM,9" >> RECORD
      echo "../../../share/data,sha256=abc,9" >> RECORD
      echo "../../../share/link,sha256=abc,9" >> RECORD
      echo "../../../share/moved,sha256=abc,9" >> RECORD
      echo "sample-1.0.dist-info/RECORD,," >> RECORD
requirements:
  host: [one, two, three]
  run: [zz, aa]
about:
  summary: for tests
"""
NOARCH = """
package: {name: sample, version: "1.0"}
build:
  number: 0
  string: "0"
  noarch: python
  python: {entry_points: ["sample = sample:main"]}
  script: |
    mkdir -p $PREFIX/lib/python3.12/site-packages/sample-1.0.dist-info $PREFIX/share; touch $PREFIX/share/x
    cd $PREFIX/lib/python3.12/site-packages; touch sample.py
    cat > sample-1.0.dist-info/RECORD <<END
    ../../../bin/sample,sha256=abc,9
    ../../../bin/gone,sha256=abc,9
    $PREFIX/share/x,sha256=abc,9
    sample.py,sha256=abc,9
    sample-1.0.dist-info/RECORD
    END
"""


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a channel ``others`` of three packages that export themselves, and a ``project`` that is built."""
    root = tmp_path_factory.mktemp("first")
    recipes = root / "exporting/recipes"
    for name in ("one", "two", "three"):
        (recipes / name).mkdir(parents=True)
        (recipes / name / "recipe.yaml").write_text(json.dumps({
            "package": {"name": name, "version": "1.0"},
            "build": {"number": 0, "string": "0", "script": f"mkdir -p $PREFIX/share; touch $PREFIX/share/{name}"},
            "requirements": {"run_exports": {"weak": [f"{name} >=1"]}},
        }))  # fmt: skip
    sample = root / "project/recipes/sample"
    sample.mkdir(parents=True)
    (sample / "recipe.yaml").write_text(RECIPE)
    (sample.parent / "data").write_text("the data\n")
    (sample / "data").symlink_to("../data")
    (sample / "__pycache__").mkdir()
    (sample / "__pycache__/script.pyc").write_text("compiled")
    for folder in (recipes.parent, root / "project"):
        (folder / "variants.yaml").write_text("python: ['3.12']\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TT_CONDA_CACHE", str(root / "cache"))
        index.publish([], root / "empty")
        build(project=recipes.parent, channels=lambda: [root / "empty"])
        shutil.move(recipes.parent / "output", root / "others")
        _built(root / "project", root / "others")
        yield root


@pytest.fixture
def others(first: Path, tmp_path: Path) -> Path:
    return shutil.copytree(first / "others", tmp_path / "others")


@pytest.fixture
def project(first: Path, tmp_path: Path) -> Path:
    """The project, not built."""
    return shutil.copytree(
        first / "project", tmp_path / "project", symlinks=True, ignore=shutil.ignore_patterns("output")
    )  # fmt: skip


@pytest.fixture
def package(first: Path) -> Path:
    """What was built of it."""
    return first / "project/output/linux-64/sample-1.0-0.conda"


def _built(project: Path, *channels: str | Path) -> Path:
    result: Built = build(project=project, channels=lambda: list(channels))
    assert [*result.built, *result.reused] == ["sample-1.0-0"]
    return project / "output/linux-64/sample-1.0-0.conda"


def info(package: Path, name: str) -> Any:
    with conda.opened(package) as parts:
        content = parts[INFO].read(f"info/{name}")
    return json.loads(content) if name.endswith(".json") else load_rendered(content)


# --- what it looks like ---


def test_what_python_compiled_in_the_recipe_is_not_in_its_copy(package: Path) -> None:
    with conda.opened(package, [INFO]) as parts:
        assert "info/recipe/data" in parts[INFO].entries
        assert not [name for name in parts[INFO].entries if "__pycache__" in name]


def test_nothing_tells_when_and_where_it_was_built(package: Path, tmp_path: Path) -> None:
    with conda.opened(package) as parts:
        for part in parts.values():
            for name, entry in part.entries.items():
                assert (entry.uid, entry.gid, entry.uname, entry.gname, entry.mtime) == (0, 0, "", "", 0), name
                assert entry.issym() or str(tmp_path).encode() not in part.read(name), name
    rendered = info(package, "recipe/rendered_recipe.yaml")
    made = rendered["build_configuration"]
    assert made["channels"] == ["file:///local"] and made["host_platform"]["virtual_packages"] == []
    assert made["variant"]["target_platform"] == "linux-64"
    assert "timestamp" not in info(package, "index.json")
    for record in rendered["finalized_dependencies"]["host"]["resolved"]:
        assert record["url"] == f"file:///local/linux-64/{record['fn']}" and len(record["sha256"]) == 64


def test_dependencies_have_one_order(package: Path) -> None:
    assert info(package, "index.json")["depends"] == ["zz", "aa", "one >=1", "three >=1", "two >=1"]
    rendered = info(package, "recipe/rendered_recipe.yaml")["finalized_dependencies"]
    assert [record["name"] for record in rendered["host"]["resolved"]] == ["one", "three", "two"]
    assert [item.get("spec", item.get("source")) for item in rendered["run"]["depends"]] == [
        "zz", "aa", "one >=1", "three >=1", "two >=1"
    ]  # fmt: skip


def test_the_placeholder_is_the_same_everywhere(package: Path) -> None:
    entries = {entry["_path"]: entry for entry in info(package, "paths.json")["paths"]}
    with conda.opened(package) as parts:
        for name, mode in (("bin/sample", "text"), ("share/binary", "binary")):
            entry, content = entries[name], parts[FILES].read(name)
            assert entry["file_mode"] == mode and entry["prefix_placeholder"].encode() in content
            assert entry["prefix_placeholder"].startswith("/opt/tt-conda/host_env_placehold")
            assert len(entry["prefix_placeholder"]) == 255
            assert entry["sha256"] == _sha256(content) and entry["size_in_bytes"] == len(content)
        assert parts[FILES].entries["bin/sample"].mode == 0o755
        assert parts[FILES].entries["share/link"].linkname == "data"


def test_the_record_is_true_where_it_is_installed(package: Path) -> None:
    home = "lib/python3.12/site-packages/sample-1.0.dist-info"
    with conda.opened(package) as parts:
        assert f"{home}/direct_url.json" not in parts[FILES].entries
        assert parts[FILES].read(f"{home}/RECORD").decode().splitlines() == [
            "../../../bin/sample,,",
            "../../../share/data,sha256=93EnUemTuZchN-je0yB9mdh0fgQZmRgoUSJXFO4AcOI,9",  # not of what pip once saw
            "../../../share/link,,",
            "sample-1.0.dist-info/RECORD,,",
        ]  # fmt: skip
    assert f"{home}/direct_url.json" not in {entry["_path"] for entry in info(package, "paths.json")["paths"]}


def test_the_record_names_the_commands_that_are_made_when_it_is_installed(
    project: Path, others: Path, tmp_path: Path
) -> None:
    """And of ``noarch: python`` packages no other file that is not there."""
    (project / "recipes/sample/recipe.yaml").write_text(NOARCH)
    assert len(build(project=project, channels=lambda: [others]).built) == 1
    (package,) = (project / "output/noarch").glob("*.conda")
    with conda.opened(package, [FILES]) as parts:
        (record,) = (name for name in parts[FILES].entries if name.endswith("/RECORD"))
        assert parts[FILES].read(record).decode().splitlines() == [
            "../../../bin/sample,,",
            "sample-1.0.dist-info/RECORD,,",
            "sample.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0",
        ]


def test_the_recipe_inside_is_whole(package: Path) -> None:
    with conda.opened(package) as parts:
        assert parts[INFO].entries["info/recipe/data"].isfile()
        assert parts[INFO].read("info/recipe/data") == b"the data\n"


def test_others_can_read_it(package: Path, tmp_path: Path) -> None:
    there = Package.from_file(package)
    assert (there.name, there.version) == ("sample", "1.0")
    index.validate(package.parent.parent)


@pytest.mark.parametrize("said", ["the script", "the bill of materials"])
def test_the_date_is_that_of_the_sources(project: Path, others: Path, said: str) -> None:
    recipe = project / "recipes/sample/recipe.yaml"
    if said == "the script":
        head, script, rest = re.split(r"  script:\n|(?=requirements:)", RECIPE)
        env = '  script:\n    env: {SOURCE_DATE_EPOCH: "1700000000"}\n    content:\n'
        recipe.write_text(head + env + textwrap.indent(script, "  ") + rest)
        expected = 1700000000
    else:
        bom = '{"metadata": {"timestamp": "2023-11-14T22:13:21Z"}}'
        recipe.write_text(RECIPE.replace("    - |\n", f"    - |\n      mkdir $PREFIX/share/sbom; echo '{bom}' >"
                                                      " $PREFIX/share/sbom/sample.cdx.json\n"))  # fmt: skip
        expected = 1700000001
    package = _built(project, others)
    assert info(package, "index.json")["timestamp"] == expected * 1000
    with conda.opened(package) as parts:
        assert {entry.mtime for part in parts.values() for entry in part.entries.values()} == {expected}


def test_yaml_is_read_as_rattler_build_writes_it() -> None:
    text = "a: 1_0\nb: 12:30\nc: on\nd: 2026-11-21\ne: 007\nf: true\ng: null\nh: 1.5\ni:\nj: 0x1f\nk: 010\nl: 09\n"
    assert load_rendered(text) == {"a": "1_0", "b": "12:30", "c": "on", "d": "2026-11-21", "e": 7, "f": True,
                                   "g": None, "h": 1.5, "i": None, "j": "0x1f", "k": 10, "l": 9}  # fmt: skip


def test_text_that_looks_like_a_number_stays_text() -> None:
    """A package's hash can be ``12e4567``; what YAML 1.1 takes for text, 1.2 need not."""
    content = {"hash": "12e4567", "zero": "0899999", "eleven": "1e1", "old": "1_0", "on": "on", "number": 1.5, "n": 7}
    assert load_rendered(dump_rendered(content)) == content


# --- built twice ---


def test_built_twice_elsewhere_and_later_it_is_the_same(
    package: Path, project: Path, others: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "another-folder" / "with-a-longer-name" / "project"
    shutil.move(project, elsewhere)
    shutil.move(others, tmp_path / "moved")
    for file in (elsewhere / "recipes").rglob("*"):
        os.utime(file, (1, 1), follow_symlinks=False)
    time.sleep(max(0, package.stat().st_mtime + 1.1 - time.time()))  # dates in packages have seconds
    again = _built(elsewhere, tmp_path / "moved")
    assert differences(package, again) == []
    assert digests(package) == digests(again)


def test_verify(package: Path, project: Path, others: Path) -> None:
    (verdict,) = verify([package], [others], project=project, foreign=True)
    assert verdict.same and not verdict.differences


def test_verify_takes_the_packages_that_it_was_built_with(
    package: Path, project: Path, others: Path, make: Make
) -> None:
    """A newer one in the channel changes nothing, and never takes the place of the old one where that is gone."""
    index.publish([make("two", "1.1")], others)
    (verdict,) = verify([package], [others], project=project, foreign=True)
    assert verdict.same
    index.remove([others / "linux-64/two-1.0-0.conda"], others)
    with pytest.raises(TtCondaError, match=r"built with two-1\.0-0\.conda .*which no channel here has") as error:
        verify([package], [others], project=project, foreign=True)
    assert "--channel" in error.value.way_out


def test_a_foreign_package_is_built_again_only_if_asked_for(
    package: Path, project: Path, others: Path, tmp_path: Path
) -> None:
    """A link to it is no way round, nor is a folder of the same name."""
    elsewhere = tmp_path / "elsewhere/output/noarch" / package.name
    elsewhere.parent.mkdir(parents=True)
    elsewhere.write_bytes(package.read_bytes())
    link = project / "output" / package.parent.name / f"link-{package.name}"
    link.parent.mkdir(parents=True)
    link.symlink_to(elsewhere)
    for file in (elsewhere, link):
        with pytest.raises(TtCondaError, match="building it again runs code") as error:
            verify([file], [others], project=project)
        assert "--foreign" in error.value.way_out
    (verdict,) = verify([elsewhere], [others], project=project, foreign=True)
    assert verdict.same


def test_verify_fetches_from_the_channel_that_it_was_built_with(
    project: Path, others: Path, tmp_path: Path, make: Make
) -> None:
    """Each once; however that describes them: its index may say more of them than they do, and correct it."""
    for file in others.glob("*/repodata.json*"):
        if file.suffix != ".json":
            file.unlink()
            continue
        repodata = json.loads(file.read_text())
        for record in repodata["packages.conda"].values():
            record |= {"platform": "linux", "arch": "x86_64", "features": "x", "timestamp": 1, "constrains": ["y <2"]}
        file.write_text(json.dumps(repodata))
    asked: list[str] = []
    with _served(others, asked) as url:
        package = _built(project, url)
        assert info(package, "recipe/rendered_recipe.yaml")["build_configuration"]["channels"] == ["file:///local", url]
        asked.clear()
        with pytest.raises(TtCondaError, match="which no channel here has"):  # the package's word for it is not enough
            verify([package], [project / "output"], project=project)
        assert asked == []
        verdicts = verify([package, package], [project / "output", url], project=project, keep=tmp_path / "kept")
    for verdict in verdicts:
        assert verdict.same, verdict.differences
    assert digests(tmp_path / "kept/linux-64/sample-1.0-0.conda") == digests(package)
    names = [Path(path).name for path in asked]
    assert sorted(names) == ["one-1.0-0.conda", "three-1.0-0.conda", "two-1.0-0.conda"]


def test_what_is_carved_is_the_same_whatever_it_is_carved_beside(
    project: Path, others: Path, tmp_path: Path, make: Make
) -> None:
    """And wherever that comes from."""
    recipe = project / "recipes/sample/recipe.yaml"
    ignoring = "requirements:\n  build: [tt-conda]\n  ignore_run_exports: {from_package: [one, two, three]}"
    recipe.write_text(RECIPE.replace("requirements:", ignoring))
    index.publish([make("tt-conda")], others)
    first = _built(project, others)
    rendered = info(first, "recipe/rendered_recipe.yaml")
    assert [rendered["finalized_dependencies"][part]["resolved"] for part in ("build", "host")] == [[], []]
    assert rendered["build_configuration"]["channels"] == [] == info(first, "about.json")["channels"]
    newer = [make("one", "2.0"), make("two", "1.0", build="other_7", build_number=7), make("tt-conda", "2.0")]
    index.publish([*newer, *others.glob("*/three-*.conda")], tmp_path / "newer")
    with _served(tmp_path / "newer", []) as url:
        (verdict,) = verify([first], [url], project=project, foreign=True)
        log = (project / "output/.logs/sample-1.0-0.again.log").read_text()
        assert verdict.same, verdict.differences
        assert "other_7" in log, "that is what it was built beside"


def test_verify_says_what_differs(package: Path, project: Path, others: Path) -> None:
    (project / "recipes/data").write_text("other data\n")
    (verdict,) = verify([package], [others], project=project, foreign=True)
    assert not verdict.same
    assert [item for item in verdict.differences if item.path == "share/data"] == [
        Difference("share/data", "@@ -1 +1 @@"), Difference("share/data", "-the data"),
        Difference("share/data", "+other data"),
    ]  # fmt: skip
    others_said = [item for item in verdict.differences if item.path not in ("share/data", "info/recipe/data")]
    links = [item for item in others_said if item.what.startswith("paths.[share/link].")]
    assert links, "a link has its file's hash"
    assert {PurePosixPath(item.path).name for item in others_said if item not in links} == {"RECORD"}


def test_a_package_that_the_recipes_do_not_give(package: Path, project: Path, others: Path) -> None:
    recipe = project / "recipes/sample/recipe.yaml"
    recipe.write_text(RECIPE.replace('"1.0"', '"2.0"'))
    with pytest.raises(TtCondaError, match=r"do not give this package: they give sample-2\.0-0") as error:
        verify([package], [others], project=project, foreign=True)
    assert "TT_CONDA_PROJECT" in error.value.way_out
    with pytest.raises(TtCondaError, match="cannot be read"):
        verify([project / "variants.yaml"], [others], project=project, foreign=True)
    with pytest.raises(TtCondaError, match=r"cannot be read: .*File is not a zip file"):
        shutil.copy(project / "variants.yaml", project / "x-1-0.conda")
        verify([project / "x-1-0.conda"], [others], project=project, foreign=True)


def test_a_package_that_does_not_say_how_it_was_built(
    project: Path, others: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of conda-build do not."""
    (foreign,) = index.publish([make("foreign")], project / "output")
    with pytest.raises(TtCondaError, match=r"foreign-1\.0-0\.conda does not say how it was built") as error:
        verify([foreign], [others], project=project)
    assert error.value.way_out
    monkeypatch.setenv("TT_CONDA_PROJECT", str(project))
    assert (named([]), named(["foreign"])) == ([], [foreign]), "left out unless it is named"


def test_a_package_that_does_not_say_what_it_was_built_with(
    package: Path, project: Path, others: Path, tmp_path: Path
) -> None:
    """As this project's own once did not name the tt-conda that had carved them."""

    def change(name: str, content: bytes) -> bytes:
        if name != RENDERED:
            return content
        rendered = load_rendered(content)
        del rendered["finalized_dependencies"]["host"]["resolved"][1]["sha256"]
        return dump_rendered(rendered)

    older = rewritten(package, tmp_path / "older" / "x", change)
    with pytest.raises(TtCondaError, match=r"was built with three-1\.0-0\.conda and does not say which") as error:
        verify([older], [others], project=project, foreign=True)
    assert error.value.way_out.endswith("tt-conda build sample")


def test_names_of_packages(package: Path, first: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TT_CONDA_PROJECT", str(first / "project"))
    assert named(["sample"]) == named([]) == [package]
    assert named([str(package)]) == [package]
    with pytest.raises(TtCondaError, match="there is no package nothing"):
        named(["nothing"])


@pytest.mark.parametrize("when", [1, 3], ids=["reading", "writing"])
def test_a_full_disk_of_temporary_files_is_named(
    package: Path, tmp_path: Path, when: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is full from the ``when``-th temporary file on: two are for reading, the third for writing."""
    (tmp_path / "temporary").mkdir()
    target = Path(shutil.copy(package, tmp_path))
    before, opened = target.read_bytes(), []

    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    def temporary() -> io.BytesIO:
        opened.append(1)
        return Full() if len(opened) == when else io.BytesIO()

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "TemporaryFile", temporary)
    free = {tmp_path / "temporary": 0}
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free.get(folder, 10**9)))
    with pytest.raises(TtCondaError, match=f"The disk is full: {tmp_path}/temporary has 0.0 MB left"):
        make_reproducible(target, tmp_path, 1)
    assert target.read_bytes() == before and not list(tmp_path.glob("*.partial"))


# --- what differs ---


def rewritten(package: Path, target: Path, change: Callable[[str, bytes], bytes | None], level: int = 9) -> Path:
    """A package with other contents of its files; None leaves one out."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target = target.parent / package.name
    with conda.opened(package) as parts:
        entries = {
            kind: [conda.Entry(name, item.mode, content, link=item.linkname)
                   for name, item in part.entries.items()
                   if (content := change(name, b"" if item.issym() else part.read(name))) is not None]
            for kind, part in parts.items()
        }  # fmt: skip
        conda.write(target, entries, 0, level)
    return target


def test_differences_are_told_field_by_field(package: Path, tmp_path: Path) -> None:
    def change(name: str, content: bytes) -> bytes | None:
        if name == "info/index.json":
            return json.dumps({**json.loads(content), "license": "MIT", "depends": ["zz"]}).encode()
        if name == "share/binary":
            return content[:-1] + b"z"
        return None if name == "bin/sample" else content

    found = differences(package, rewritten(package, tmp_path / "other" / "x", change))
    size = next(e for e in info(package, "paths.json")["paths"] if e["_path"] == "share/binary")["size_in_bytes"]
    assert [(item.path, item.what) for item in found] == [
        ("bin/sample", "only in the first"),
        ("share/binary", f"{size} bytes, the first that differs at {size - 1}"),
        ("info/index.json", "depends: - aa"),
        ("info/index.json", "depends: - one >=1"),
        ("info/index.json", "depends: - three >=1"),
        ("info/index.json", "depends: - two >=1"),
        ("info/index.json", "license: not there → MIT"),
    ]


def test_the_sections_of_a_library_that_differ(package: Path, tmp_path: Path, compile_library: Make) -> None:
    one = compile_library("liba.so", 'const char text[] = "one"; int a(void) { return 1; }').read_bytes()
    two = compile_library("libb.so", 'const char text[] = "two"; int a(void) { return 1; }').read_bytes()
    first = rewritten(package, tmp_path / "1" / "x", lambda name, content: one if name == "share/binary" else content)
    second = rewritten(package, tmp_path / "2" / "x", lambda name, content: two if name == "share/binary" else content)
    found = [item.what for item in differences(first, second) if item.path == "share/binary"]
    assert any(line.startswith("section .rodata: ") for line in found), found


def test_the_same_contents_packed_otherwise(package: Path, tmp_path: Path) -> None:
    other = rewritten(package, tmp_path / "other" / "x", lambda _, content: content, level=1)
    found = differences(package, other)
    assert found and all(item.path == "" and "compressed otherwise" in item.what for item in found)


@contextmanager
def _served(folder: Path, asked: list[str]) -> Iterator[str]:
    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def do_GET(self) -> None:
            asked.append(self.path)
            super().do_GET()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
