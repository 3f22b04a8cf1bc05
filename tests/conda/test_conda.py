"""The suite's packages in the hands of real conda and mamba: every command that a person has for an environment."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

import metalium
import tools
import torch_builds
from real_conda import Conda, with_each, with_each_solver
from tt_conda.audit.mapped import mapped_objects, parse_probe, probe_command, problems
from tt_conda.base import settings
from tt_conda.base.location import channel_url, local_path
from tt_conda.channel import index
from tt_conda.channel.serve import serving

TORCH_TTNN = ["torch", "torch_ttnn", "torch_ttnn.cpp_extension"]
EXTENSION = [
    "'ttnn_device_extension' in str(torch_ttnn.cpp_extension.ttnn_module)",
    "'torch.ttnn' in sys.modules",
    "'ttnn' in torch._dynamo.list_backends(exclude_tags=None)",
]
"""True once the extension is loaded and registered."""


def run(conda: Conda, prefix: Path, *words: str) -> str:
    return conda("run", "-p", prefix, *words).stdout


def packages(prefix: Path) -> set[str]:
    return {path.stem for path in prefix.glob("conda-meta/*.json")}


def assert_ttnn(conda: Conda, prefix: Path, version: str = "0.81.1") -> None:
    """ttnn is imported from the environment, and each library is mapped once, from its lib/."""
    code = "import importlib.metadata, os, ttnn; print(ttnn.__file__); print(os.environ['TT_METAL_RUNTIME_ROOT'])"
    file, root = run(conda, prefix, "python", "-c", code).splitlines()[-2:]
    assert Path(file).is_relative_to(prefix) and root == f"{prefix}/share/tt-metalium"
    assert any(name.startswith(f"ttnn-{version}-") for name in packages(prefix))
    assert_once(conda, prefix, ["ttnn"])


def assert_once(conda: Conda, prefix: Path, modules: Sequence[str], checks: Sequence[str] = ()) -> None:
    said = conda.call(*probe_command(prefix / "bin/python", modules, checks)).stdout
    assert problems(mapped_objects(parse_probe(said), prefix), prefix) == []


def remove(conda: Conda, prefix: Path, *names: str) -> None:
    # with the channels: the rattler solver looks for what stays in them
    conda("remove", "-y", "-p", prefix, *names, **conda.from_channels)


def assert_gone(prefix: Path, module: str) -> None:
    """Nothing of the package is left, nor what Python would take for a namespace package."""
    assert not list(prefix.glob(f"lib/python*/site-packages/{module}"))
    assert not [path for path in prefix.rglob("*.c~") if "torch" not in path.parts]  # docs/unverified.md has PyTorch's
    done = subprocess.run([prefix / "bin/python", "-c", f"import {module}"], capture_output=True, text=True)
    assert "ModuleNotFoundError" in done.stderr


@with_each_solver
def test_create_and_remove(solving: Conda, python: str, tmp_path: Path) -> None:
    prefix = solving.create(tmp_path / "env", "ttnn=0.81.1", f"python={python}")
    assert_ttnn(solving, prefix)
    remove(solving, prefix, "ttnn")
    assert_gone(prefix, "ttnn")
    there = {name.rsplit("-", 2)[0] for name in packages(prefix)}  # the classic solver has removed what ttnn brought
    if left := sorted({"libttnn", "tt-metal", "tt-metal-kernels"} & there):
        remove(solving, prefix, *left)
    assert not (prefix / "share/tt-metalium").exists()
    assert not list(prefix.glob("etc/conda/*activate.d/tt-metal*"))


@with_each_solver
@pytest.mark.usefixtures("pytorch")
def test_install_torch_ttnn_into_an_environment(solving: Conda, tmp_path: Path) -> None:
    prefix = solving.create(tmp_path / "env", "python=3.10")
    solving("install", "-y", "-p", prefix, "torch-ttnn", **solving.from_channels)
    assert_once(solving, prefix, TORCH_TTNN, EXTENSION)
    remove(solving, prefix, "torch-ttnn", "ttnn")
    for module in ("ttnn", "torch_ttnn"):
        assert_gone(prefix, module)


@with_each_solver
def test_update(solving: Conda, tmp_path: Path) -> None:
    prefix = solving.create(tmp_path / "env", "ttnn=0.65.0.dev20251205", "python=3.10")
    assert_ttnn(solving, prefix, "0.65.0.dev20251205")
    solving("install", "-y", "-p", prefix, "ttnn=0.81.1", **solving.from_channels)
    assert_ttnn(solving, prefix)
    solving("update", "-y", "-p", prefix, "ttnn", **solving.from_channels)
    assert_ttnn(solving, prefix)
    assert not list(prefix.rglob("*.c~"))


@with_each_solver
def test_not_beside_conda_forge_s_package_of_the_same_files(solving: Conda, tmp_path: Path) -> None:
    beside = ["-c", channel_url(metalium.make_channel(tmp_path))]
    words = ["create", "--dry-run", "-p", tmp_path / "env", *beside]
    for name in ("ttnn", "tt-metalium"):
        solving(*words, name, **solving.from_channels)
    done = solving(*words, "ttnn", "tt-metalium", check=False, **solving.from_channels)
    assert re.search("UnsatisfiableError|Could not solve", done.stderr), done.stderr


@pytest.fixture(scope="module")
def cut(conda: Conda, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Channels as docs/publishing.md cuts them, by name, with a PyTorch in conda-forge's place."""
    places = [conda.channels[0], *map(channel_url, settings.extra_channels())]
    for cxx_stdlib in ("libcxx", "libstdcxx"):
        torch_builds.require(cxx_stdlib, "3.10", places)
    listed = {item.path.name: item for url in reversed(places) if (at := local_path(url)) for item in index.listed(at)}
    named = [(str(item.record["name"]), str(item.record["build"]), item) for item in listed.values()]
    suite = [item for name, _, item in named if name not in ("libtorch", "pytorch")]
    libcxx, libstdcxx = (
        [item for name, build, item in named if name in ("libtorch", "pytorch") and build.startswith(f"{cxx_stdlib}_")]
        for cxx_stdlib in ("libcxx", "libstdcxx")
    )
    stdlib = [item for name, _, item in named if name == "torch-cxx-stdlib"]
    folder = tmp_path_factory.mktemp("cut")
    for name, items in {
        "suite": suite, "libcxx": [*stdlib, *libcxx], "libstdcxx": [*stdlib, *libstdcxx],
        "both": [*stdlib, *libcxx, *libstdcxx], "uncut": [*suite, *libcxx], "forge": libstdcxx,
    }.items():  # fmt: skip
        index.link(items, folder / name)
    return folder


