"""Building: order, what is up to date, failures, and being killed at any moment. The projects are tiny."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from stopping import hears_ctrl_c, listens, stopped, wait_until
from tt_conda.base import settings
from tt_conda.base.errors import TtCondaError
from tt_conda.building.build import INTERNAL, Built, build
from tt_conda.channel import index
from tt_conda.channel.publish import publish
from tt_conda.formats import conda

Recipe = Callable[..., Path]
Build = Callable[..., Built]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "recipes").mkdir(parents=True)
    (folder / "variants.yaml").write_text('python: ["3.10", "3.12"]\n')
    index.publish([], tmp_path / "others")
    return folder


@pytest.fixture
def recipe(project: Path) -> Recipe:
    """Write a recipe whose package holds ``share/NAME``, a copy of a file beside the recipe."""

    def write(name: str, *, host: Sequence[str] = (), run: Sequence[str] = (), script: Sequence[str] = (),
              tests: str = "", python: bool = False, content: str = "x", internal: bool = False) -> Path:  # fmt: skip
        folder = project / "recipes" / name
        folder.mkdir(exist_ok=True)
        (folder / "content").write_text(content)
        lines = [f"mkdir -p $PREFIX/share; cp $RECIPE_DIR/content $PREFIX/share/{name}", *script]
        (folder / "recipe.yaml").write_text(
            json.dumps({
                "package": {"name": name, "version": "1.0"},
                "build": {
                    "number": 0, **({} if python else {"noarch": "generic"}),
                    "string": "py${{ python | version_to_buildstring }}_0" if python else "0",
                    "script": lines,
                },
                "requirements": {"host": list(host), "run": list(run)},
                "tests": [{"package_contents": {"files": [f"share/{name}"]}}, *json.loads(tests or "[]")],
                "extra": {"internal": [name] if internal else []},
            })
        )  # fmt: skip
        return folder

    return write


@pytest.fixture
def run(project: Path, tmp_path: Path) -> Build:
    def call(*packages: str, **more: object) -> Built:
        return build(packages, channels=lambda: [tmp_path / "others"], project=project, **more)  # type: ignore[arg-type]

    return call


def names(stems: Sequence[str]) -> list[str]:
    return [stem.split("-")[0] for stem in stems]


def published(project: Path) -> set[str]:
    index.validate(project / "output")
    tables = [json.loads(p.read_text()) for p in (project / "output").glob("*/repodata.json")]
    return {record["name"] for table in tables for record in table["packages.conda"].values()}


def leftovers(project: Path) -> list[str]:
    """Everything in the visible part of the channel that is no package and no index."""
    return [
        str(path)
        for path in (project / "output").glob("[a-z]*/*")
        if not re.fullmatch(
            r"repodata\.json(\.zst)?|repodata_shards\.msgpack\.zst|shards|run_exports\.json|index\.html"
            r"|\.tt-conda-index\.json|[\w.-]+\.conda",
            path.name,
        )
    ]


# --- order, and what is up to date ---


def test_what_is_required_comes_first(project: Path, recipe: Recipe, run: Build) -> None:
    recipe("a", host=["b", "c"], script=["cat $PREFIX/share/b $PREFIX/share/c"])
    recipe("b", host=["c"])
    recipe("c")
    recipe("d", run=["a"])
    result = run(jobs=2)
    assert names(result.built) == ["c", "b", "a", "d"]
    assert result.current == [] and result.untested == {} and result.left_out == []
    assert published(project) == {"a", "b", "c", "d"}
    assert not list((project / "output/.work").iterdir()) and not leftovers(project)


def test_what_is_internal_is_built_with_and_not_in_the_channel(
    project: Path, recipe: Recipe, run: Build, tmp_path: Path
) -> None:
    """So that nothing that is published, installed or audited from the channel sees it."""
    recipe("a", host=["b"], script=["cp $PREFIX/share/b $PREFIX/share/of-b"])
    recipe("b", host=["c"], content="first", internal=True)
    recipe("c")
    looked_at: list[str] = []
    result = run(check=lambda package, *_: looked_at.append(package.name) or ())
    assert names(result.built) == ["c", "b", "a"] and names(looked_at) == ["c", "a"]
    assert published(project) == {"a", "c"}
    publish(str(tmp_path / "public"), project / "output")
    assert {path.name for path in (tmp_path / "public").rglob("*.conda")} == {"a-1.0-0.conda", "c-1.0-0.conda"}
    internal = project / "output" / INTERNAL
    assert [path.name for path in internal.rglob("*.conda")] == ["b-1.0-0.conda"]
    assert names(run().current) == ["c", "b", "a"]
    (internal / "noarch/b-1.0-0.conda").write_bytes(b"damaged")
    assert names(run().reused) == ["b"]
    recipe("b", host=["c"], content="second", internal=True)
    assert names(run().built) == ["b", "a"]
    recipe("b", host=["c"], content="third")  # no longer
    assert names(run().built) == ["b", "a"]
    assert published(project) == {"a", "b", "c"} and not list(internal.rglob("*.conda"))
    assert names(run().current) == ["c", "b", "a"]


def test_nothing_is_built_twice(project: Path, recipe: Recipe, run: Build) -> None:
    recipe("a", host=["b"])
    recipe("b")
    run()
    before = {path: path.stat().st_mtime_ns for path in (project / "output").rglob("*.*") if path.is_file()}
    result = run()
    assert result.built == [] and names(result.current) == ["b", "a"]
    after = {path: path.stat().st_mtime_ns for path in (project / "output").rglob("*.*") if path.is_file()}
    assert after == before


@pytest.mark.parametrize("changed", ["recipe", "input", "new file"])
def test_a_change_is_built_with_what_depends_on_it(
    project: Path, recipe: Recipe, run: Build, changed: str
) -> None:  # fmt: skip
    recipe("a", host=["b"], script=["cat $PREFIX/share/b >> $PREFIX/share/a"])
    folder = recipe("b")
    recipe("c")
    run()
    if changed == "recipe":
        recipe("b", script=["echo more >> $PREFIX/share/b"])
    elif changed == "input":
        (folder / "content").write_text("y")
    else:
        (folder / "another").write_text("")
    result = run()
    assert names(result.built) == ["b", "a"] and names(result.current) == ["c"]
    assert published(project) == {"a", "b", "c"}


def test_what_older_recipes_gave_is_not_built_against(project: Path, recipe: Recipe, run: Build) -> None:
    """It stays in the channel until all is built, and the solver could take it."""
    recipe("lib", content="old")
    run()
    old = project / "output/noarch/lib-1.0-0.conda"
    folder = recipe("lib", content="new")
    text = json.loads((folder / "recipe.yaml").read_text())
    text["build"]["string"] = "another"  # sorts before "0"; all else is equal
    (folder / "recipe.yaml").write_text(json.dumps(text))
    recipe("user", host=["lib"], script=["cat $PREFIX/share/lib > $PREFIX/share/user-of-lib"])
    result = run("user")
    assert names(result.built) == ["lib", "user"] and old.is_file()
    with conda.opened(project / "output/noarch/user-1.0-0.conda") as parts:
        assert parts[conda.FILES].read("share/user-of-lib") == b"new"


def test_a_package_that_was_lost_or_damaged_is_there_again(project: Path, recipe: Recipe, run: Build) -> None:
    for name in "abc":
        recipe(name)
    run()
    (project / "output/noarch/a-1.0-0.conda").unlink()
    (project / "output/noarch/b-1.0-0.conda").write_bytes(b"PK")
    assert sorted(names(run().reused)) == ["a", "b"]
    assert published(project) == {"a", "b", "c"}


def test_a_new_checkout_takes_what_was_built_before(project: Path, recipe: Recipe, run: Build) -> None:
    for name in "ab":
        recipe(name)
    first = run()
    before = {p.name: p.read_bytes() for p in (project / "output/noarch").glob("*.conda")}
    shutil.rmtree(project / "output")
    again = run()
    assert (names(again.built), sorted(names(again.reused))) == ([], sorted(names(first.built)))
    assert {p.name: p.read_bytes() for p in (project / "output/noarch").glob("*.conda")} == before


def test_what_a_package_is_made_against_counts(
    project: Path, recipe: Recipe, run: Build, make: Callable[..., Path], tmp_path: Path
) -> None:
    others = tmp_path / "others"
    index.publish([make("lib", depends=["deep"]), make("deep"), make("elsewhere")], others)
    recipe("a", host=["lib"])
    recipe("b")
    assert sorted(names(run().built)) == ["a", "b"]
    index.publish([make("elsewhere", "2.0")], others)
    assert names(run().built) == []
    index.publish([make("deep", "2.0")], others)  # not named by the recipe, but in its host environment
    assert names(run().built) == ["a"]


def test_a_damaged_kept_package_is_built_again(project: Path, recipe: Recipe, run: Build) -> None:
    recipe("a")
    run()
    shutil.rmtree(project / "output")
    (kept,) = settings.cache_dir().glob("built/*/*.conda")
    kept.write_bytes(b"PK")
    assert names(run().built) == ["a"]
    assert published(project) == {"a"}


def test_only_what_was_asked_for_and_what_it_requires(project: Path, recipe: Recipe, run: Build) -> None:
    recipe("a", host=["b"])
    recipe("b")
    recipe("c")
    assert names(run("a").built) == ["b", "a"]
    assert published(project) == {"a", "b"}


def test_superseded_packages_leave_the_channel(project: Path, recipe: Recipe, run: Build) -> None:
    folder = recipe("a")
    recipe("b")
    run()
    file = folder / "recipe.yaml"
    file.write_text(file.read_text().replace('"1.0"', '"2.0"'))
    run("b")
    assert (project / "output/noarch/a-1.0-0.conda").exists()  # not everything was asked for: nothing is judged
    run()
    assert [path.name for path in sorted((project / "output/noarch").glob("*.conda"))] == [
        "a-2.0-0.conda", "b-1.0-0.conda",
    ]  # fmt: skip
    assert published(project) == {"a", "b"}
    assert {path.stem for path in (project / "output/.state").iterdir()} == {"a-2.0-0", "b-1.0-0"}


def test_two_builds_at_the_same_time(project: Path, recipe: Recipe, run: Build, tmp_path: Path) -> None:
    for name in "abc":
        recipe(name, script=["sleep 0.3"])
    children = [
        subprocess.Popen(_command(tmp_path), env=_environ(project), stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = [child.communicate()[1] for child in children]
    assert [child.returncode for child in children] == [0, 0], said
    assert sorted(re.findall(r"(\d) built, (\d) up to date", "".join(said))) == [("0", "3"), ("3", "0")]
    assert sum("Another build is at work" in text for text in said) == 1
    assert published(project) == {"a", "b", "c"}


# --- what goes wrong ---


def test_a_failing_script_is_told_with_its_last_lines(project: Path, recipe: Recipe, run: Build) -> None:
    recipe("a")
    recipe("b", run=["a"], script=["echo the reason is this >&2", "exit 3"])
    recipe("c", run=["b"])
    with pytest.raises(TtCondaError, match=r"building b-1\.0-0 failed") as error:
        run(jobs=1)
    assert "│ the reason is this" in error.value.what
    log = project / "output/.logs/b-1.0-0.log"
    assert str(log) in error.value.way_out and "the reason is this" in log.read_text()
    assert published(project) == {"a"} and not leftovers(project)
    recipe("b", run=["a"])
    result = run()
    assert names(result.current) == ["a"] and names(result.built) == ["b", "c"]


def test_a_package_that_fails_its_test_is_not_published(project: Path, recipe: Recipe, run: Build) -> None:
    recipe("a", tests='[{"package_contents": {"files": ["share/other"]}}]')
    with pytest.raises(TtCondaError, match=r"building a-1\.0-0 failed: .*content"):
        run()
    assert published(project) == set() and not leftovers(project)
    recipe("a", tests='[{"script": ["exit 5"]}]')
    with pytest.raises(TtCondaError, match=r"building a-1\.0-0 failed: a test of the package failed, its commands"):
        run()
    assert published(project) == set()


def test_a_package_that_the_check_refuses_is_not_published(project: Path, recipe: Recipe, run: Build) -> None:
    def refuse(package: Path, recipe: Path, channels: Sequence[str | Path]) -> list[str]:
        assert package.is_file() and recipe == project / "recipes" / "a"
        raise TtCondaError("refused")

    recipe("a")
    with pytest.raises(TtCondaError, match="refused"):
        run(check=refuse)
    assert published(project) == set() and not leftovers(project)
    assert run(check=lambda *_: ["TC000 odd"]).warnings == {"a-1.0-0": ["TC000 odd"]}
    assert published(project) == {"a"}


def test_a_package_whose_dependency_is_in_no_channel(
    project: Path, recipe: Recipe, run: Build, make: Callable[..., Path], tmp_path: Path
) -> None:
    tests = '[{"script": ["test -f $PREFIX/share/absent"]}]'
    recipe("a", run=["absent >=1"], tests=tests)
    for result in (run(), run()):  # said each time, built once
        assert result.untested == {"a-1.0-0": ["absent"]}
        assert published(project) == {"a"}
    assert names(result.current) == ["a"]
    index.publish([make("absent")], tmp_path / "others")
    assert run().untested == {}
    recipe("a", run=["absent >=2"], tests='[{"package_contents": {"files": ["share/other"]}}]')
    with pytest.raises(TtCondaError, match="content"):  # which needs no dependency
        run()


def test_a_host_dependency_that_is_in_no_channel_is_named(project: Path, recipe: Recipe, run: Build) -> None:
    recipe("a", host=["absent >=1"])
    with pytest.raises(TtCondaError, match=r"(?s)building a-1\.0-0 failed.*absent"):
        run()


def test_wrong_names_are_answered_with_the_right_ones(project: Path, recipe: Recipe, run: Build) -> None:
    recipe("a")
    recipe("b")
    with pytest.raises(TtCondaError, match="no recipe gives c, d") as error:
        run("a", "d", "c")
    assert "a, b" in error.value.way_out
    with pytest.raises(TtCondaError, match=r"python has no value 3\.13") as error:
        run(axes={"python": ["3.13"]})
    assert "3.10, 3.12" in error.value.way_out
    assert not (project / "output").exists()


def test_a_folder_without_recipes(tmp_path: Path) -> None:
    with pytest.raises(TtCondaError, match=f"{tmp_path}: no recipes here") as error:
        build(channels=list, project=tmp_path)
    assert "TT_CONDA_PROJECT" in error.value.way_out
    assert not list(tmp_path.glob("*/output"))


def test_a_wrong_recipe_is_named_with_its_line(project: Path, recipe: Recipe, run: Build) -> None:
    file = recipe("a") / "recipe.yaml"
    file.write_text("package:\n  name: a\n  versoin: 1.0\n")
    with pytest.raises(TtCondaError, match=r"a/recipe\.yaml.*(?s:.)*(versoin|:3)"):
        run()


def test_packages_that_require_each_other(project: Path, recipe: Recipe, run: Build) -> None:
    recipe("a", host=["b"])
    recipe("b", host=["a"])
    with pytest.raises(TtCondaError, match="circle: a, b"):
        run()


# --- Pythons that are not here ---


def test_packages_for_a_missing_python_are_left_out(project: Path, recipe: Recipe, run: Build) -> None:
    recipe("a", python=True)
    recipe("b")
    result = run(pythons=["3.10"])
    assert sorted(result.built) == ["a-1.0-py310_0", "b-1.0-0"]
    assert result.left_out == ["a-1.0-py312_0"]
    assert run(pythons=["3.10", "3.12"]).built == ["a-1.0-py312_0"]
    result = run(pythons=["3.12"])  # what was built before stays
    assert result.left_out == ["a-1.0-py310_0"] and result.built == []
    assert len(list((project / "output/linux-64").glob("a-*.conda"))) == 2


def test_nothing_but_a_missing_python_was_asked_for(recipe: Recipe, run: Build) -> None:
    recipe("a", python=True)
    with pytest.raises(TtCondaError, match=r"a cannot be built: no CPython 3\.12") as error:
        run("a", axes={"python": ["3.12"]}, pythons=["3.10"])
    assert "uv python install 3.12" in error.value.way_out


# --- stopped, killed, out of space ---


def _command(tmp_path: Path) -> list[str]:
    return [sys.executable, "-m", "tt_conda.cli", "build", "--channel", str(tmp_path / "others")]


def _environ(project: Path) -> dict[str, str]:
    return {**os.environ, "TT_CONDA_PROJECT": str(project), "TT_CONDA_CHANNELS": "embedded"}


def _processes(mark: str) -> list[str]:
    """Processes whose environment or command line has this text."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            state = (process / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if mark.encode() in text and int(process.name) != os.getpid() and state != "Z":
            found.append((process / "cmdline").read_text().replace("\0", " "))
    return found


