"""The pinned environment of the tasks: ci/requirements.txt, and how pip and uv install it."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from script import loaded

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = Path(__file__).parents[1]
PINS = PROJECT / "ci/requirements.txt"
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")


@pytest.fixture(scope="module")
def requirements() -> ModuleType:
    return loaded(PROJECT / "ci/requirements.py")


def pins(text: str) -> list[tuple[Requirement, list[str]]]:
    """Each pin and its hashes."""
    joined = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.lstrip().startswith("#")]
    return [(Requirement(re.split(r"\s--hash", line)[0]), re.findall(r"--hash=(\S+)", line)) for line in joined]


def wanted() -> list[Requirement]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    found = [Requirement(text) for text in [*project["dependencies"], *project["optional-dependencies"]["dev"]]]
    assert len(found) > 20
    return found


@pytest.mark.parametrize("python", PYTHONS)
def test_every_requirement_has_one_pin_in_its_range(python: str) -> None:
    here = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux",
            "platform_machine": "x86_64", "platform_system": "Linux", "implementation_name": "cpython",
            "platform_python_implementation": "CPython", "os_name": "posix"}  # fmt: skip
    pinned: dict[str, list[str]] = {}
    for pin, _ in pins(PINS.read_text()):
        if pin.marker is None or pin.marker.evaluate(here):
            (version,) = pin.specifier
            assert version.operator == "==" and not version.version.endswith("*"), pin
            pinned.setdefault(canonicalize_name(pin.name), []).append(version.version)
    assert {name: versions for name, versions in pinned.items() if len(versions) > 1} == {}
    for requirement in wanted():
        if requirement.marker is None or requirement.marker.evaluate(here):
            (version,) = pinned[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(Version(version), prereleases=True), requirement


def test_every_pin_has_hashes_and_no_index_is_named() -> None:
    text = PINS.read_text()
    for pin, hashes in pins(text):
        assert pin.url is None and hashes, pin
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", found) for found in hashes), pin
    said = [line for line in text.splitlines() if not line.lstrip().startswith(("#", "--hash=sha256:"))]
    assert [line for line in said if not re.match(r"[a-z0-9][a-z0-9._-]*==", line)] == [], "nothing but pins"
    assert "://" not in text


# --- pip's configuration, for uv ---


def test_variables_come_before_files_and_install_s_options_before_all_commands(requirements: ModuleType) -> None:
    lines = [
        ":env:.cert='/env.pem'",
        "download.index-url='https://download'",
        "global.cert='/global.pem'",
        "global.index-url='https://global'",
        "global.find-links='\\n/a\\n/b'",
        "install.cert='/install.pem'",
        "install.index-url='https://install'",
        "install.no-index=''",
    ]
    assert requirements.pip_configuration("\n".join(lines)) == {
        "cert": "/env.pem", "index-url": "https://install", "find-links": "\n/a\n/b", "no-index": ""
    }  # fmt: skip


def test_uv_is_told_what_pip_is_told(requirements: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("UV_INDEX", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://a-person-s-own")
    environ, options = requirements.uv_options({
        "index-url": "https://pip-s", "extra-index-url": "https://a\nhttps://b", "find-links": "/a /b",
        "cert": "/c.pem", "no-index": "true", "client-cert": "/d.pem", "proxy": "http://proxy", "timeout": "7",
        "trusted-host": "a b",
    })  # fmt: skip
    assert options == ["--no-index"]
    told = {
        "UV_DEFAULT_INDEX": "https://a-person-s-own", "UV_INDEX": "https://a https://b", "UV_FIND_LINKS": "/a,/b",
        "SSL_CERT_FILE": "/c.pem", "SSL_CLIENT_CERT": "/d.pem", "ALL_PROXY": "http://proxy", "UV_HTTP_TIMEOUT": "7",
        "UV_INSECURE_HOST": "a b",
    }  # fmt: skip
    assert {name: environ[name] for name in told} == told
    assert requirements.uv_options({"no-index": "0"})[1] == []


# --- installed ---


def wheel(folder: Path, name: str, script: str = "") -> str:
    """A wheel of version 1.0 with one module, and one program of its name; its line for a requirements file."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}_module.py": "",
        f"{name}-1.0.data/scripts/{name}": script or "#!/bin/sh\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {path: hashlib.sha256(content.encode()).digest() for path, content in files.items()}
    record = [f"{path},sha256={base64.urlsafe_b64encode(d).decode().rstrip('=')}," for path, d in digests.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""])
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in files.items():
            item = zipfile.ZipInfo(member)
            item.external_attr = 0o100755 << 16
            archive.writestr(item, content)
    return f"{name}==1.0 \\\n    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n    # via a test\n"


