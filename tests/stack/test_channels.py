"""What is carved is the same file whichever channel it is carved beside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tt_conda.building.verify import verify
from tt_conda.channel import index
from tt_conda.channel.serve import serving
from tt_conda.embedded.assemble import ensure_channel
from tt_conda.formats import conda
from tt_conda.formats.conda import INFO

pytestmark = pytest.mark.debian

OTHER = {
    "libhwloc": {"version": "2.11.3", "build": "default_h0ffee_1001", "build_number": 1001},
    "libnuma": {"version": "2.0.18"},
    "libstdcxx": {"version": "15.2.0", "build": "h934c35e_7", "build_number": 7},
    "openmpi": {"build": "hb85ec53_110", "build_number": 110},
    "rich": {"version": "99.0"},
}
"""Package → what it says of itself in the other channel, as a later one would."""


def restamped(package: Path, folder: Path, **identity: object) -> Path:
    """The same package with another version, build string or build number."""
    with conda.opened(package) as parts:
        said = {**json.loads(parts[INFO].read("info/index.json")), **identity}
        entries = {
            kind: [
                conda.Entry(name, item.mode, b"" if item.issym() else part.read(name), link=item.linkname)
                if name != "info/index.json" else conda.Entry(name, 0o644, json.dumps(said).encode())
                for name, item in part.entries.items()
            ]
            for kind, part in parts.items()
        }  # fmt: skip
        target = folder / f"{said['name']}-{said['version']}-{said['build']}.conda"
        conda.write(target, entries, 0, 1)
    return target


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The embedded channel with some packages of other versions and builds, over HTTP."""
    root, embedded = tmp_path_factory.mktemp("elsewhere"), ensure_channel()
    listed = {item.path: item for item in index.listed(embedded)}
    changed = {path: item.record["name"] for path, item in listed.items() if item.record["name"] in OTHER}
    assert set(changed.values()) == set(OTHER)
    index.link((item for path, item in listed.items() if path not in changed), root / "channel")
    index.publish([restamped(path, root, **OTHER[name]) for path, name in changed.items()], root / "channel")
    with serving([root / "channel"]) as url:
        yield url


def test_carved_beside_other_packages_it_is_the_same(output: Path, elsewhere: str, pythons: list[str]) -> None:
    version = {"3.12": "0.81.1", "3.10": "0.65.0.dev20251205"}[pythons[-1]]
    python = pythons[-1].replace(".", "")
    patterns = [f"tt-metal-{version}-*", f"libttnn-{version}-*_wheel_*", f"ttnn-{version}-*_wheel_py{python}_*"]
    packages = [next(output.glob(f"linux-64/{pattern}.conda")) for pattern in patterns]
    verdicts = verify(packages, [output, elsewhere], jobs=1)
    for verdict in verdicts:
        assert verdict.same, (verdict.package.name, verdict.differences)
        log = (output / ".logs" / f"{verdict.package.stem}.again.log").read_text()
        assert "default_h0ffee_1001" in log, "it is carved beside the other channel's"
