"""Publishing to a folder, a store with S3's interface and conda servers; readers meanwhile; being killed."""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import msgpack
import pytest
from moto.server import ThreadedMotoServer
from zstandard import ZstdDecompressor

from stopping import stopped, wait_until
from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import digests
from tt_conda.channel import index, upload
from tt_conda.channel.publish import publish
from tt_conda.channel.upload import SECRETS

Make = Callable[..., Path]
SECRET = "a-key-that-nobody-may-read"


@pytest.fixture
def output(tmp_path: Path, make: Make) -> Path:
    """What was built: ``tool`` needs ``lib``, ``data`` is noarch."""
    folder = tmp_path / "project/output"
    about = {"summary": "for tests"}
    packages = [
        make("tool", depends=["lib >=1"], **about),
        make("lib", **about),
        make("data", noarch="generic", **about),
    ]
    index.publish(packages, folder)
    return folder


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a store of our own."""
    moto = ThreadedMotoServer(port=0)
    moto.start()
    _, port = moto.get_host_and_port()
    yield f"http://127.0.0.1:{port}"
    moto.stop()


@pytest.fixture
def store(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A client of the store; there is an empty bucket, and the environment has what is needed to write to it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    client = boto3.client("s3")
    client.create_bucket(Bucket="bucket")
    yield client
    for item in client.list_objects_v2(Bucket="bucket").get("Contents", []):
        client.delete_object(Bucket="bucket", Key=item["Key"])
    client.delete_bucket(Bucket="bucket")


def read(store: Any, subdir: str) -> dict[str, str]:
    """Sha256 by file name, as the index in the bucket says; every package that it names is there, with that content."""
    try:
        body = store.get_object(Bucket="bucket", Key=f"channel/{subdir}/repodata.json")["Body"].read()
    except store.exceptions.NoSuchKey:
        return {}
    tables = json.loads(body)
    records = {**tables["packages"], **tables["packages.conda"]}
    for name, record in records.items():
        assert store.head_object(Bucket="bucket", Key=f"channel/{subdir}/{name}")["ContentLength"] == record["size"]
    return {name: record["sha256"] for name, record in records.items()}


def local(folder: Path, subdir: str) -> dict[str, str]:
    tables = json.loads((folder / subdir / "repodata.json").read_text())
    return {name: record["sha256"] for name, record in tables["packages.conda"].items()}


# --- a folder ---


def test_to_a_folder(output: Path, tmp_path: Path) -> None:
    target = tmp_path / "srv/channel"
    result = publish(str(target), output)
    assert sorted(result.published) == ["data-1.0-0.conda", "lib-1.0-0.conda", "tool-1.0-0.conda"]
    assert {subdir: local(target, subdir) for subdir in index.SUBDIRS} == {
        subdir: local(output, subdir) for subdir in index.SUBDIRS
    }
    index.validate(target)
    again = publish(str(target), output)
    assert again.published == [] and len(again.there) == 3


def test_only_some(output: Path, tmp_path: Path) -> None:
    assert publish(str(tmp_path / "channel"), output, ["lib"]).published == ["lib-1.0-0.conda"]
    with pytest.raises(TtCondaError, match="there is no package nothing in"):
        publish(str(tmp_path / "channel"), output, ["nothing"])


def test_all_but_some(output: Path, tmp_path: Path) -> None:
    """As PyTorch, which goes to a channel of its own, whether or not it is built."""
    result = publish(str(tmp_path / "channel"), output, without=["lib", "not-built"])
    assert sorted(result.published) == ["data-1.0-0.conda", "tool-1.0-0.conda"]
    with pytest.raises(TtCondaError, match="there are no packages but lib, tool, data in"):
        publish(str(tmp_path / "other"), output, without=["lib", "tool", "data"])


def test_what_is_published_stays(output: Path, tmp_path: Path, make: Make) -> None:
    target = tmp_path / "channel"
    publish(str(target), output)
    before = local(target, "linux-64")
    index.publish([make("lib", files={"share/lib": "other"}), make("more")], output)
    with pytest.raises(TtCondaError, match=r"other packages of these names:\n  linux-64/lib-1\.0-0\.conda"):
        publish(str(target), output)
    assert local(target, "linux-64") == before and not (target / "linux-64/more-1.0-0.conda").exists()


def test_what_somebody_else_publishes_meanwhile_stays(
    output: Path, tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another ``lib`` comes into the folder after it was looked at, and before it is written to."""
    target = tmp_path / "channel"
    theirs = make("lib", files={"share/lib": "theirs"})
    publishes = index.publish

    def after_them(*args: Any, **more: Any) -> list[Path]:
        publishes([theirs], target, keep=True)
        return publishes(*args, **more)

    monkeypatch.setattr(index, "publish", after_them)
    with pytest.raises(TtCondaError, match=r"other packages of these names:\n  linux-64/lib-1\.0-0\.conda"):
        publish(str(target), output)
    assert list(local(target, "linux-64").values()) == [digests(theirs)[0]]