@with_each_solver
@pytest.mark.parametrize("priority", ["strict", "flexible"])
@pytest.mark.parametrize(
    ("names", "strict", "flexible"),
    [
        (["suite"], "forge", "forge"),
        (["libstdcxx", "suite"], "libstdcxx", "libstdcxx"),
        (["both", "suite"], "both", "both"),
        (["libcxx", "suite"], "", "forge"),
        (["uncut"], "", "forge"),
    ],
)
def test_which_pytorch_it_is(
    solving: Conda, cut: Path, priority: str, names: list[str], strict: str, flexible: str, tmp_path: Path
) -> None:
    """The table of docs/measured/solvers.md; no channel where no PyTorch is found."""
    urls = [*(channel_url(cut / name) for name in [*names, "forge"]), *solving.channels[1:]]
    done = solving(
        "create", "--dry-run", "--json", "-p", tmp_path / "env", "torch-ttnn", check=False,
        CONDA_CHANNELS=",".join(urls), CONDA_CHANNEL_PRIORITY=priority, MAMBA_CHANNEL_PRIORITY=priority,
    )  # fmt: skip
    said = json.loads(done.stdout)
    chosen = [
        (p["channel"], p["build_string"]) for p in said.get("actions", {}).get("LINK", []) if p["name"] == "pytorch"
    ]
    expected = strict if priority == "strict" else flexible
    if expected:
        ((channel, build),) = chosen
        assert channel.rpartition("/")[2] == expected and build.startswith("libstdcxx_")
    else:
        assert done.returncode and "torch-cxx-stdlib" in done.stdout, said


@with_each
def test_over_http(conda: Conda, python: str, tmp_path: Path) -> None:
    folders = [folder for url in conda.channels if (folder := local_path(url))]
    with serving(folders) as url:
        served = [f"{url}/{folder.name}" for folder in folders]
        remote = [channel for channel in conda.channels if local_path(channel) is None]
        cold = Conda(conda.program, tmp_path, [*served, *remote], conda.settings)
        (tmp_path / "condarc").touch()
        prefix = cold.create(tmp_path / "env", "ttnn=0.81.1", f"python={python}")
        assert_ttnn(cold, prefix)


@with_each
def test_clone(conda: Conda, ttnn: Path, tmp_path: Path) -> None:
    conda("create", "-y", "-p", tmp_path / "clone", "--clone", ttnn, "--offline")
    assert packages(tmp_path / "clone") == packages(ttnn)
    assert_ttnn(conda, tmp_path / "clone")


@with_each
def test_explicit_list(conda: Conda, ttnn: Path, tmp_path: Path) -> None:
    # mamba 2.8.1 leaves out of its list the line @EXPLICIT, which it looks for in a file
    conda_s, mamba_s = ["list", "--explicit", "--sha256"], ["env", "export", "--explicit"]
    said = conda(*(conda_s if conda.program.name == "conda" else mamba_s), "-p", ttnn).stdout
    (tmp_path / "ttnn.txt").write_text(said)
    conda("create", "-y", "-p", tmp_path / "env", "--file", tmp_path / "ttnn.txt")
    assert packages(tmp_path / "env") == packages(ttnn)
    assert_ttnn(conda, tmp_path / "env")


