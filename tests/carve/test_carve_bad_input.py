"""Wheels that are broken, hostile or incomplete, full disks and kills: a clear message, and nothing half done."""

from __future__ import annotations

import os
import random
import resource
import signal
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from handmade import DIST_INFO, NAME, make_wheel, tree
from published import PINS, RULES, published
from stopping import stopped
from tt_conda.base.errors import TtCondaError
from tt_conda.carve import Rules, carve, load_rules
from tt_conda.elf import read

Compile = Callable[..., Path]


def refused(wheel: Path, match: str, prefix: Path, **more: object) -> TtCondaError:
    """Carving fails with an explanation, and leaves nothing."""
    prefix.parent.mkdir(exist_ok=True)
    before = set(prefix.parent.rglob("*"))
    with pytest.raises(TtCondaError, match=match) as error:
        carve([wheel], prefix, Rules(), **more)  # type: ignore[arg-type]
    assert set(prefix.parent.rglob("*")) == before
    assert error.value.way_out
    return error.value


@pytest.fixture
def library(compile_library: Compile) -> bytes:
    path = compile_library("libown.so", "int own(void) { return 1; }", "-Wl,-soname,libown.so", "-Wl,-rpath,/build/lib")
    return path.read_bytes()


OWN = Rules(own=["libown.so", "libdeep.so.1"])


@pytest.mark.parametrize("cut", [0, 3, 1000, 0.3, 0.9, -100_000, -1000, -30, -22, -1])
def test_a_truncated_wheel(tmp_path: Path, cut: float) -> None:
    data = published("ttnn-0.59.0rc60-3.10").read_bytes()
    wheel = tmp_path / PINS["ttnn-0.59.0rc60-3.10"].filename
    wheel.write_bytes(data[: int(len(data) * cut) if isinstance(cut, float) else cut])
    error = refused(wheel, "not a readable wheel", tmp_path / "out" / "prefix")
    assert str(wheel) in error.what
    assert "fetch it again" in error.way_out


@pytest.mark.parametrize("member", ["pkg/libown.so", "pkg/__init__.py", f"{DIST_INFO}/entry_points.txt"])
def test_a_damaged_member(tmp_path: Path, library: bytes, member: str) -> None:
    wheel = make_wheel(tmp_path, {
        "pkg/libown.so": library, "pkg/__init__.py": "x = 1\n" * 50,
        f"{DIST_INFO}/entry_points.txt": "[console_scripts]\ntool = pkg:main\n",
    })  # fmt: skip
    with zipfile.ZipFile(wheel) as archive:
        info = archive.getinfo(member)
    data = bytearray(wheel.read_bytes())
    data[info.header_offset + 30 + len(member) + 4] ^= 0x5A
    wheel.write_bytes(data)
    for only in ((), ("bin/*",)):
        if only and member == "pkg/__init__.py":
            continue  # it is not read
        with pytest.raises(TtCondaError, match=Path(member).name) as error:
            carve([wheel], tmp_path / "prefix", OWN, only=only)
        assert wheel.name in str(error.value)
        assert not (tmp_path / "prefix").exists()


@pytest.mark.parametrize(
    "name", ["../x", "pkg/../../x", "/abs", "pkg\\..\\x", "C:/x", "pkg/a\0b", "..", "pkg/../../../../../../../../tmp/x"]
)
def test_a_member_that_escapes(tmp_path: Path, name: str) -> None:
    wheel = make_wheel(tmp_path, {"pkg/__init__.py": "", name.replace("\0", "N"): "gotcha"})
    if "\0" in name:
        wheel.write_bytes(wheel.read_bytes().replace(b"pkg/aNb", b"pkg/a\0b"))
    refused(wheel, "member .* (leads outside|has an? )", tmp_path / "out" / "prefix")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_a_member_that_is_no_file(tmp_path: Path, kind: int) -> None:
    info = zipfile.ZipInfo("pkg/link")
    info.external_attr = (kind | 0o777) << 16
    wheel = make_wheel(tmp_path, {"pkg/__init__.py": "", info: "/etc/passwd"})
    refused(wheel, "pkg/link.*symbolic link or a special file", tmp_path / "out" / "prefix")