def _gone(mark: str) -> bool:
    """Whether nothing of a build is left; what is left is given a minute to end."""
    end = time.monotonic() + 60
    while _processes(mark):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


@pytest.fixture
def chain(project: Path, recipe: Recipe) -> Callable[[str], None]:
    """``b`` is made in ``a``, and both change with each call; ``c`` stays."""
    recipe("c")

    def change(content: str) -> None:
        recipe("a", content=content)
        recipe("b", host=["a"], content=content)

    change("first")
    return change


def stops_well(project: Path, sent: signal.Signals, code: int | None, said: str) -> None:
    """The channel is valid, no worker or script survives, and whoever pressed ^C is told how to go on."""
    if sent == signal.SIGKILL:
        assert code == -signal.SIGKILL
    else:
        assert code == 128 + sent, said
        assert "stopped" in said and "the same command goes on from there" in said
        assert "Traceback" not in said
    assert _gone(str(project)), _processes(str(project))
    assert published(project) <= set("abc")
    assert not [path for path in leftovers(project) if not path.endswith(".partial")]


def goes_on(project: Path, run: Build) -> None:
    """The next run makes what is missing, and sweeps."""
    result = run()
    assert sorted(names(result.built + result.current + result.reused)) == list("abc")
    assert published(project) == set("abc")
    assert not leftovers(project) and not list((project / "output/.work").iterdir())
    assert run().built == []


