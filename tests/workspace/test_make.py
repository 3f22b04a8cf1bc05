"""Environments of a workspace: solved or locked, made, entered, made again."""

from __future__ import annotations

import fcntl
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tt_conda import cli
from tt_conda.base.errors import TtCondaError
from tt_conda.channel import index
from tt_conda.environment import lockfile, shell
from tt_conda.environment import prefix as prefixes
from tt_conda.workspace import checkouts, make
from tt_conda.workspace import manifest as manifests

Make = Callable[..., Path]


class Done(NamedTuple):
    """A command that has ended."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Done]


def held(prefix: Path) -> set[str]:
    return {path.stem for path in prefix.glob("conda-meta/*.json")}


def contents(prefix: Path) -> dict[str, bytes]:
    files = [path for path in prefix.rglob("*") if path.is_file() and "conda-meta" not in path.parts]
    return {str(path.relative_to(prefix)): path.read_bytes() for path in files}


@pytest.fixture
def run(
    manifest: Path, channel: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """``tt-conda`` in the workspace, on the tiny channel; in this process, as starting another takes long."""
    for name in ("TT_CONDA_PROJECT", "TT_CONDA_EXTRA_CHANNEL", "CONDA_PREFIX", "COLOUR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TT_CONDA_CHANNELS", str(channel))
    monkeypatch.chdir(manifest.parent)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def call(*words: str | Path, **more: str) -> Done:
        for name, value in more.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["tt-conda", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        said = capfd.readouterr()
        return Done(int(stop.value.code or 0), said.out, said.err)

    yield call
    for number, handler in handlers.items():
        signal.signal(number, handler)


# --- made, and made again ---


def test_constraints_hold_for_what_comes_with_others(manifest: Path, channel: Path, tmp_path: Path) -> None:
    workspace = manifests.read(manifest)
    make.make(workspace.environment("default"), tmp_path / "new", [channel])
    make.make(workspace.environment("old"), tmp_path / "old", [channel])
    assert held(tmp_path / "new") == {"tool-1.0-0", "lib-2.0-0"}
    assert held(tmp_path / "old") == {"tool-1.0-0", "lib-1.0-0"}


def test_a_changed_manifest_changes_the_environment(manifest: Path, channel: Path, tmp_path: Path) -> None:
    prefix = tmp_path / "env"
    make.make(manifests.read(manifest).environment("default"), prefix, [channel])
    assert (prefix / "etc/conda/env_vars.d/workspace.json").is_file()
    text = manifest.read_text().replace('tool = ">=1"', 'lib = "1.*"').replace('COLOUR = "red"', "")
    manifest.write_text(text)
    make.make(manifests.read(manifest).environment("default"), prefix, [channel])
    assert held(prefix) == {"lib-1.0-0"}
    assert not (prefix / "etc/conda/env_vars.d/workspace.json").exists()


def test_what_is_not_built_yet_is_named_with_its_command(
    manifest: Path, channel: Path, tmp_path: Path, make_package: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build for another standard library is not it; what is compiled has an origin of its own."""
    monkeypatch.setenv("TT_CONDA_PROJECT", str(manifest.parent))
    recipe = manifest.parent / "recipes/mine/recipe.yaml"
    recipe.parent.mkdir(parents=True)
    recipe.write_text(
        "recipe: {name: mine, version: 1.0}\noutputs:\n- package: {name: mine}\n"
        "  build: {string: '${{ cxx_stdlib }}_0', skip: [origin == 'wheel' and cxx_stdlib == 'libcxx']}\n"
    )
    (manifest.parent / "variants.yaml").write_text("cxx_stdlib: [libstdcxx, libcxx]\norigin: [wheel]\n")
    (manifest.parent / "variants.source.yaml").write_text("origin: [source]\n")
    before = manifest.read_text()
    for build, way_out in (("libstdcxx", "tt-conda build mine --cxx-stdlib libstdcxx"),
                           ("libcxx", "tt-conda build mine --origin source --cxx-stdlib libcxx")):  # fmt: skip
        manifest.write_text(before.replace('mine = "*"', f'mine = {{ version = "*", build = "{build}_*" }}'))
        with pytest.raises(TtCondaError, match="mine") as error:
            make.make(manifests.read(manifest).environment("mine"), tmp_path / "env", [channel])
        assert error.value.way_out == way_out and not (tmp_path / "env").exists()
        index.publish([make_package("mine", build=f"{build}_0")], channel)
        make.make(manifests.read(manifest).environment("mine"), tmp_path / build, [channel])


