"""pixi's and rattler's configuration: which files count, and that solving, installing and building follow it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tt_conda.base.errors import TtCondaError
from tt_conda.base.files import digests
from tt_conda.building.build import build
from tt_conda.channel import index, network
from tt_conda.environment import solver
from tt_conda.environment.install import install
from tt_conda.formats import conda

FORGE = "https://conda.anaconda.org/conda-forge"
TOKEN = "Bearer a-secret"

Make = Callable[..., Path]


@pytest.fixture(autouse=True)
def nothing_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CONFIG_HOME", "PIXI_HOME", "RATTLER_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    for name in ("PIXI_CONFIG_FILE", "PIXI_NO_CONFIG", "RATTLER_AUTH_FILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "workspace/.pixi").mkdir(parents=True)
    (tmp_path / "workspace/pixi.toml").write_text("[workspace]\n")
    monkeypatch.setenv("TT_CONDA_PROJECT", str(tmp_path / "workspace"))


def mirrors(**places: str) -> str:
    return "[mirrors]\n" + "".join(f'"{FORGE}{path.strip("_")}" = ["{url}"]\n' for path, url in places.items())


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@contextmanager
def serve(folder: Path, seen: list[str], token: str = "") -> Iterator[str]:
    """Serve a channel; with a token, to those who send it."""

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            del self.headers["If-Modified-Since"]  # rattler wants more in a 304 than this class of Python's sends
            if token and self.headers.get("Authorization") != token:
                self.send_error(401)
            else:
                super().do_GET()

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


# --- which files count ---


def test_the_last_file_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert network.mirrored(FORGE) == FORGE
    for folder in ("RATTLER_HOME", "XDG_CONFIG_HOME/pixi", "PIXI_HOME", "workspace/.pixi"):
        write(tmp_path / folder / "config.toml", mirrors(_=f"http://{folder.lower().replace('/', '.')}/"))
        assert network.mirrored(FORGE) == f"http://{folder.lower().replace('/', '.')}"
    write(tmp_path / "workspace/.pixi/config.toml", "")
    monkeypatch.setenv("PIXI_CONFIG_FILE", str(write(tmp_path / "other.toml", mirrors(_="http://other"))))
    assert network.mirrored(FORGE) == "http://other"
    monkeypatch.delenv("PIXI_CONFIG_FILE")
    monkeypatch.setenv("PIXI_NO_CONFIG", "true")
    assert network.mirrored(FORGE) == FORGE


def test_the_longest_url_is_the_mirror_that_counts(tmp_path: Path) -> None:
    write(
        tmp_path / "PIXI_HOME/config.toml", mirrors(_="http://all", _noarch="http://one").replace("noarch", "/noarch")
    )
    assert network.mirrored(f"{FORGE}/linux-64") == "http://all/linux-64"
    assert network.mirrored(f"{FORGE}/noarch") == "http://one"
    assert network.mirrored(f"{FORGE}2") == f"{FORGE}2"


@pytest.mark.parametrize("text", ["[mirrors", "[mirrors]\nconda-forge = 1\n", None])
def test_a_configuration_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:  # fmt: skip
    file = tmp_path / "broken.toml"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("PIXI_CONFIG_FILE", str(file))
    with pytest.raises(TtCondaError, match=str(file)) as error:
        network.client()
    assert "PIXI_CONFIG_FILE" in error.value.way_out


def test_what_rattler_build_is_told(tmp_path: Path) -> None:
    assert network.environ() == {}
    text = 'authentication-override-file = "/keys.json"\n[proxy-config]\nhttps = "http://proxy:1/"\n'
    write(tmp_path / "PIXI_HOME/config.toml", text + 'non-proxy-hosts = ["a", "b"]\n')
    assert network.environ() == {
        "RATTLER_AUTH_FILE": "/keys.json", "HTTPS_PROXY": "http://proxy:1/", "NO_PROXY": "a,b"
    }  # fmt: skip


# --- solving, installing, building ---


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return write(tmp_path / "keys.json", json.dumps({"127.0.0.1": {"BearerToken": TOKEN.split()[1]}}))


def test_packages_come_from_the_mirror_and_keep_their_address(tmp_path: Path, channel: Path, keys: Path) -> None:
    seen: list[str] = []
    with serve(channel, seen, TOKEN) as url:
        config = write(tmp_path / "PIXI_HOME/config.toml", mirrors(_=url))
        with pytest.raises(TtCondaError):
            solver.solve(["tool"], ["conda-forge"])
        write(config, f'authentication-override-file = "{keys}"\n{mirrors(_=url)}')
        records = install(["tool"], tmp_path / "env", ["conda-forge"])
    assert {record.url for record in records} == {
        f"{FORGE}/linux-64/lib-2.0-0.conda", f"{FORGE}/linux-64/tool-1.0-0.conda"
    }  # fmt: skip
    assert (tmp_path / "env/bin/tool").is_file() and "/linux-64/tool-1.0-0.conda" in seen


def test_a_channel_whose_name_begins_alike_is_another(tmp_path: Path, channel: Path) -> None:
    with serve(channel, []) as url:
        write(tmp_path / "PIXI_HOME/config.toml", f'[mirrors]\n"{url}/linux" = ["http://127.0.0.1:1/"]\n')
        assert solver.solve(["tool"], [url])


def test_what_an_index_is_asked_for(tmp_path: Path, channel: Path) -> None:
    seen: list[str] = []
    with serve(channel, seen) as url:
        options = "[repodata-config]\ndisable-sharded = true\ndisable-zstd = true\n"
        write(tmp_path / "PIXI_HOME/config.toml", options + mirrors(_=url))
        solver.solve(["tool"], ["conda-forge"])
    assert "/linux-64/repodata.json" in seen
    assert not [path for path in seen if "shards" in path or path.endswith(".zst")]


def test_a_build_through_a_mirror_is_the_same_package(
    tmp_path: Path, channel: Path, make: Make, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another port is another mirror; neither is named in the package."""
    index.publish([make("needed", files={"share/needed": "1"})], channel)
    recipe = {
        "package": {"name": "made", "version": "1.0"},
        "build": {"noarch": "generic", "string": "0", "script": ["mkdir $PREFIX/share/made"]},
        "requirements": {"host": ["needed"]},
        "tests": [{"script": ["true"], "requirements": {"run": ["lib"]}}],
    }
    found = []
    for number in (1, 2):
        monkeypatch.setenv("TT_CONDA_CACHE", str(tmp_path / f"cache{number}"))
        project = tmp_path / f"project{number}"
        write(project / "recipes/made/recipe.yaml", json.dumps(recipe))
        write(project / "variants.yaml", "{}\n")
        seen: list[str] = []
        with serve(channel, seen, TOKEN) as url:
            write(
                tmp_path / "PIXI_HOME/config.toml", f'authentication-override-file = "{keys}"\n{mirrors(_=url)}'
            )  # fmt: skip
            build([], channels=lambda: ["conda-forge"], project=project)
        assert {"/linux-64/needed-1.0-0.conda", "/linux-64/lib-2.0-0.conda"} <= set(seen)
        (package,) = project.glob("output/noarch/*.conda")
        with conda.opened(package) as parts:
            said = parts[conda.INFO].read("info/recipe/rendered_recipe.yaml").decode()
        assert "127.0.0.1" not in said and f"{FORGE}/linux-64/needed-1.0-0.conda" in said
        found.append(digests(package)[0])
    assert found[0] == found[1]