BUILDING = {
    "a job is written down": r"write .*/job\.json$",
    "a worker starts": r"start .*tt_conda\.building\.worker .*/a-",
    "it has ended": r"remove .*/a-1\.0-0\.err$",
    "the index no longer has the older package": r"rename .*/output/noarch/repodata\.json$",
    "the package is in the channel": r"rename .*/output/noarch/run_exports\.json$",
    "its state is written down": r"rename .*/\.state/a-1\.0-0\.json$",
    "it is in the cache": r"rename .*/built/[0-9a-f]{64}$",
    "the work folder goes": r"remove job\.json$",
    "the next worker starts": r"start .*tt_conda\.building\.worker .*/b-",
}
"""What a build is about to do when it is stopped."""

OF_CTRL_C = ("a worker starts", "it has ended", "its state is written down", "the next worker starts")
"""Where ^C differs from a kill: workers are there to be ended, or a thread is at work on the channel."""


@pytest.mark.parametrize(
    ("sent", "moments"),
    [(signal.SIGKILL, tuple(BUILDING)), (signal.SIGINT, OF_CTRL_C), (signal.SIGTERM, OF_CTRL_C[:1])],
)
def test_stopped(
    project: Path, chain: Callable[[str], None], run: Build, tmp_path: Path,
    sent: signal.Signals, moments: Sequence[str],
) -> None:  # fmt: skip
    environ = _environ(project)
    subprocess.run(_command(tmp_path), env=environ, check=True, capture_output=True)
    for moment in moments:
        chain(moment)
        again = 2 if moment == "the package is in the channel" else 1
        done = stopped(_command(tmp_path), BUILDING[moment], sent, at=again, env=environ)
        stops_well(project, sent, done.returncode, done.stderr)
    goes_on(project, run)