@pytest.mark.parametrize("name", ["pkg.whl", "pkg-1.0.tar.gz", "pkg-1.0-cp310-cp310.whl", "wheel"])
def test_a_file_name_that_is_no_wheels(tmp_path: Path, name: str) -> None:
    wheel = make_wheel(tmp_path, {"pkg/__init__.py": ""}).rename(tmp_path / name)
    refused(wheel, "not a valid wheel file name", tmp_path / "out" / "prefix")


def test_files_that_are_no_wheels(tmp_path: Path) -> None:
    prefix = tmp_path / "out" / "prefix"
    refused(tmp_path / NAME, "there is no such file", prefix)
    (tmp_path / NAME).write_text("<html>not found</html>")
    refused(tmp_path / NAME, "not a readable wheel", prefix)
    (tmp_path / NAME).unlink()
    with zipfile.ZipFile(tmp_path / NAME, "w") as archive:
        archive.writestr("pkg/__init__.py", "")
    refused(tmp_path / NAME, "0 .dist-info folders", prefix)
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).mkdir()
    refused(tmp_path / NAME, "not a readable wheel", prefix)


def test_the_wrong_python(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, {"pkg/__init__.py": ""})
    refused(wheel, r"made for Python 3\.10, not 3\.12", tmp_path / "out" / "prefix", python="3.12")
    anywhere = wheel.rename(tmp_path / "pkg-1.0-py3-none-any.whl")
    error = refused(anywhere, "fits any Python", tmp_path / "out" / "prefix")
    assert "--python" in error.way_out


def test_a_soname_that_nobody_provides(tmp_path: Path, compile_library: Compile) -> None:
    nobody = compile_library("libnobody.so.3", "int n(void) { return 1; }", "-Wl,-soname,libnobody.so.3")
    user = compile_library("libown.so", "int n(void); int own(void) { return n(); }", nobody, "-Wl,-soname,libown.so")
    members = {"pkg/lib/libown.so": user.read_bytes()}
    with pytest.raises(TtCondaError) as error:
        carve([make_wheel(tmp_path, members)], tmp_path / "prefix", OWN)
    assert f"  libnobody.so.3: {NAME}: pkg/lib/libown.so needs it" in error.value.what
    assert "providers.toml" in error.value.way_out
    members["pkg.libs/libnobody-01234567.so.3"] = nobody.read_bytes()
    with pytest.raises(TtCondaError, match=r"libnobody\.so\.3: the wheel carries a copy, .*libnobody-01234567\.so\.3"):
        carve([make_wheel(tmp_path, members)], tmp_path / "prefix", OWN)
    assert not (tmp_path / "prefix").exists()


def test_a_damaged_shared_object(tmp_path: Path, library: bytes) -> None:
    for content in (library[:700], library[:32] + b"\xff" * 8 + library[40:]):
        wheel = make_wheel(tmp_path, {"pkg/libown.so": content})
        refused(wheel, r"pkg/libown\.so is not a readable shared object", tmp_path / "out" / "prefix")


def test_damaged_wheels_raise_nothing_but_explanations(tmp_path: Path, library: bytes) -> None:
    wheel = make_wheel(tmp_path, {"pkg/libown.so": library, "pkg/__init__.py": "x = 1\n",
                                  f"{DIST_INFO}/entry_points.txt": "[console_scripts]\nt = pkg:m\n"})  # fmt: skip
    data, chance = wheel.read_bytes(), random.Random(6)
    directory = data.index(b"PK\1\2")
    failures = 0
    for number in range(400):
        damaged = bytearray(data)
        for _ in range(chance.choice((1, 2, 4))):
            at = chance.choice((chance.randrange(len(data)), chance.randrange(directory, len(data)),
                                chance.randrange(200)))  # fmt: skip
            damaged[at] = chance.choice((0, 255, chance.randrange(256)))
        wheel.write_bytes(damaged)
        prefix = tmp_path / f"prefix{number}"
        try:
            carve([wheel], prefix, OWN)
        except TtCondaError:
            failures += 1
            assert not prefix.exists()
    assert failures > 100
    assert not list(tmp_path.glob(".tt-conda-carve-*"))