def test_a_folder_that_cannot_be_one(output: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TtCondaError, match="file/channel cannot be written to") as error:
        publish(str(tmp_path / "file/channel"), output)
    assert "a folder, s3://" in error.value.way_out


def test_a_folder_of_the_person_s_own(output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    publish("~/channel", output)
    index.validate(tmp_path / "home/channel")


def test_a_damaged_package_is_not_published(output: Path, tmp_path: Path) -> None:
    (output / "linux-64/lib-1.0-0.conda").write_bytes(b"PK")
    with pytest.raises(TtCondaError, match="is not what it says"):
        publish(str(tmp_path / "channel"), output)
    assert not (tmp_path / "channel").exists()


@pytest.mark.parametrize(
    ("destination", "said"),
    [("ftp://host/x", "no place to publish to"), ("", "'' is no place to publish to"),
     ("s3://bucket", "no channel in a bucket"), ("prefix+https://host", "no server with a channel"),
     ("quetz+https://me:word@host/x", "holds a password")],
)  # fmt: skip
def test_a_destination_that_is_none(
    output: Path, destination: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The empty one is not this folder: a workflow's variable may not be set."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TtCondaError, match=said) as error:
        publish(destination, output)
    assert error.value.way_out and ":word" not in str(error.value)


# --- S3 ---


def test_to_a_store(output: Path, store: Any, make: Make) -> None:
    assert len(publish("s3://bucket/channel", output).published) == 3
    assert all(read(store, subdir) == local(output, subdir) for subdir in index.SUBDIRS)
    index.publish([make("lib", "2.0")], output)
    result = publish("s3://bucket/channel", output)
    assert result.published == ["lib-2.0-0.conda"] and len(result.there) == 3
    assert all(read(store, subdir) == local(output, subdir) for subdir in index.SUBDIRS)


def test_a_store_has_the_same_forms_as_a_folder(output: Path, store: Any, make: Make) -> None:
    """What was published earlier, from another folder, is still described."""

    def get(place: str) -> bytes:
        found: bytes = store.get_object(Bucket="bucket", Key=f"channel/{place}")["Body"].read()
        return found

    elsewhere = output.parent / "elsewhere"
    earlier = make("earlier", summary="of earlier times", files={"etc/conda/activate.d/earlier.sh": "x"})
    index.publish([earlier], elsewhere, keep=True)
    publish("s3://bucket/channel", elsewhere)
    publish("s3://bucket/channel", output)
    index.publish([earlier], output)
    assert json.loads(get("channeldata.json")) == json.loads((output / "channeldata.json").read_text())
    page = (output / "index.html").read_text().replace("output", "channel")
    assert get("index.html").decode() == page and "of earlier times" in page
    head = store.head_object(Bucket="bucket", Key="channel/linux-64/index.html")
    assert head["ContentType"] == "text/html; charset=utf-8"
    for subdir in index.SUBDIRS:
        assert get(f"{subdir}/index.html") == (output / subdir / "index.html").read_bytes()
        plain = ZstdDecompressor().decompressobj().decompress(get(f"{subdir}/repodata.json.zst"))
        assert json.loads(plain)["packages.conda"].keys() == local(output, subdir).keys()
        shards = ZstdDecompressor().decompressobj().decompress(get(f"{subdir}/repodata_shards.msgpack.zst"))
        for name, sha256 in msgpack.unpackb(shards)["shards"].items():
            shard = ZstdDecompressor().decompressobj().decompress(get(f"{subdir}/shards/{sha256.hex()}.msgpack.zst"))
            assert {record["name"] for record in msgpack.unpackb(shard)["packages.conda"].values()} == {name}
    store.put_object(Bucket="bucket", Key="channel/channeldata.json", Body=b"[]")
    publish("s3://bucket/channel", output)
    assert json.loads(get("channeldata.json")) == json.loads((output / "channeldata.json").read_text())


def test_a_store_keeps_what_is_published(output: Path, store: Any, make: Make) -> None:
    publish("s3://bucket/channel", output)
    index.publish([make("lib", files={"share/lib": "other"}), make("more")], output)
    before = read(store, "linux-64")
    with pytest.raises(TtCondaError, match=r"linux-64/lib-1\.0-0\.conda"):
        publish("s3://bucket/channel", output)
    assert read(store, "linux-64") == before
    keys = [item["Key"] for item in store.list_objects_v2(Bucket="bucket")["Contents"]]
    assert "channel/linux-64/more-1.0-0.conda" not in keys


def test_what_somebody_else_uploaded_is_read(output: Path, store: Any) -> None:
    package = output / "linux-64/lib-1.0-0.conda"
    store.put_object(Bucket="bucket", Key="channel/linux-64/lib-1.0-0.conda", Body=package.read_bytes())
    result = publish("s3://bucket/channel", output)
    assert result.there == ["lib-1.0-0.conda"] and len(result.published) == 2


def test_a_store_that_refuses(output: Path, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TtCondaError, match=r"s3://other/channel: .*NoSuchBucket"):
        publish("s3://other/channel", output)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(TtCondaError, match="no credentials") as error:
        publish("s3://bucket/channel", output)
    assert "AWS_ACCESS_KEY_ID" in error.value.way_out


def test_a_store_whose_index_is_none(output: Path, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def writes_nonsense(*args: Any, **more: Any) -> None:
        for subdir in index.SUBDIRS:
            store.put_object(Bucket="bucket", Key=f"channel/{subdir}/repodata.json", Body=b"{")

    monkeypatch.setattr("tt_conda.channel.publish.index_s3", writes_nonsense)
    with pytest.raises(TtCondaError, match=r"/repodata\.json is no index") as error:
        publish("s3://bucket/channel", output)
    assert "What was uploaded stays" in error.value.way_out


def test_a_store_that_one_may_not_look_into(
    output: Path, store: Any, conda_server: CondaServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the right to list, Amazon's says 403 of what is not there."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", conda_server.address)
    conda_server.troubles = [403] * 9
    with pytest.raises(TtCondaError, match="403") as error:
        publish("s3://bucket/channel", output)
    assert error.value.way_out.startswith("Nothing was uploaded") and "s3:ListBucket" in error.value.way_out


def test_a_reader_sees_only_what_is_whole(output: Path, store: Any, make: Make) -> None:
    """While packages are published in rounds: every index that is read is whole, and so is every package it names."""
    seen: list[int] = []
    wrong: list[BaseException] = []
    done = threading.Event()
    reader = boto3.client("s3")

    def look() -> None:
        while not done.is_set():
            try:
                seen.append(len(read(reader, "linux-64")))
            except BaseException as error:  # what it was is told below
                wrong.append(error)
                return

    thread = threading.Thread(target=look)
    thread.start()
    for version in ("2.0", "3.0", "4.0"):
        index.publish([make("lib", version), make("tool", version, depends=["lib"])], output)
        publish("s3://bucket/channel", output)
    done.set()
    thread.join()
    assert not wrong, wrong
    assert seen == sorted(seen), "nothing that was there is gone"
    assert len(seen) > 10 and len(read(store, "linux-64")) == 8


def test_stopped(output: Path, store: Any, make: Make) -> None:
    """What a stopped run left is no harm to readers, and the next run finishes it. Nothing tells the key."""
    index.publish([make(f"p{number}", files={"share/x": "x" * 300_000}) for number in range(4)], output)
    command = [sys.executable, "-m", "tt_conda.cli", "publish", "s3://bucket/channel"]
    variables = {**os.environ, "TT_CONDA_PROJECT": str(output.parent)}
    said = ""

    def names() -> list[str]:
        return [item["Key"] for item in store.list_objects_v2(Bucket="bucket").get("Contents", [])]

    for event, at, sent in (
        (r"send PUT .*\.conda", 1, signal.SIGKILL),
        (r"send PUT .*\.conda", 3, signal.SIGINT),
    ):
        stop = stopped(command, event, sent, at=at, env=variables)
        said += stop.stdout + stop.stderr
        under_way = sent == signal.SIGINT  # ^C reaches the main thread, while another one sends
        assert sum(name.endswith(".conda") for name in names()) in (at - 1, at if under_way else at - 1)
        read(store, "linux-64")
    for part in ("noarch/repodata.json", "linux-64/shards/", "linux-64/repodata.json"):  # rattler sends these
        with subprocess.Popen(
            command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as run:  # fmt: skip
            wait_until(lambda part=part: any(f"/{part}" in name for name in names()), run)
            run.kill()
            said += run.communicate()[0]
        read(store, "linux-64")
    index.publish([make("another")], output)  # so that it is sent, however far the run before has come
    stop = stopped(command, r"send PUT .*/channeldata\.json", signal.SIGINT, env=variables)
    said += stop.stdout + stop.stderr
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    said += done.stdout + done.stderr
    assert done.returncode == 0, said
    assert all(read(store, subdir) == local(output, subdir) for subdir in index.SUBDIRS)
    assert SECRET not in said


# --- conda servers ---


@dataclass
class CondaServer:
    """A server that takes every package of which ``folder``, the channel that is read from it, has not the name."""

    folder: Path
    address: str = ""
    sent: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    """Method, path, headers, body."""
    troubles: list[int] = field(default_factory=list)
    """What uploads are answered instead, one by one; 0: the connection is cut."""
    location: str = ""
    """Where it redirects to, with 3xx among the troubles."""
    index_status: int = 200
    forgets: bool = False
    """Takes packages and never lists them."""

    @property
    def uploads(self) -> list[tuple[str, str, dict[str, str], bytes]]:
        return [item for item in self.sent if item[0] in ("POST", "PUT")]

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if method == "GET":
            file = Path(self.folder, *path.split("/")[-2:])
            if self.index_status != 200 or not file.is_file():
                return (404 if self.index_status == 200 else self.index_status), b""
            return 200, file.read_bytes()
        if self.troubles:
            return self.troubles.pop(0), b"said by the server of " + SECRET.encode()
        held = [file.name for file in self.folder.glob("*/*.conda")]
        if any(name in path or name.encode() in body[:1000] for name in held):
            return 409, b"{}"
        if not self.forgets:
            named = re.search(r"[\w.-]+\.conda", path + body[:500].decode("latin-1"))
            assert named
            start, end = body.index(b"PK"), body.rfind(b"\r\n--") if body.startswith(b"--") else None
            taken = self.folder.parent / "taken" / named[0]
            taken.parent.mkdir(exist_ok=True)
            taken.write_bytes(body[start:end])
            index.publish([taken], self.folder)
        return 201, b"{}"


@pytest.fixture
def conda_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CondaServer]:
    found = CondaServer(tmp_path / "held")
    monkeypatch.setattr("tt_conda.channel.publish._PAUSES", (0.01, 0.01))
    monkeypatch.setattr("tt_conda.channel.publish._LISTED_WITHIN", 0.6)
    for variable in SECRETS.values():
        monkeypatch.setenv(variable, SECRET)

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            else:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found.sent.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            code, content = found.answer(self.command, self.path, body)
            if code == 0:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            self.send_response(code)
            if 300 <= code < 400:
                self.send_header("Location", found.location)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_PUT = do_GET = do_HEAD = answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        found.address = f"http://127.0.0.1:{server.server_address[1]}"
        yield found
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("kind", "header"), [("quetz", "x-api-key"), ("artifactory", "authorization"), ("prefix", "authorization")]
)
def test_to_a_conda_server(
    output: Path, conda_server: CondaServer, kind: str, header: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each package whole, what it needs first, with the key in a header."""
    result = publish(f"{kind}+{conda_server.address}/channel", output)
    assert sorted(result.published) == ["data-1.0-0.conda", "lib-1.0-0.conda", "tool-1.0-0.conda"]
    uploads = conda_server.uploads
    bodies = [(output / subdir / name).read_bytes() for name in result.published for subdir in index.SUBDIRS
              if (output / subdir / name).is_file()]  # fmt: skip
    assert len(uploads) == 3 and all(body in item[3] for item, body in zip(uploads, bodies, strict=True))
    assert all("channel" in path and SECRET in headers[header] for _, path, headers, _ in conda_server.sent)
    assert all(SECRET not in path for _, path, _, _ in conda_server.sent)
    order: Sequence[str] = result.published
    assert order.index("lib-1.0-0.conda") < order.index("tool-1.0-0.conda")
    said = "".join(capsys.readouterr())
    assert "has no noarch/repodata.json yet" in said and SECRET not in said


@pytest.mark.parametrize("kind", ["quetz", "artifactory", "prefix"])
def test_a_conda_server_keeps_what_is_published(
    output: Path, conda_server: CondaServer, make: Make, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is there is not sent again, another package of the name is refused before anything is sent."""
    index.publish([output / "linux-64/lib-1.0-0.conda"], conda_server.folder, keep=True)
    result = publish(f"{kind}+{conda_server.address}/channel", output)
    assert result.there == ["lib-1.0-0.conda"] and len(result.published) == len(conda_server.uploads) == 2
    assert "not known" not in "".join(capsys.readouterr())
    conda_server.sent.clear()
    index.publish([make("lib", files={"share/lib": "other"})], conda_server.folder)
    with pytest.raises(TtCondaError, match=r"other packages of these names:\n  linux-64/lib-1\.0-0\.conda"):
        publish(f"{kind}+{conda_server.address}/channel", output)
    assert conda_server.uploads == []


@pytest.mark.parametrize("kind", ["quetz", "artifactory", "prefix"])
def test_a_conda_server_whose_index_is_older_than_what_it_holds(
    output: Path, conda_server: CondaServer, make: Make, kind: str
) -> None:
    """It refuses the name; what it has is fetched and compared."""
    index.publish([], conda_server.folder)
    conda_server.forgets = True
    held = conda_server.folder / "linux-64/lib-1.0-0.conda"
    shutil.copy(output / "linux-64/lib-1.0-0.conda", held)
    result = publish(f"{kind}+{conda_server.address}/channel", output)
    assert result.there == ["lib-1.0-0.conda"] and len(result.accepted) == 2
    shutil.copy(make("lib", files={"share/lib": "other"}), held)
    with pytest.raises(TtCondaError, match=r"other packages of these names:\n  linux-64/lib-1\.0-0\.conda"):
        publish(f"{kind}+{conda_server.address}/channel", output)


@pytest.mark.parametrize(("kind", "status"), [("quetz", 403), ("artifactory", 507), ("prefix", 403), ("quetz", 409)])
def test_a_conda_server_that_refuses(output: Path, conda_server: CondaServer, kind: str, status: int) -> None:
    conda_server.troubles = [status] * 9
    with pytest.raises(TtCondaError, match=rf"does not take data-1\.0-0\.conda:\n.*HTTP {status}") as error:
        publish(f"{kind}+{conda_server.address}/channel", output)
    assert SECRET not in str(error.value) and "_" in error.value.way_out
    assert len(conda_server.uploads) == (3 if status > 500 else 1), "what may pass is tried again"


def test_a_conda_server_with_troubles_that_pass(output: Path, conda_server: CondaServer) -> None:
    for kind in ("quetz", "artifactory", "prefix"):
        shutil.rmtree(conda_server.folder, ignore_errors=True)
        conda_server.troubles = [503, 0]
        assert len(publish(f"{kind}+{conda_server.address}/channel", output).published) == 3


@pytest.mark.parametrize("kind", ["quetz", "prefix"])
def test_an_index_that_may_not_be_read(output: Path, conda_server: CondaServer, kind: str) -> None:
    conda_server.index_status = 403
    with pytest.raises(TtCondaError, match=r"/repodata\.json cannot be read: .*403") as error:
        publish(f"{kind}+{conda_server.address}/channel", output)
    assert "may read" in error.value.way_out and conda_server.uploads == []


@pytest.mark.parametrize("kind", ["quetz", "artifactory", "prefix"])
def test_what_no_index_lists_is_not_called_published(output: Path, conda_server: CondaServer, kind: str) -> None:
    """A server may answer 200 to anything, a proxy's login page included."""
    conda_server.forgets = True
    result = publish(f"{kind}+{conda_server.address}/channel", output)
    assert result.published == [] and len(result.accepted) == 3


@pytest.mark.parametrize("kind", ["quetz", "artifactory", "prefix"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_an_upload_follows_no_redirect(output: Path, conda_server: CondaServer, kind: str, status: int) -> None:
    """Neither the package nor the key goes where a server sends them."""
    conda_server.troubles, conda_server.location = [status] * 9, f"{conda_server.address}/elsewhere"
    with pytest.raises(TtCondaError, match="uploads are not redirected"):
        publish(f"{kind}+{conda_server.address}/channel", output)
    assert len(conda_server.uploads) == 1
    assert not any(path.startswith("/elsewhere") for _, path, _, _ in conda_server.sent)


@pytest.mark.parametrize("kind", list(SECRETS))
def test_a_key_is_not_sent_unencrypted(output: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in (SECRET, ""):
        monkeypatch.setenv(SECRETS[kind], key)
        with pytest.raises(TtCondaError, match="would be sent unencrypted") as error:
            publish(f"{kind}+http://conda.example/channel", output)
        assert "https" in error.value.way_out and SECRET not in str(error.value)


def test_a_crash_of_the_uploading_process_is_no_answer_of_the_server(
    output: Path, conda_server: CondaServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nor is it tried again. The boundary makes exit code 3 of it."""
    program = f"import sys; open({str(tmp_path / 'tried')!r}, 'a').write('x'); sys.exit(3)"
    monkeypatch.setattr("tt_conda.base.process.python", lambda *_: [sys.executable, "-c", program])
    with pytest.raises(RuntimeError, match="ended with 3"):
        publish(f"quetz+{conda_server.address}/channel", output)
    assert (tmp_path / "tried").read_text() == "x"


def test_where_a_channel_is_read() -> None:
    assert upload.reading_url("anaconda", "https://api.anaconda.org", "me") == "https://conda.anaconda.org/me"
    assert upload.reading_url("anaconda", "https://elsewhere", "me") is None
    assert upload.reading_url("quetz", "https://server", "me") == "https://server/get/me"