@pytest.mark.nightly
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_stopped_at_random_moments(
    project: Path, chain: Callable[[str], None], run: Build, tmp_path: Path, sent: signal.Signals
) -> None:
    """In the middle of a worker's work, too."""
    environ = _environ(project)
    start = time.monotonic()
    subprocess.run(_command(tmp_path), env=environ, check=True, capture_output=True)
    whole = time.monotonic() - start
    chance, finished = random.Random(sent), 0
    for turn in range(30):
        chain(f"{turn}")
        with subprocess.Popen(
            _command(tmp_path), env=environ, stderr=subprocess.PIPE, text=True, start_new_session=True,
            preexec_fn=hears_ctrl_c,
        ) as child:  # fmt: skip
            listens(child)
            time.sleep(chance.uniform(0, whole))
            child.send_signal(sent)
            said = child.communicate(timeout=300)[1]
        if re.search(r"\d built, \d up to date", said):
            finished += 1
        else:
            stops_well(project, sent, child.returncode, said)
    assert finished < 30
    goes_on(project, run)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_what_a_script_started_ends_with_the_build(
    project: Path, recipe: Recipe, tmp_path: Path, sent: signal.Signals
) -> None:
    recipe("a", script=["sleep 600 & sleep 601"])
    with subprocess.Popen(
        _command(tmp_path), env=_environ(project), stderr=subprocess.DEVNULL, start_new_session=True,
        preexec_fn=hears_ctrl_c,
    ) as child:  # fmt: skip
        wait_until(lambda: any("sleep 601" in line for line in _processes(str(tmp_path))), child)
        child.send_signal(sent)
        child.wait(20)
    assert _gone(str(tmp_path)), _processes(str(tmp_path))


