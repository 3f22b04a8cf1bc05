"""Publish packages to a folder, to a store with S3's interface, or to a conda server.

In a folder or store, packages come first and the index last, in one step, so that who reads the channel meanwhile, or
after this was stopped in the middle, finds every package that the index names. What is published under a name stays:
another package of the same name, version and build is refused before anything is written. A conda server indexes by
itself; its index is read first, for the same. Where it has none that could be read, the server's own decision counts.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

from rattler import Client
from rattler.index import S3Credentials, index_s3
from rattler.package_streaming import download_to_path

from tt_conda.base import process, settings
from tt_conda.base.documents import read_json
from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import sha256_of
from tt_conda.base.http import open_url, require_private
from tt_conda.base.location import is_channel
from tt_conda.base.progress import Stage, console, stage
from tt_conda.base.secrets import hide
from tt_conda.channel import channeldata, index, pages, repodata
from tt_conda.channel.upload import AGAIN, REFUSED, SECRETS, headers, reading_url

_FORMS = "a folder, s3://BUCKET/CHANNEL, or one of " + ", ".join(f"{kind}+https://SERVER/CHANNEL" for kind in SECRETS)
_LISTED_WITHIN = 60.0
"""Seconds for a server to list the packages that it has taken."""
_PAUSES = (1.0, 4.0, 10.0)
"""Seconds before another try, where a server has trouble of its own."""


@dataclass
class Published:
    """What was done."""

    destination: str
    published: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    """File names of packages that a server took and that its index does not list yet."""
    there: list[str] = field(default_factory=list)
    """File names of packages that were there already, with the same content."""


@dataclass(frozen=True)
class _Package:
    path: Path
    record: Mapping[str, Any]

    @property
    def place(self) -> str:
        """Path below the channel."""
        return f"{self.record['subdir']}/{self.path.name}"


def publish(destination: str, channel: Path, names: Sequence[str] = (), *, without: Sequence[str] = ()) -> Published:
    """Publish packages of a channel folder.

    Args:
        destination: a folder, ``s3://BUCKET/CHANNEL``, or ``KIND+https://SERVER/CHANNEL`` with a kind of ``SECRETS``.
        channel: the folder; its packages are hashed first.
        names: of the packages; none means all.
        without: names of packages that are left out, whether or not there are any.

    Raises:
        TtCondaError: no such package, another one is published under its name, or the destination refuses it.
    """
    if not is_channel(channel):
        raise TtCondaError(f"there are no packages in {channel}", "Build them first: tt-conda build")
    index.validate(channel)
    packages = _chosen(channel, names, without)
    result = Published(destination)
    kind, plus, url = destination.partition("+")
    with stage(f"Publishing {len(packages)} packages", total=len(packages)) as bar:
        if plus and kind in SECRETS:
            _to_server(kind, url, packages, result, bar)
        elif destination.startswith("s3://"):
            _to_s3(destination, packages, result, bar)
        elif not destination or re.match(r"[\w+]+:", destination):
            raise TtCondaError(f"{destination!r} is no place to publish to", f"Name {_FORMS}.")
        else:
            _to_folder(Path(destination).expanduser(), packages, result)
    return result


def _chosen(channel: Path, names: Sequence[str], without: Sequence[str]) -> list[_Package]:
    """Packages that the index names, each after those of them that it depends on."""
    found = [_Package(path, record) for path, record in index.records(channel).items()]
    known = {package.record["name"] for package in found}
    if unknown := sorted(set(names) - known):
        raise TtCondaError(f"there is no package {', '.join(unknown)} in {channel}", "Build it first: tt-conda build")
    chosen = (set(names) or known) - set(without)
    wanted = [package for package in found if package.record["name"] in chosen]
    if not wanted:
        but = f" but {', '.join(without)}" if without else ""
        raise TtCondaError(f"there are no packages{but} in {channel}", "Build them first: tt-conda build")
    needs = {name: {spec.split()[0] for p in found if p.record["name"] == name for spec in p.record["depends"]}
             for name in known}  # fmt: skip
    ordered: list[str] = []

    def visit(name: str, path: tuple[str, ...] = ()) -> None:
        for need in sorted(needs[name] & known - {*path, name, *ordered}):
            visit(need, (*path, name))
        if name not in ordered:
            ordered.append(name)

    for name in sorted(known):
        visit(name)
    return sorted(wanted, key=lambda package: (ordered.index(package.record["name"]), package.path.name))


def _refused(places: Sequence[str], destination: str) -> TtCondaError:
    return TtCondaError(
        f"{destination} has other packages of these names:\n  " + "\n  ".join(places),
        "What is published stays as it is: raise the build number (`build: number` in the recipe) and build again.",
    )


# --- a folder ---


def _to_folder(folder: Path, packages: Sequence[_Package], result: Published) -> None:
    def refuse(others: Sequence[Path]) -> TtCondaError:
        return _refused([path.relative_to(folder).as_posix() for path in others], str(folder))

    def is_there(package: _Package) -> bool:
        target = folder / package.place
        return target.is_file() and sha256_of(target) == package.record["sha256"]

    try:
        there = [package for package in packages if is_there(package)]
        new = [package for package in packages if package not in there]
        # what has come there meanwhile is looked at again, while nobody else writes
        index.publish([package.path for package in new], folder, keep=True, refuse=refuse)
    except OSError as error:
        raise TtCondaError(f"{folder} cannot be written to: {error}", f"Name {_FORMS}.") from error
    result.there = [package.path.name for package in there]
    result.published = [package.path.name for package in new]


# --- S3 ---


def _to_s3(destination: str, packages: Sequence[_Package], result: Published, bar: Stage) -> None:
    try:
        import boto3  # type: ignore[import-not-found, import-untyped, unused-ignore]
        from boto3.exceptions import Boto3Error  # type: ignore[import-not-found, import-untyped, unused-ignore]
        from botocore.config import Config  # type: ignore[import-not-found, import-untyped, unused-ignore]
        from botocore.exceptions import (  # type: ignore[import-not-found, import-untyped, unused-ignore]
            BotoCoreError,
            ClientError,
        )
    except ImportError as error:
        raise TtCondaError("publishing to S3 needs boto3", "Install it: pip install boto3") from error
    parts = urlsplit(destination)
    bucket, home = parts.netloc, parts.path.strip("/")
    if not bucket or not home:
        raise TtCondaError(f"{destination} names no channel in a bucket", "It is s3://BUCKET/CHANNEL.")
    try:
        session = boto3.Session()
        client = session.client("s3")
        given = session.get_credentials()
        if given is None:
            raise TtCondaError(
                f"there are no credentials for {destination}",
                "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, in the environment.",
            )
        endpoint, region = client.meta.endpoint_url, client.meta.region_name or "us-east-1"
        foreign = not (urlsplit(endpoint).hostname or "").endswith(".amazonaws.com")
        if foreign:  # other stores have one host name for all buckets
            client = session.client("s3", config=Config(s3={"addressing_style": "path"}))
        store = _Store(client, bucket, home)
        todo, other = [], []
        for package in packages:
            sha256 = store.sha256(package.place)
            if sha256 is None:
                todo.append(package)
            elif sha256 == package.record["sha256"]:
                result.there.append(package.path.name)
                bar.advance()
            else:
                other.append(package.place)
        if other:
            raise _refused(other, destination)
        for package in todo:
            bar.describe(package.path.name)
            store.put(package)
            result.published.append(package.path.name)
            bar.advance()
        bar.describe("the index")
        frozen = given.get_frozen_credentials()
        credentials = S3Credentials(
            endpoint, region, frozen.access_key, frozen.secret_key, frozen.token, "path" if foreign else "virtual-host"
        )
        try:
            asyncio.run(index_s3(f"s3://{bucket}/{home}", credentials, write_zst=True, write_shards=True))
        except Exception as error:  # rattler has no class of its own for it
            raise _IndexError(f"the index cannot be written: {error}") from error
        tables = store.tables()
        store.check(packages, tables, destination)
        store.describe(packages, tables)
    except (Boto3Error, BotoCoreError, ClientError, _IndexError) as error:
        way_out = "What was uploaded stays" if result.published else "Nothing was uploaded"
        way_out += "; the same command goes on from there."
        if re.search(r"\b403\b|AccessDenied|PermissionDenied", str(error)):
            # https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
            way_out += (
                "\nThe key needs the rights to write, to read and to list (s3:PutObject, s3:GetObject, s3:ListBucket):"
                " without the last, S3 says 403 of what is not there."
            )
        raise TtCondaError(f"{destination}: {error}", way_out) from error


class _IndexError(Exception):
    """The packages are there, the index is the old one or none."""


class _Store:
    """A channel in a bucket."""

    def __init__(self, client: Any, bucket: str, home: str) -> None:
        self._client, self._bucket, self._home = client, bucket, home

    def sha256(self, place: str) -> str | None:
        """Of a package there, as it was told when it was uploaded, else read; None: it is not there."""
        key = {"Bucket": self._bucket, "Key": f"{self._home}/{place}"}
        try:
            said = self._client.head_object(**key)["Metadata"].get("sha256")
        except self._client.exceptions.ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise
        if said:
            return str(said)
        digest = hashlib.sha256()
        for block in self._client.get_object(**key)["Body"].iter_chunks(1 << 20):
            digest.update(block)
        return digest.hexdigest()

    def put(self, package: _Package) -> None:
        """Upload a package; it is there whole or not at all."""
        self._client.upload_file(
            str(package.path), self._bucket, f"{self._home}/{package.place}",
            ExtraArgs={"Metadata": {"sha256": package.record["sha256"]}, "ContentType": "application/octet-stream"},
        )  # fmt: skip

    def tables(self) -> dict[str, dict[str, dict[str, Any]]]:
        """The index: the record of each package, by subdir and file name."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=f"{self._home}/", Delimiter="/"
        )
        folders = [item["Prefix"] for page in pages for item in page.get("CommonPrefixes", [])]
        tables = {}
        for subdir in [folder.rstrip("/").rpartition("/")[2] for folder in folders]:
            try:
                tables[subdir] = index.in_tables(self._read(f"{subdir}/{repodata.PLAIN}") or b"{}")
            except ValueError as error:
                raise _IndexError(f"{subdir}/{repodata.PLAIN} is no index: {error}") from error
        return tables

    def check(
        self, packages: Sequence[_Package], tables: Mapping[str, Mapping[str, Any]], destination: str
    ) -> None:  # fmt: skip
        """See that the index names the packages, by their hashes."""
        for package in packages:
            found = tables.get(package.record["subdir"], {}).get(package.path.name, {}).get("sha256")
            if found != package.record["sha256"]:
                raise TtCondaError(
                    f"{destination}: the index says of {package.place}: sha256 {found},"
                    f" instead of {package.record['sha256']}",
                    "Somebody else may have published at the same time: run the same command again.",
                )

    def describe(self, packages: Sequence[_Package], tables: Mapping[str, Mapping[str, Any]]) -> None:
        """Write ``channeldata.json`` and the pages. What is there says what it can of packages of earlier times."""
        try:
            before: dict[str, Any] = read_json(self._read(channeldata.NAME) or b"{}").get("packages", {})
        except (ValueError, AttributeError):  # somebody else's, and not needed
            before = {}
        entries = {package.place: index.read_entry(package.path) for package in packages}
        found = []
        for subdir, records in tables.items():
            for file, record in records.items():
                about = before.get(record["name"], {})
                entry = {"about": about, "run_exports": about.get("run_exports", {}).get(record["version"], {})}
                entry |= entries.get(f"{subdir}/{file}", {})
                found.append(({**record, "subdir": subdir}, entry["about"], entry["run_exports"]))
        data = channeldata.channeldata(found, tables)
        for subdir, records in tables.items():
            self._write(f"{subdir}/{pages.NAME}", pages.subdir_page(subdir, records), "text/html; charset=utf-8")
        self._write(channeldata.NAME, repodata.compact_json(data), "application/json")
        name = self._home.rpartition("/")[2]
        self._write(pages.NAME, pages.channel_page(name, data), "text/html; charset=utf-8")

    def _read(self, place: str) -> bytes | None:
        """The content of a file below the channel; None: it is not there."""
        try:
            body = self._client.get_object(Bucket=self._bucket, Key=f"{self._home}/{place}")["Body"]
        except self._client.exceptions.NoSuchKey:
            return None
        return bytes(body.read())

    def _write(self, place: str, text: str, content_type: str) -> None:
        self._client.put_object(
            Bucket=self._bucket, Key=f"{self._home}/{place}", Body=text.encode(), ContentType=content_type
        )


