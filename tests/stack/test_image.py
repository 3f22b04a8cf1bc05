"""The image that the container file describes, built from the channel in output/ and looked into."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

import tools
from torch_builds import require_one_for_the_stack
from tt_conda.base import settings
from tt_conda.base.location import channel_url, local_path
from tt_conda.channel.serve import serving

pytestmark = pytest.mark.xdist_group("image")  # it is built once

PROJECT = Path(__file__).parents[2]
BASE = "debian:bookworm-slim"
IMAGE = f"localhost/tt-conda-test-{os.getpid()}"
LOADS = """
import os, torch_ttnn
from torch_ttnn.cpp_extension import ttnn_module
assert os.getuid() != 0 and os.access(os.path.expanduser("~"), os.W_OK) and not os.access("/opt/torch-ttnn", os.W_OK)
print(ttnn_module, os.environ["TT_METAL_RUNTIME_ROOT"])
"""


class Image(NamedTuple):
    """A container made from the image, not started."""

    container: str
    entry: list[str]
    root: Path


def buildah(*words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([tools.require("buildah"), *words], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def image(output: Path, others: Sequence[str | Path]) -> Iterator[Image]:
    tools.require("buildah")
    if buildah("pull", "--policy", "missing", BASE, check=False).returncode:
        pytest.skip(f"no image {BASE} is here, nor can it be fetched")
    channels = [*settings.extra_channels(), *others]
    require_one_for_the_stack([output, *channels])
    with contextlib.ExitStack() as stack:

        def address(channel: str | Path) -> str:
            folder = local_path(url := channel_url(channel))
            return stack.enter_context(serving([folder], "127.0.0.1", 0)) if folder else url

        given = {"CHANNEL": address(output), "TT_CONDA_CHANNELS": ",".join(map(address, channels))}
        options = [word for name, value in given.items() for word in ("--build-arg", f"{name}={value}")]
        # within this machine's network, and needing nothing of its kernel but chroot
        buildah("bud", "--isolation", "chroot", "--tag", IMAGE, *options, PROJECT)
    container = buildah("from", IMAGE).stdout.strip()
    try:
        entry = json.loads(buildah("inspect", "--type", "image", IMAGE).stdout)["OCIv1"]["config"]["Entrypoint"]
        yield Image(container, entry, Path(buildah("mount", container).stdout.strip()))
    finally:
        buildah("rm", container)
        buildah("rmi", IMAGE)


def test_torch_ttnn_is_imported_by_a_user_without_roots_rights(image: Image) -> None:
    command = ["python", "-c", LOADS]
    done = buildah("run", "--isolation", "chroot", image.container, "--", *image.entry, *command)
    assert "ttnn_device_extension" in done.stdout and "/opt/torch-ttnn/share/tt-metalium" in done.stdout


def test_an_interactive_shell_is_activated(image: Image) -> None:
    done = buildah("run", "--isolation", "chroot", image.container, "--", "bash", "-ic", "echo $TT_METAL_RUNTIME_ROOT")
    assert done.stdout.strip() == "/opt/torch-ttnn/share/tt-metalium"


def test_it_has_the_environment_and_no_more(image: Image) -> None:
    assert (image.root / "opt/torch-ttnn/conda-meta").is_dir()
    assert [path.name for path in (image.root / "opt").iterdir()] == ["torch-ttnn"]
    assert not (image.root / "tt-conda").exists() and not list((image.root / "root").glob(".cache/*"))
    assert not list((image.root / "opt/torch-ttnn").rglob("*.conda"))