def test_a_prefix_that_cannot_be_one(tmp_path: Path, library: bytes) -> None:
    wheel = make_wheel(tmp_path, {"pkg/libown.so": library})
    (tmp_path / "file").write_text("in the way")
    for prefix in (tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises(TtCondaError, match=r"file.* cannot be written: .*file") as error:
            carve([wheel], prefix, OWN)
        assert "--prefix" in error.value.way_out
    (tmp_path / "env/lib/libown.so").mkdir(parents=True)
    with pytest.raises(TtCondaError, match=r"env cannot be written: .*libown\.so"):
        carve([wheel], tmp_path / "env", OWN)
    assert (tmp_path / "file").read_text() == "in the way"
    assert not list(tmp_path.rglob(".tt-conda-carve-*"))


def run(*arguments: str | Path, **more: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tt_conda.cli", "carve", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload,no-any-return]


def test_the_command_line_says_it_on_standard_error(tmp_path: Path, library: bytes) -> None:
    (tmp_path / "rules.toml").write_text('own = ["libown.so"]\n')
    wheel = make_wheel(tmp_path, {"pkg/libown.so": library})
    prefix = tmp_path / "prefix"
    good = run(wheel, "--prefix", prefix, "--rules", tmp_path / "rules.toml", "--json")
    assert (good.returncode, good.stderr) == (0, "")
    assert '"soname": "libown.so"' in good.stdout
    bad: list[tuple[list[str | Path], str]] = [
        ([wheel], "libown.so"),
        ([], "no wheel was named"),
        ([tmp_path / "absent-1-cp310-cp310-any.whl"], "no such file"),
        ([wheel, "--rules", tmp_path / "absent.toml"], "absent.toml"),
        ([wheel, "--rules", tmp_path / "rules.toml", "--only", "nothing/*"], "nothing/*"),
        ([wheel, "--nonsense"], "--nonsense"),
    ]
    for arguments, message in bad:
        done = run(*arguments, "--prefix", tmp_path / "other")
        assert (done.returncode, done.stdout) == (2, ""), done
        assert message in done.stderr.replace("\n", " ")
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "other").exists()


def test_a_full_disk(tmp_path: Path, library: bytes) -> None:
    """A real one where this process may mount, and a file size limit where it may not."""
    (tmp_path / "rules.toml").write_text('own = ["libown.so"]\n')
    wheel = make_wheel(tmp_path, {"pkg/libown.so": library, "pkg/data.bin": random.Random(7).randbytes(4 << 20)})
    small = tmp_path / "small"
    small.mkdir()
    mounted = not subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], capture_output=True,
                                 check=False).returncode  # fmt: skip
    try:
        arguments = (wheel, "--prefix", small / "prefix", "--rules", tmp_path / "rules.toml")
        limit = None if mounted else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        done = run(*arguments, preexec_fn=limit)
        assert (done.returncode, done.stdout) == (2, ""), done
        assert str(small) in done.stderr
        assert ("disk is full" if mounted else "file size limit") in done.stderr
        assert ("Make room" if mounted else "ulimit -f") in done.stderr
        assert not list(small.iterdir())
        if mounted:
            subprocess.run(["mount", "-o", "remount,size=20m", small], check=True)
        assert run(*arguments).returncode == 0, "the same command, with space, goes through"
    finally:
        if mounted:
            subprocess.run(["umount", small], check=True)


@pytest.fixture
def deep(tmp_path: Path, compile_library: Compile, library: bytes) -> Path:
    """A wheel with a chain of copies that become links, a module, data and a command."""
    path = compile_library("libdeep.so.1.2.3", "int deep(void) { return 1; }", "-Wl,-soname,libdeep.so.1")
    user = compile_library(
        "_pkg.cpython-310-x86_64-linux-gnu.so", "int deep(void); int f(void) { return deep(); }", path
    )
    content = path.read_bytes()
    return make_wheel(tmp_path, {
        "pkg/libdeep.so": content, "pkg/libdeep.so.1": content, "pkg/libdeep.so.1.2.3": content,
        "pkg/libown.so": library, "pkg/_pkg.cpython-310-x86_64-linux-gnu.so": user.read_bytes(),
        "pkg/data/a.txt": "a", "pkg/data/b/c.txt": "c", "pkg/__init__.py": "x = 1\n",
        f"{DIST_INFO}/entry_points.txt": "[console_scripts]\ntool = pkg:main\n",
    })  # fmt: skip


