"""The environments of a ``pixi.toml`` (https://pixi.sh/latest/reference/pixi_manifest/), read by pixi's own rules.

The rules are those of pixi v0.77.0, cited by file and line. Read are the keys that make up an environment of conda
packages; one that would change an environment and is not understood is refused, source dependencies among them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from rattler import MatchSpec, Subdir, Version
from rattler.exceptions import InvalidMatchSpecError
from rattler.platform.subdir import SubdirLiteral

from tt_conda.base import settings
from tt_conda.base.documents import DocumentError, read_toml
from tt_conda.base.errors import TtCondaError
from tt_conda.environment import lockfile

DEFAULT = "default"
"""The environment, and the feature, that need no table of their own."""

DEVELOP = "python -m pip install --no-deps --no-build-isolation --editable {{ checkout }}"
"""The task ``develop`` of a workspace that has none: all that a checkout needs is the environment's."""


class _ManifestTable(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=lambda name: name.replace("_", "-"))


class _Conda(_ManifestTable):
    version: str = "*"
    build: str = ""

    def spec(self, name: str) -> str:
        return " ".join([name, *(part for part in (self.version, self.build) if part)])


class _PyPI(_ManifestTable):
    version: str = "*"
    path: str = ""
    editable: bool = False

    def requirement(self, name: str) -> str:
        return name if self.version == "*" else f"{name}{self.version}"


def _version(value: Any) -> Any:
    return {"version": value} if isinstance(value, str) else value


Condas = dict[str, Annotated[_Conda, BeforeValidator(_version)]]
PyPIs = dict[str, Annotated[_PyPI, BeforeValidator(_version)]]


class _Activation(_ManifestTable):
    env: dict[str, str] = {}
    scripts: tuple[str, ...] = ()


class _Feature(_ManifestTable):
    dependencies: Condas = {}
    constraints: Condas = {}
    pypi_dependencies: PyPIs = {}
    activation: _Activation = _Activation()
    platforms: tuple[str, ...] | None = None
    tasks: dict[str, Any] = {}

    @property
    def develop(self) -> str:
        """The command of its task ``develop``; :data:`DEVELOP` where it has none, empty where that is not one line."""
        task = self.tasks.get("develop", DEVELOP)
        command = task.get("cmd") if isinstance(task, dict) else task
        return command if isinstance(command, str) else ""


class _Composed(_ManifestTable):
    features: tuple[str, ...] = ()
    no_default_feature: bool = False
    solve_group: str = ""


def _features(value: Any) -> Any:
    return {"features": value} if isinstance(value, list) else value


class _Platform(_ManifestTable):
    """One of ``workspace.platforms`` (crates/pixi_manifest/src/toml/platform.rs)."""

    given_name: str = Field("", alias="name")
    platform: str = ""
    cuda: str = ""
    archspec: str = ""
    glibc: str = ""
    linux: str = ""

    @model_validator(mode="after")
    def _is_one(self) -> _Platform:
        if self.subdir not in get_args(SubdirLiteral):
            raise ValueError(f"{self.subdir!r} is no conda platform")
        if self.given_name == self.subdir and self._virtual:  # pixi_manifest/src/platform.rs:451
            raise ValueError(f"{self.name} has virtual packages, so its name must be another one than its platform's")
        if not _PLATFORM_NAME.fullmatch(self.name) or self.name in _FAMILIES or len(self.name) > 64:
            raise ValueError(f"{self.name!r} is no name of a platform")
        return self

    @property
    def subdir(self) -> str:
        return self.platform or self.given_name

    @property
    def name(self) -> str:
        """The one in the table, or one derived of the platform and its virtual packages (lines 723 to 761)."""
        values = [f"{key}-{re.sub('[^A-Za-z0-9]+', '-', value).strip('-')}" for key, value in self._virtual.items()]
        return self.given_name or "-".join([self.platform, *values])

    @property
    def _virtual(self) -> dict[str, str]:
        """The virtual packages that are not pixi's defaults for the platform, in the order that names have them in."""
        given = {key: getattr(self, key) for key in ("cuda", "archspec", "glibc", "linux")}
        usual = _USUAL if self.subdir.startswith("linux-") else {}
        return {
            key: value for key, value in given.items()
            if value and not (key in usual and Version(value) == Version(usual[key]))
        }  # fmt: skip

    @property
    def usual_glibc(self) -> str:
        """The glibc that pixi solves for."""
        return self.glibc or (_USUAL["glibc"] if self.subdir.startswith("linux-") else "")