# --- conda servers ---


def _to_server(kind: str, url: str, packages: Sequence[_Package], result: Published, bar: Stage) -> None:
    parts = urlsplit(url)
    server, channel = f"{parts.scheme}://{parts.netloc}", parts.path.strip("/")
    if parts.scheme not in ("http", "https") or not channel:
        raise TtCondaError(f"{kind}+{url} names no server with a channel", f"It is {kind}+https://SERVER/CHANNEL.")
    if parts.username or parts.password:
        raise TtCondaError(
            f"the address of {parts.hostname} holds a password", f"Put it into the variable {SECRETS[kind]} instead."
        )
    require_private(url, f"the key in {SECRETS[kind]}, or that of rattler's own store,")
    holds = _Held(kind, reading_url(kind, server, channel), f"{kind}+{url}")
    todo = holds.not_listed(packages)
    result.there = [package.path.name for package in packages if package not in todo]
    bar.advance(len(result.there))
    sent: list[_Package] = []
    for package in todo:  # one by one: the server's index has each as soon as it is there
        bar.describe(package.path.name)
        said = _upload(kind, server, channel, package.path)
        if not said:
            sent.append(package)
        elif holds.itself(package):  # its index is older, or somebody was faster
            result.there.append(package.path.name)
        else:
            done = ", ".join(package.path.name for package in sent) or "nothing"
            raise TtCondaError(
                f"{kind}+{url} does not take {package.path.name}:\n{said}",
                f"Uploaded so far: {done}. The key is taken from"
                f" {SECRETS[kind]}, else from rattler's own store (`rattler-build auth login`).",
            )
        bar.advance()
    bar.describe("the server's index")
    waiting = holds.wait_for(sent)
    result.published = [package.path.name for package in sent if package not in waiting]
    result.accepted = [package.path.name for package in waiting]