def install(root: Path, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, root / "ci/requirements.py", "install", folder], text=True, capture_output=True,
        env={"PATH": "/usr/bin:/bin", "HOME": str(root), "PIP_DISABLE_PIP_VERSION_CHECK": "1", **environ},
    )  # fmt: skip


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """ci/requirements.py with pins of a stand-in for uv, which writes down what it is told, and of one package."""
    root = tmp_path / "checkout"
    (root / "ci").mkdir(parents=True)
    (root / "ci/requirements.py").write_bytes((PROJECT / "ci/requirements.py").read_bytes())
    noting = f"#!/bin/sh\n(echo \"$@\"; env) > '{tmp_path}/told'.$$\n"
    lines = [wheel(tmp_path / "wheels", "thing"), wheel(tmp_path / "wheels", "uv", noting)]
    (root / "ci/requirements.txt").write_text("".join(lines))
    return root


def test_pip_installs_uv_and_uv_the_rest(checkout: Path, tmp_path: Path) -> None:
    """From where pip's configuration file says."""
    (tmp_path / "pip.conf").write_text(f"[global]\nno-index = true\nfind-links = {tmp_path}/wheels\ncert = /c.pem\n")
    done = install(checkout, tmp_path / "env", PIP_CONFIG_FILE=str(tmp_path / "pip.conf"))
    assert done.returncode == 0, done.stderr
    first, second = sorted(tmp_path.glob("told.*"), key=lambda path: path.stat().st_mtime_ns)
    assert f"--no-index --require-hashes -r {checkout}/ci/requirements.txt" in first.read_text()
    assert f"--no-index --no-deps --no-build-isolation {checkout}\n" in second.read_text()
    for told in (first.read_text(), second.read_text()):
        assert f"--python {tmp_path}/env/bin/python" in told
        assert f"\nUV_FIND_LINKS={tmp_path}/wheels\n" in told and "\nSSL_CERT_FILE=/c.pem\n" in told
    assert not list(tmp_path.glob("env/lib/*/site-packages/thing*")), "that is uv's part"


def test_another_uv_than_the_pinned_one_is_refused(checkout: Path, tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "uv", "#!/bin/sh\necho harm\n")
    done = install(checkout, tmp_path / "env", PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path / "wheels"))
    assert done.returncode != 0 and "HASH" in (done.stdout + done.stderr).upper()
    assert not (tmp_path / "env/bin/uv").exists()


@pytest.mark.parametrize("damaged", [False, True])
def test_uv_takes_what_is_pinned_from_where_pip_would(
    requirements: ModuleType, checkout: Path, tmp_path: Path, damaged: bool
) -> None:
    """This environment's own uv."""
    (tmp_path / "pins.txt").write_text(requirements.pin_of("thing", (checkout / "ci/requirements.txt").read_text()))
    if damaged:
        wheel(tmp_path / "wheels", "thing", "#!/bin/sh\necho harm\n")
    environ, options = requirements.uv_options({"no-index": "1", "find-links": str(tmp_path / "wheels")})
    command = ["uv", "pip", "install", "--target", tmp_path / "env", "--no-cache", *options, "--require-hashes"]
    done = subprocess.run([*command, "-r", tmp_path / "pins.txt"], env=environ, capture_output=True, text=True)
    assert (done.returncode == 0) != damaged, done.stderr
    assert (tmp_path / "env/thing_module.py").is_file() != damaged