_USUAL = {"glibc": "2.28", "linux": "4.18"}
"""What pixi takes a Linux to have, whatever it has (crates/pixi_default_versions/src/lib.rs, lines 4 to 11)."""
_PLATFORM_NAME = re.compile(r"[A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])?")
_FAMILIES = ("linux", "unix", "win", "osx", "macos")


def _platform(value: Any) -> Any:
    return {"platform": value} if isinstance(value, str) else value


class _Workspace(BaseModel):
    model_config = ConfigDict(alias_generator=lambda name: name.replace("_", "-"))

    channels: tuple[str, ...]
    platforms: tuple[Annotated[_Platform, BeforeValidator(_platform)], ...]
    channel_priority: Literal["strict"] = "strict"
    solve_strategy: Literal["highest"] = "highest"
    exclude_newer: None = None

    @field_validator("platforms")
    @classmethod
    def _once_each(cls, platforms: tuple[_Platform, ...]) -> tuple[_Platform, ...]:
        names = [platform.name for platform in platforms]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"{', '.join(sorted(twice))} is there twice")
        return platforms


_NotUnderstood = Annotated[dict[str, Any], Field(max_length=0)]


class _Manifest(_ManifestTable):
    model_config = ConfigDict(extra="ignore")  # what is not about environments: packages, tools

    workspace: _Workspace
    dependencies: Condas = {}
    constraints: Condas = {}
    pypi_dependencies: PyPIs = {}
    activation: _Activation = _Activation()
    tasks: dict[str, Any] = {}
    target: _NotUnderstood = {}
    host_dependencies: _NotUnderstood = {}
    build_dependencies: _NotUnderstood = {}
    system_requirements: _NotUnderstood = {}
    pypi_options: _NotUnderstood = {}
    dev: _NotUnderstood = {}
    feature: dict[str, _Feature] = {}
    environments: dict[str, Annotated[_Composed, BeforeValidator(_features)]] = {}

    @property
    def platforms(self) -> tuple[_Platform, ...]:
        """The declared ones; where all are conda's own, features may add others (toml/manifest.rs:694)."""
        declared = self.workspace.platforms
        if any(platform.name != platform.subdir for platform in declared):
            return declared
        names = [platform.name for platform in declared]
        named = [name for feature in self.feature.values() for name in feature.platforms or () if name not in names]
        return (*declared, *(_Platform.model_validate({"platform": name}) for name in dict.fromkeys(named)))

    def features(self, environment: str) -> list[_Feature]:
        """Those that an environment is composed of."""
        composed = self.environments.get(environment, _Composed())
        own = _Feature.model_validate({
            "dependencies": self.dependencies, "constraints": self.constraints,
            "pypi-dependencies": self.pypi_dependencies, "activation": self.activation,
            "tasks": self.tasks,
        })  # fmt: skip
        named = [self.feature[name] for name in composed.features]
        return named if composed.no_default_feature else [*named, own]


@dataclass(frozen=True)
class Environment:
    """One environment of a workspace."""

    name: str
    manifest: Path
    """The ``pixi.toml``."""
    glibc: str
    """The version that packages are chosen for; empty where the platform has none."""
    specs: tuple[str, ...]
    """Conda packages that it holds."""
    constraints: tuple[str, ...]
    """What conda packages that come with others must satisfy."""
    editable: tuple[Path, ...]
    """Folders of Python projects that are installed for editing."""
    requirements: tuple[str, ...]
    """What comes from PyPI, as pip is told."""
    variables: Mapping[str, str]
    """What activation sets."""
    scripts: tuple[Path, ...]
    """What activation runs, in bash."""
    develop: str
    """The task ``develop``: the command that installs a checkout for editing, run in the workspace's folder."""
    title: str = ""
    """What people call it, where that is not its name."""

    @property
    def prefix(self) -> Path:
        """The folder that it is made in, where no other is named."""
        return self.manifest.parent / ".tt-conda" / "envs" / (self.title or self.name)

    @property
    def lock(self) -> Path:
        """The lock file of the workspace."""
        return self.manifest.parent / lockfile.WORKSPACE