def _upload(kind: str, server: str, channel: str, package: Path) -> str:
    """Upload a package, if need be several times; what the server said where it does not take it, without the key."""
    command = process.python("tt_conda.channel.upload", kind, server, channel, str(package.absolute()))
    for pause in (*_PAUSES, None):
        with tempfile.TemporaryDirectory(prefix="tt-conda-upload-") as folder:
            done = process.run(command, env=settings.child_environ(SECRETS[kind]), cwd=Path(folder))
        if done.returncode != AGAIN or pause is None:
            break
        time.sleep(pause)
    if done.returncode == 0:
        return ""
    if done.returncode not in (AGAIN, REFUSED):
        raise RuntimeError(f"the uploading process ended with {done.returncode}: {done.stderr}")
    said = "\n".join(f"  {line}" for line in done.stderr.strip().splitlines()[-6:]) or "  it does not say why"
    return hide(said)


class _UnreadableError(TtCondaError):
    """The index of a server cannot be read."""


class _Held:
    """What a conda server holds, as one reads it."""

    def __init__(self, kind: str, home: str | None, destination: str) -> None:
        self._home, self._destination = home, destination
        self._keys = headers(kind)

    def wait_for(self, packages: Sequence[_Package]) -> list[_Package]:
        """Read the index until it lists the packages, or for :data:`_LISTED_WITHIN`; those that it does not list.

        Raises:
            TtCondaError: it lists another package under the name of one.
        """
        end, pause, left = time.monotonic() + _LISTED_WITHIN, 0.5, list(packages)
        while left and self._home is not None:
            try:
                left = self.not_listed(left, quiet=True)
            except _UnreadableError:
                return left
            if not left or time.monotonic() + pause > end:
                break
            time.sleep(pause)
            pause = min(2 * pause, 10.0)
        return left

    def not_listed(self, packages: Sequence[_Package], *, quiet: bool = False) -> list[_Package]:
        """Those of the packages that the server's index does not name; ``quiet``: say nothing if there is none.

        Raises:
            TtCondaError: it names another one, or cannot be read.
        """
        tables = {subdir: self._table(subdir, quiet) for subdir in {package.record["subdir"] for package in packages}}
        found = [(p, tables[p.record["subdir"]].get(p.path.name, {}).get("sha256")) for p in packages]
        if other := [package.place for package, sha256 in found if sha256 not in (None, package.record["sha256"])]:
            raise _refused(other, self._destination)
        return [package for package, sha256 in found if sha256 is None]

    def itself(self, package: _Package) -> bool:
        """Whether the server has the package itself, indexed or not; TtCondaError where it is another one."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, package.path.name)
            try:
                there = self._fetch(package.place, file)
            except TtCondaError:
                return False
            if there and sha256_of(file) != package.record["sha256"]:
                raise _refused([package.place], self._destination)
        return there

    def _table(self, subdir: str, quiet: bool) -> dict[str, dict[str, Any]]:
        place = f"{subdir}/repodata.json"
        with tempfile.TemporaryDirectory() as folder:
            if self._fetch(place, file := Path(folder, "repodata.json")):
                try:
                    return index.in_tables(file.read_bytes())
                except ValueError as error:
                    raise TtCondaError(
                        f"{self._home}/{place} is no index: {error}", "Look at it, and at the address of the channel."
                    ) from error
        if quiet:
            return {}
        console.print(
            f"{self._destination} has no {place} yet that could be read: what it holds there is not known, and"
            " whether it keeps what it has is its decision.",
            markup=False,
        )
        return {}

    def _fetch(self, place: str, file: Path) -> bool:
        """Fetch what is below the channel; False: it is not there, or where it would be is not known."""
        if self._home is None:
            return False
        url = f"{self._home}/{place}"
        try:
            if self._keys:
                with open_url(url, keys=self._keys) as answer, file.open("wb") as target:
                    shutil.copyfileobj(answer, target)
            else:  # rattler looks for a key of its own, which it sends to this host alone
                asyncio.run(download_to_path(Client.default_client(), url, file))
        except Exception as error:  # rattler's own classes, one for each cause
            if "404 Not Found" in str(error) or (isinstance(error, HTTPError) and error.code == 404):
                return False
            raise _UnreadableError(
                f"{self._home}/{place} cannot be read: {error}",
                "What is there must be known first. Check the address, and that the key may read.",
            ) from error
        return True