DEEP = Rules(own=OWN.own, data={"pkg/data": "share/pkg"})


@pytest.mark.parametrize("existing", [False, True])
def test_killed_at_every_file(deep: Path, tmp_path: Path, existing: bool) -> None:
    """SIGKILL before the first, second, … file is moved to its place: all, or whole files; and a rerun finishes."""
    carve([deep], tmp_path / "whole", DEEP)
    whole = tree(tmp_path / "whole")
    prefix, steps = tmp_path / "env", 0
    while True:
        if existing:
            (prefix / "lib").mkdir(parents=True)
        if (child := os.fork()) == 0:
            left, replace = [steps], Path.replace

            def count(self: Path, target: Path, left: list[int] = left, replace: object = replace) -> Path:
                if ".tt-conda-carve" not in str(target):
                    if not left[0]:
                        os.kill(os.getpid(), signal.SIGKILL)
                    left[0] -= 1
                return replace(self, target)  # type: ignore[operator,no-any-return]

            Path.replace = count  # type: ignore[method-assign,assignment]
            try:
                carve([deep], prefix, DEEP)
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        finished = not os.WIFSIGNALED(status)
        if not existing:
            assert prefix.exists() == finished
        elif not finished:
            assert list(prefix.glob(".tt-conda-carve-*")), "what SIGKILL leaves behind"
            done = {name: what for name, what in tree(prefix).items() if not name.startswith(".tt-conda")}
            assert {name: placed(what, prefix, tmp_path) for name, what in done.items()}.items() <= whole.items()
        carve([deep], prefix, DEEP)
        again = {name: placed(what, prefix, tmp_path) for name, what in tree(prefix).items()}
        assert again == whole
        assert not list(tmp_path.rglob(".tt-conda-carve-*"))
        assert read(prefix / "lib/libdeep.so.1").soname == "libdeep.so.1"
        subprocess.run(["rm", "-r", prefix], check=True)
        steps += 1
        if finished:
            break
    assert steps == (len(whole) + 1 if existing else 2)


def placed(content: str, prefix: Path, tmp_path: Path) -> str:
    """The same content, had it been made for ``tmp_path/whole``: commands name their prefix."""
    return content.replace(str(prefix), str(tmp_path / "whole"))


def test_a_published_wheel_is_stopped_while_it_is_carved(scratch: Path) -> None:
    wheel, prefix = published("ttnn-0.59.0rc60-3.10"), scratch / "out/prefix"
    command = [sys.executable, "-m", "tt_conda.cli", "carve", wheel, "--prefix", prefix, "--rules", RULES]
    for event in (
        r"mkdir .*/\.tt-conda-carve-",
        r"write .*/_ttnncpp\.so$",
        r"write .*/site-packages/",
        r"rename .*/prefix$",
    ):
        stopped(command, event, signal.SIGKILL)
        assert not prefix.exists()
    carve([wheel], prefix, load_rules([RULES]))
    assert [path.name for path in prefix.parent.iterdir()] == ["prefix"]


def test_carvings_side_by_side_do_not_clean_each_other_away(deep: Path, tmp_path: Path) -> None:
    """A staging folder is a leftover only when nobody holds its lock."""
    (tmp_path / "rules.toml").write_text('own = ["libown.so", "libdeep.so.1"]\ndata = {"pkg/data" = "share/pkg"}\n')
    command = [sys.executable, "-m", "tt_conda.cli", "carve", deep, "--rules", tmp_path / "rules.toml", "--prefix"]
    running = [
        subprocess.Popen([*command, tmp_path / f"out/{number}"], stdout=subprocess.DEVNULL) for number in range(8)
    ]
    assert [process.wait() for process in running] == [0] * 8
    assert len(list((tmp_path / "out").iterdir())) == 8