@dataclass(frozen=True)
class Workspace:
    """A ``pixi.toml`` that was read and checked."""

    file: Path
    _content: _Manifest

    @property
    def names(self) -> list[str]:
        """Names of the environments."""
        return list(dict.fromkeys([DEFAULT, *self._content.environments]))

    @property
    def channels(self) -> list[str | Path]:
        """Its channels in order of priority: names, URLs and folders."""
        folder = self.file.parent
        return [
            Path(os.path.normpath(folder / channel)) if channel.startswith((".", "/")) else channel
            for channel in self._content.workspace.channels
        ]

    @property
    def lock(self) -> Path:
        """Its lock file."""
        return self.file.parent / lockfile.WORKSPACE

    def has_here(self, name: str) -> bool:
        """Whether an environment is for this machine's platform."""
        return any(platform.subdir == str(Subdir.current()) for platform in self._platforms(name))

    def environment(self, name: str) -> Environment:
        """One of them.

        Raises:
            TtCondaError: there is none of that name, or it is for other platforms than this one.
        """
        if name not in self.names:
            raise TtCondaError(
                f"{self.file} has no environment {name!r}.",
                f"It has: {', '.join(self.names)}. For a folder that is an environment: --prefix.",
            )
        platforms = self._platforms(name)
        here = [platform for platform in platforms if platform.subdir == str(Subdir.current())]
        if not here:
            raise TtCondaError(
                f"The environment {name} of {self.file} is for"
                f" {', '.join(sorted({p.subdir for p in platforms})) or 'nothing'}, and this machine is"
                f" {Subdir.current()}.",
                "Add the platform to its features, where there are packages for it.",
            )
        features = self._content.features(name)
        condas = [item for feature in features for item in feature.dependencies.items()]
        pypis = [item for feature in features for item in feature.pypi_dependencies.items()]
        folder = self.file.parent
        return Environment(
            name=name, manifest=self.file,
            glibc=here[0].usual_glibc,
            specs=tuple(dict.fromkeys(table.spec(package) for package, table in condas)),
            constraints=tuple(
                dict.fromkeys(table.spec(package) for f in features for package, table in f.constraints.items())
            ),
            editable=tuple(dict.fromkeys(folder / table.path for _, table in pypis if table.path)),
            requirements=tuple(table.requirement(package) for package, table in pypis if not table.path),
            develop=next((f.develop for f in features if "develop" in f.tasks), DEVELOP),
            variables={name: value for f in reversed(features) for name, value in f.activation.env.items()},
            scripts=tuple(dict.fromkeys(folder / script for f in features for script in f.activation.scripts)),
        )  # fmt: skip

    def _platforms(self, name: str) -> list[_Platform]:
        """Those that all of its features are for (crates/pixi_manifest/src/features_ext.rs, lines 160 to 235).

        A feature names a platform, or its conda platform, which then means every platform of that kind; unless another
        feature of the environment names one of them exactly.
        """
        platforms = self._content.platforms
        asked = [feature.platforms for feature in self._content.features(name) if feature.platforms is not None]
        exact = {platform.name for platform in platforms} & {reference for names in asked for reference in names}
        pinned = {platform.subdir for platform in platforms if platform.name in exact}
        return [
            platform for platform in platforms
            if all(platform.name in names or platform.subdir in names for names in asked)
            and (platform.name in exact or platform.subdir not in pinned)
        ]  # fmt: skip