def test_two_processes_do_not_work_on_one_environment(
    manifest: Path, channel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither while it is read, where a half-written record would be swept away, nor while pip installs."""
    prefix, seen = tmp_path / "env", []

    def watched(module: object, name: str) -> None:
        real = getattr(module, name)

        def call(*args: object, **more: object) -> object:
            with (prefix / "conda-meta/.tt-conda.lock").open("w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    seen.append((name, "anybody may"))
                except BlockingIOError:
                    seen.append((name, "alone"))
            return real(*args, **more)

        monkeypatch.setattr(module, name, call)

    environment = manifests.read(manifest).environment("default")
    make.make(environment, prefix, [channel])
    watched(prefixes, "installed")
    watched(checkouts, "install")
    make.make(environment, prefix, [channel])
    assert {name for name, _ in seen} == {"installed", "install"}
    assert {how for _, how in seen} == {"alone"}, seen


# --- locked ---


@pytest.fixture
def locked(manifest: Path, channel: Path, make_package: Make) -> manifests.Workspace:
    """A lock of all environments for this machine but one; since then there is a newer ``lib``."""
    workspace = manifests.read(manifest)
    make.lock(workspace, ["default", "old"], [channel], workspace.environment("default").lock)
    index.publish([make_package("lib", "3.0")], channel)
    return workspace


def test_a_lock_that_fits_is_what_is_installed(locked: manifests.Workspace, channel: Path, tmp_path: Path) -> None:
    for mode in ("", "locked", "frozen"):
        make.make(locked.environment("default"), tmp_path / f"env{mode}", [channel], mode=mode)  # type: ignore[arg-type]
        assert held(tmp_path / f"env{mode}") == {"tool-1.0-0", "lib-2.0-0"}
    make.make(locked.environment("old"), tmp_path / "old", [channel], mode="locked")
    assert held(tmp_path / "old") == {"tool-1.0-0", "lib-1.0-0"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('tool = ">=1"', 'tool = ">=1"\nlib = ">=3"'), "does not hold 'lib >=3' for default"),
        (('tool = ">=1"', 'tool = ">=1"\nfurther = "*"'), r"does not hold 'further( \*)?' for default"),
        (("[dependencies]", '[constraints]\nlib = ">=3"\n[dependencies]'), "does not hold 'lib >=3' for default"),
    ],
)
def test_a_lock_that_is_older_than_the_manifest(
    locked: manifests.Workspace, channel: Path, tmp_path: Path, make_package: Make, change: tuple[str, str], said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    index.publish([make_package("further")], channel)
    locked.file.write_text(locked.file.read_text().replace(*change))
    environment = manifests.read(locked.file).environment("default")
    with pytest.raises(TtCondaError, match=said) as error:
        make.make(environment, tmp_path / "env", [channel], mode="locked")
    assert error.value.way_out == "tt-conda lock" and not (tmp_path / "env").exists()
    make.make(environment, tmp_path / "frozen", [channel], mode="frozen")
    assert held(tmp_path / "frozen") == {"tool-1.0-0", "lib-2.0-0"}
    make.make(environment, tmp_path / "env", [channel])
    assert "solved anew" in capsys.readouterr().err
    assert "lib-3.0-0" in held(tmp_path / "env")


def test_a_package_that_was_built_again_is_another(
    locked: manifests.Workspace, channel: Path, tmp_path: Path, make_package: Make
) -> None:
    index.publish([make_package("lib", "2.0", **{"share/lib": "rebuilt"})], channel)
    environment = locked.environment("default")
    for mode, said in (("locked", "another lib-2.0-0.conda than there is now"), ("frozen", "is another file")):
        with pytest.raises(TtCondaError, match=said):
            make.make(environment, tmp_path / "env", [channel], mode=mode)  # type: ignore[arg-type]
    make.make(environment, tmp_path / "env", [channel])
    assert held(tmp_path / "env") == {"tool-1.0-0", "lib-3.0-0"}


def test_without_a_lock(manifest: Path, channel: Path, tmp_path: Path) -> None:
    for mode in ("locked", "frozen"):
        with pytest.raises(TtCondaError, match="There is no lock file"):
            make.make(manifests.read(manifest).environment("default"), tmp_path / "env", [channel], mode=mode)  # type: ignore[arg-type]


def test_locking_one_environment_leaves_the_others_as_they_are(locked: manifests.Workspace, channel: Path) -> None:
    file = locked.environment("default").lock
    assert lockfile.names(file) == ["default", "old"] and lockfile.locked_specs(file, "old") == ["tool >=1"]
    make.lock(locked, ["old"], [channel], file)
    assert {r.file_name for r in lockfile.read_lock(file, [], "default")} == {"tool-1.0-0.conda", "lib-2.0-0.conda"}
    make.lock(locked, ["default"], [channel], file)
    assert {r.file_name for r in lockfile.read_lock(file, [], "default")} == {"tool-1.0-0.conda", "lib-3.0-0.conda"}
    before = file.read_text()
    with pytest.raises(TtCondaError, match="mine"):
        make.lock(locked, [], [channel], file)
    assert file.read_text() == before
    with pytest.raises(TtCondaError, match="has no environment 'mine'"):
        lockfile.read_lock(file, [], "mine")


def test_a_second_machine_gets_the_same_bytes(
    locked: manifests.Workspace, channel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another folder, another cache, another place of the channel; the environment's folder is named alike."""
    for machine in ("one", "two"):
        place = tmp_path / machine
        shutil.copytree(locked.file.parent, place / "project")
        shutil.copytree(channel, place / "packages")
        monkeypatch.setenv("TT_CONDA_CACHE", str(place / "cache"))
        environment = manifests.read(place / "project/pixi.toml").environment("default")
        make.make(environment, environment.prefix, [place / "packages"], mode="frozen")
    one, two = (tmp_path / machine / "project/.tt-conda/envs/default" for machine in ("one", "two"))
    assert held(one) == held(two) and contents(one) == contents(two) and len(contents(one)) > 2


# --- from the command line ---


def test_a_command_in_an_environment(run: Run, manifest: Path) -> None:
    done = run("shell", "old", "--", "sh", "-c", 'echo "$COLOUR $CONDA_DEFAULT_ENV $TT_CONDA_CHANNELS"; exit 7')
    assert done.returncode == 7 and done.stdout.split()[:2] == ["grey", "old"]
    assert done.stdout.split()[2] != "conda-forge", "tt-conda's own variables are those it was started with"
    done = run("shell", "old", "--command", 'cat "$CONDA_PREFIX/share/lib"')
    assert (done.returncode, done.stdout, done.stderr) == (0, "lib 1.0\n", ""), "there was nothing to do"
    assert held(manifest.parent / ".tt-conda/envs/old") == {"tool-1.0-0", "lib-1.0-0"}
    done = run("shell", "old", SHELL="/bin/false")
    assert done.returncode == 1
    done = run("shell", "--prefix", manifest.parent / ".tt-conda/envs/old", "--command", "echo $COLOUR $0")
    assert done.stdout == "grey bash\n"


def test_locking_from_the_command_line(run: Run, manifest: Path) -> None:
    done = run("lock", "-e", "default", "-e", "old")
    file = manifest.parent / "tt-conda.lock"
    assert done.stdout.splitlines() == [f"{file}: default: 2 packages", f"{file}: old: 2 packages"], done.stderr
    done = run("install", "--frozen", file, "-e", "old", "--prefix", "env")
    assert done.stdout == "env: 2 packages\n" and held(manifest.parent / "env") == {"tool-1.0-0", "lib-1.0-0"}
    done = run("shell", "default", "--locked", "--", "true")
    assert done.returncode == 0


def test_packages_do_not_take_the_place_of_a_workspace_s_environments(run: Run, manifest: Path) -> None:
    run("lock", "-e", "default", "-e", "old")
    file = manifest.parent / "tt-conda.lock"
    before = file.read_bytes()
    for words in ((), ("-o", "tt-conda.lock"), ("-o", file)):
        done = run("lock", "lib", *words)
        assert done.returncode == 2 and "--output" in done.stderr and "pixi.toml" in done.stderr
    assert file.read_bytes() == before
    assert run("lock", "lib", "-o", "lib.lock").returncode == 0
    file.write_bytes(before[: len(before) // 2])
    done = run("shell", "old", "--locked", "--", "true")
    assert done.returncode == 2 and "tt-conda lock" in done.stderr and "SPEC" not in done.stderr, done.stderr
    assert "--output" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["shell"], "Name one of default, old, mine, elsewhere"),
        (["shell", "nonsense"], "has no environment 'nonsense'"),
        (["shell", "mine"], "mine"),
        (["shell", "elsewhere"], "this machine is linux-64"),
        (["shell", "default", "--locked"], "There is no lock file"),
        (["shell", "default", "--locked", "--frozen"], "exclude each other"),
        (["shell", "--prefix", "env", "--frozen"], "for an environment of pixi.toml"),
        (["shell", "default", "--editable", "nowhere"], "no Python project"),
        (["shell", "default", "--manifest", "nowhere.toml"], "nowhere.toml"),
        (["lock", "--environment", "nonsense"], "has no environment 'nonsense'"),
        (["lock"], "mine"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_explained(run: Run, manifest: Path, words: list[str], said: str) -> None:
    done = run(*words)
    assert (done.returncode, done.stdout) == (2, "") and re.search(said, done.stderr), done.stderr
    assert "Traceback" not in done.stderr
    assert not (manifest.parent / ".tt-conda").exists() and not (manifest.parent / "tt-conda.lock").exists()


def test_activation_runs_the_scripts_of_a_workspace(manifest: Path, channel: Path, tmp_path: Path) -> None:
    """They come after the packages' own; what is taken out of the manifest is taken out of the environment."""
    script = manifest.with_name("activate.sh")
    script.write_text("export SEEN=yes\n")
    script.with_name("deactivate.sh").write_text("unset SEEN\n")
    text = manifest.read_text()
    _give_script(manifest, "activate.sh")
    prefix = tmp_path / "env"
    make.make(manifests.read(manifest).environment("default"), prefix, [channel])
    placed = [f"etc/conda/{kind}.d/workspace-0-{kind}.sh" for kind in ("activate", "deactivate")]
    assert [(prefix / place).read_text() for place in placed] == ["export SEEN=yes\n", "unset SEEN\n"]
    assert shell.run(prefix, ["bash", "-c", 'test "$SEEN" = yes']) == 0
    manifest.write_text(text)
    make.make(manifests.read(manifest).environment("default"), prefix, [channel])
    assert not any((prefix / place).exists() for place in placed)


def test_a_script_that_is_missing_is_named(manifest: Path, channel: Path, tmp_path: Path) -> None:
    _give_script(manifest, "nowhere.sh")
    with pytest.raises(TtCondaError, match=r"activation script .*nowhere\.sh cannot be read"):
        make.make(manifests.read(manifest).environment("default"), tmp_path / "env", [channel])


def _give_script(manifest: Path, name: str) -> None:
    table = f'[activation]\nscripts = ["{name}"]\n[activation.env]'
    manifest.write_text(manifest.read_text().replace("[activation.env]", table, 1))