@with_each
def test_export(conda: Conda, ttnn: Path, tmp_path: Path) -> None:
    (tmp_path / "environment.yml").write_text(conda("env", "export", "-p", ttnn).stdout)
    conda("env", "create", "-y", "-p", tmp_path / "env", "-f", tmp_path / "environment.yml")
    assert packages(tmp_path / "env") == packages(ttnn)
    assert_ttnn(conda, tmp_path / "env")


@with_each
def test_conda_pack(conda: Conda, ttnn: Path, tmp_path: Path) -> None:
    """Moved to a folder with a longer name, where conda-unpack writes its prefix; the original is not there then."""
    conda.call(conda.tool("conda-pack"), "-q", "-p", ttnn, "-o", tmp_path / "env.tar")
    moved = tmp_path / ("moved" * 8)
    moved.mkdir()
    conda.call("tar", "-xf", tmp_path / "env.tar", "-C", moved)
    conda.call(moved / "bin/python", moved / "bin/conda-unpack")
    programs = {path for path in moved.glob("bin/*") if path.is_file()} - {
        moved / "bin/conda-unpack"
    }  # it lists old prefixes
    assert programs and not [path for path in programs if bytes(ttnn) in path.read_bytes()]
    said = conda.call(
        "bash", "-c", f". {moved}/bin/activate; python -c 'import ttnn; print(ttnn.__file__)'; tt-run --help"
    )
    assert str(moved) in said.stdout and "Usage: tt-run" in said.stdout


HOOKS = {
    ("conda", "bash"): 'eval "$(conda shell.bash hook)"',
    ("conda", "zsh"): 'eval "$(conda shell.zsh hook)"',
    ("conda", "dash"): 'eval "$(conda shell.posix hook)"',
    ("conda", "fish"): "conda shell.fish hook | source",
    ("conda", "tcsh"): "source {root}/etc/profile.d/conda.csh",
    ("mamba", "bash"): 'eval "$({name} shell hook --shell bash)"',
    ("mamba", "zsh"): 'eval "$({name} shell hook --shell zsh)"',
    ("mamba", "dash"): 'eval "$({name} shell hook --shell posix)"',
    ("mamba", "fish"): "{name} shell hook --shell fish | source",
}
"""Program, shell → what makes its ``activate`` known. mamba 2.8.1 refuses what its own script for tcsh passes to it."""


@pytest.mark.parametrize(
    ("conda", "shell", "hook"), [pytest.param(*pair, hook, id="-".join(pair)) for pair, hook in HOOKS.items()],
    indirect=["conda"], scope="session",
)  # fmt: skip
def test_activation(conda: Conda, ttnn: Path, shell: str, hook: str, tmp_path: Path) -> None:
    """Stacked, nested, with the package removed from the active environment, with a value of the person's own."""
    program, name = tools.require(shell), conda.program.name
    root = json.loads(conda("info", "--json").stdout).get("root_prefix")  # mamba names it otherwise
    for env in ("b", "removed"):
        conda("create", "-y", "-p", tmp_path / env, "--clone", ttnn, "--offline")
    say = 'echo "value $TT_METAL_RUNTIME_ROOT"'
    mine = {"fish": "set -gx TT_METAL_RUNTIME_ROOT /mine", "tcsh": "setenv TT_METAL_RUNTIME_ROOT /mine"}
    a, b, removed = str(ttnn), str(tmp_path / "b"), str(tmp_path / "removed")
    roots = {prefix: f"{prefix}/share/tt-metalium" for prefix in (a, b, removed)}
    steps = [
        (f"{name} activate {a}", roots[a]),
        (f"{name} activate --stack {b}", roots[b]),
        (f"{name} deactivate", roots[a]),
        (f"{name} activate {b}", roots[b]),
        (f"{name} deactivate", roots[a]),
        (f"{name} activate {removed}", roots[removed]),
        (f"{name} remove -y -q --offline tt-metal-kernels", None),
        (f"{name} activate {b}", roots[b]),
        (f"{name} deactivate", None),
        (f"{name} deactivate", roots[a]),
        (mine.get(shell, "export TT_METAL_RUNTIME_ROOT=/mine"), "/mine"),
        (f"{name} activate --stack {b}", "/mine"),
        (f"{name} deactivate", "/mine"),
        (f"{name} deactivate", "/mine"),
    ]
    lines = [hook.format(root=root, name=name)]
    for step, value in steps:
        lines += [step, say] if value else [step]
    (tmp_path / "script").write_text("\n".join(lines) + "\n")
    done = conda.call(program, tmp_path / "script", HOME=str(tmp_path))
    assert re.findall(r"^value (.*)$", done.stdout, re.M) == [value for _, value in steps if value], done.stderr