def find(name: str, file: Path | None = None) -> tuple[Workspace, Environment]:
    """The environment that people call ``name``, and its workspace.

    That is one of ``file``, or of the nearest workspace upwards; else the default one of ``workspaces/NAME/`` in the
    project.

    Raises:
        TtCondaError: there is none, or the manifest cannot be read.
    """
    workspace = read(file or settings.workspace_file())
    if file is None and name not in workspace.names:
        further = _further()
        if name not in further:
            raise TtCondaError(
                f"{workspace.file} has no environment {name!r}, and the project no workspaces/{name}/.",
                f"There is: {', '.join([*workspace.names, *further])}. For a folder that is an environment: --prefix.",
            )
        workspace = read(further[name])
        return workspace, replace(workspace.environment(DEFAULT), title=name)
    return workspace, workspace.environment(name)


def grouped(names: Sequence[str], file: Path | None = None) -> list[tuple[Workspace, list[str]]]:
    """The workspaces of environments that people call ``names``, and their own names there; see :func:`find`.

    Without ``names``, the one workspace that is there, and none of its environments in particular.
    """
    if not names:
        return [(read(file or settings.workspace_file()), [])]
    found: dict[Path, tuple[Workspace, list[str]]] = {}
    for workspace, environment in (find(name, file) for name in names):
        found.setdefault(workspace.file, (workspace, []))[1].append(environment.name)
    return list(found.values())


def known(file: Path | None = None) -> list[str]:
    """The names that :func:`find` finds."""
    return [*read(file or settings.workspace_file()).names, *(() if file else _further())]


def _further() -> dict[str, Path]:
    """Name → manifest of the project's further workspaces."""
    return {file.parent.name: file for file in sorted(settings.project_dir().glob("workspaces/*/pixi.toml"))}


def read(file: Path) -> Workspace:
    """Read a ``pixi.toml``.

    Raises:
        TtCondaError: it is missing or not TOML, has a key that is not understood here, a spec that is none, a feature
            for a platform that the workspace does not declare, or an environment of a feature that it does not have.
    """
    try:
        content = _Manifest.model_validate(read_toml(file.read_text()))
    except FileNotFoundError as error:
        raise TtCondaError(f"There is no {file}.", "Name a workspace's pixi.toml with --manifest.") from error
    except (OSError, UnicodeDecodeError, DocumentError) as error:
        raise TtCondaError(f"{file} cannot be read: {error}", "It is TOML, as pixi reads it.") from error
    except ValidationError as error:
        wrong = "\n".join(f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise TtCondaError(f"{file} has what tt-conda does not understand:\n{wrong}", "pixi may do more.") from error
    for name, composed in content.environments.items():
        if missing := [feature for feature in composed.features if feature not in content.feature]:
            raise TtCondaError(f"{file}: the environment {name} has no feature {', '.join(missing)}.", "Correct it.")
    declared = [platform.name for platform in content.platforms]
    for name, feature in content.feature.items():
        if undeclared := [platform for platform in feature.platforms or () if platform not in declared]:
            raise TtCondaError(
                f"{file}: the feature {name} is for {', '.join(undeclared)}, which the workspace does not declare.",
                f"It declares: {', '.join(declared)}. A platform with virtual packages is called by its name.",
            )
    workspace = Workspace(file, content)
    for feature in [*content.feature.values(), *content.features(DEFAULT)]:
        for package, table in [*feature.dependencies.items(), *feature.constraints.items()]:
            spec = table.spec(package)
            try:
                MatchSpec(spec, strict=True)
            except InvalidMatchSpecError as error:
                raise TtCondaError(f"{file}: {spec!r} is no package spec: {error}", "Correct it.") from error
        if not re.search(r"{{\s*checkout\s*}}", feature.develop):
            raise TtCondaError(f"{file}: the task develop names no checkout.", "Its line has a {{ checkout }}.")
        for name, value in feature.activation.env.items():
            if "$" in value:
                raise TtCondaError(f"{file}: {name} = {value!r} is for a shell to expand.", "Set it to a plain value.")
    return workspace
