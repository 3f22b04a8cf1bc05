"""A Debian archive on this machine, signed with a key of its own, which apt takes for Debian's."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path

import pytest

from tt_conda.inputs import debian
from tt_conda.inputs.lock import Deb

APT_CONF = """
Dir::Etc::SourceList "{root}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::State::Lists "{root}/lists";
Dir::State::Status "{root}/status";
Dir::Cache "{root}/cache";
APT::Architecture "amd64";
APT::Sandbox::User "root";
"""


class LocalArchive:
    """Packages in a folder; ``publish`` makes apt see what was added and removed since."""

    def __init__(self, root: Path, gnupg: Path) -> None:
        self.root, self.gnupg = root, gnupg
        self.pool, self.dist = root / "debian/pool", root / "debian/dists/bookworm"
        self.keyring = gnupg / "keyring.gpg"
        for folder in (
            self.pool,
            self.dist / "main/binary-amd64",
            self.dist / "main/source",
            root / "lists/partial",
            root / "cache",
        ):
            folder.mkdir(parents=True)
        (root / "status").touch()
        (root / "sources.list").write_text(
            f"deb [signed-by={self.keyring}] file://{root}/debian bookworm main\n", encoding="utf-8"
        )
        (root / "apt.conf").write_text(APT_CONF.format(root=root))

    def add(self, name: str, version: str, files: dict[str, bytes]) -> Deb:
        """Build a package of these files, and its pin; an older version of it stays until it is removed."""
        with tempfile.TemporaryDirectory() as scratch:
            tree = Path(scratch) / "tree"
            for path, content in files.items():
                (tree / path).parent.mkdir(parents=True, exist_ok=True)
                (tree / path).write_bytes(content)
            (tree / "DEBIAN").mkdir(parents=True)
            control = (
                f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: a <a@b.c>\nDescription: x\n"
            )
            (tree / "DEBIAN/control").write_text(control)
            path = self.pool / f"{name}_{version.partition(':')[2] or version}_amd64.deb"
            command = ["dpkg-deb", "--build", "--root-owner-group", "-Zxz", tree, path]
            subprocess.run(command, check=True, capture_output=True)
        (self.pool / f"{path.name}.control").write_text(control)
        data = path.read_bytes()
        filename = f"{name}_{version.replace(':', '%3a')}_amd64.deb"
        return Deb(
            name=name, version=version, filename=filename, size=len(data), sha256=hashlib.sha256(data).hexdigest()
        )

    def remove(self, name: str, version: str = "*") -> None:
        """Take a package's versions out of the archive."""
        for path in self.pool.glob(f"{name}_{version}_amd64.deb*"):
            path.unlink()

    def publish(self, signed: bool = True, source: str = "") -> None:
        """Write the indexes; signed, or with what another key has signed. ``source``: a source package's version."""
        text = ""
        for deb in sorted(self.pool.glob("*.deb")):
            data = deb.read_bytes()
            text += deb.with_name(f"{deb.name}.control").read_text() + f"Filename: pool/{deb.name}\n"
            text += f"Size: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n\n"
        dsc = f"Directory: pool\nChecksums-Sha256:\n {'0' * 64} 1 thing_{source}.dsc\n"
        sources = f"Package: thing\nBinary: thing\nVersion: {source}\n{dsc}\n" if source else ""
        release = "Origin: Debian\nSuite: oldstable\nCodename: bookworm\nArchitectures: amd64\nComponents: main\n"
        release += f"Date: {formatdate(usegmt=True)}\nSHA256:\n"
        for name, content in {"main/binary-amd64/Packages": text, "main/source/Sources": sources}.items():
            (self.dist / name).write_text(content)
            release += f" {hashlib.sha256(content.encode()).hexdigest()} {len(content.encode())} {name}\n"
        (self.dist / "Release").write_text(release)
        _gpg(
            self.gnupg if signed else self.gnupg / "other",
            "--clearsign",
            "-o",
            self.dist / "InRelease",
            self.dist / "Release",
        )


def _gpg(home: Path, *arguments: str | Path) -> None:
    command = ["gpg", "--homedir", home, "--batch", "--yes", "--quiet", "--passphrase", "", *arguments]
    subprocess.run(command, check=True, capture_output=True)


@contextmanager
def local_archive(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalArchive]:
    """An empty archive that is the only one apt knows."""
    if not shutil.which("gpg"):
        pytest.skip("no gpg on this machine")
    gnupg = Path(tempfile.mkdtemp(prefix="gpg-", dir="/tmp"))  # a socket's path has room for 107 characters
    try:
        for home in (gnupg, gnupg / "other"):
            home.mkdir(mode=0o700, exist_ok=True)
            _gpg(home, "--quick-generate-key", "a <a@b.c>", "ed25519", "sign", "never")
        _gpg(gnupg, "-o", str(gnupg / "keyring.gpg"), "--export")
        archive = LocalArchive(root, gnupg)
        monkeypatch.setenv("APT_CONFIG", str(root / "apt.conf"))
        monkeypatch.setattr(debian, "_KEYRING", archive.keyring)
        yield archive
    finally:
        for home in (gnupg, gnupg / "other"):
            environ = {**os.environ, "GNUPGHOME": str(home)}
            subprocess.run(["gpgconf", "--kill", "all"], env=environ, check=False, capture_output=True)
        shutil.rmtree(gnupg, ignore_errors=True)