def test_a_script_that_leaves_a_process_behind_does_not_hold_the_build(
    project: Path, recipe: Recipe, run: Build, tmp_path: Path
) -> None:
    recipe("a", script=["(sleep 600 >/dev/null 2>&1 </dev/null &)"])
    assert names(run().built) == ["a"]
    assert not [line for line in _processes(str(project)) if "sleep 600" in line]


@pytest.fixture
def small_disk(project: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """``output/`` on a file system of 3 MB. Who is not root may mount one in a user namespace of their own."""
    output = project / "output"
    output.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(output)]
    if os.geteuid() != 0:
        if subprocess.run(["unshare", "-Urm", *mount], capture_output=True).returncode:
            pytest.skip("this machine lets only root mount a small disk")
        pytest_here = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
        test = f"{__file__}::{request.node.name}"
        again = subprocess.run(["unshare", "-Urm", *pytest_here, test], capture_output=True, text=True)
        assert again.returncode == 0, again.stdout
        pytest.skip("passed in a user namespace")
    subprocess.run(mount, check=True)
    yield output
    subprocess.run(["umount", "-l", output], check=True)


def test_a_full_disk(project: Path, recipe: Recipe, tmp_path: Path, small_disk: Path) -> None:
    recipe("a")
    recipe("b", run=["a"], script=["head -c 4000000 /dev/urandom > $PREFIX/share/big"])
    recipe("c", run=["b"])
    for _ in range(2):
        done = subprocess.run(_command(tmp_path), env=_environ(project), capture_output=True, text=True)
        assert done.returncode == 2, done.stderr
        assert f"the disk is full: {small_disk}" in done.stderr and "b-1.0-0" in done.stderr
        assert "Make room there" in done.stderr and "Traceback" not in done.stderr
        assert published(project) == {"a"}
    for size in (100_000, 20_000, 0):  # at whichever step room runs out
        filler = small_disk / "filler"
        free = os.statvfs(small_disk)
        filler.write_bytes(b"x" * max(0, free.f_bavail * free.f_bsize - size))
        done = subprocess.run(_command(tmp_path), env=_environ(project), capture_output=True, text=True)
        assert done.returncode == 2 and "disk is full" in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
        assert published(project) == {"a"}
        filler.unlink()
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    subprocess.run(_command(tmp_path), env=_environ(project), capture_output=True, check=True)
    assert published(project) == {"a", "b", "c"}
