"""What a ``pixi.toml`` says of its environments (https://pixi.sh/latest/reference/pixi_manifest/).

Of the format, read is what such environments consist of; a key that would change one and is not understood is refused.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from rattler import MatchSpec, Subdir
from rattler.exceptions import InvalidMatchSpecError

from tt_conda.channel import lockfile
from tt_conda.errors import TtCondaError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEFAULT = "default"
"""The environment, and the feature, that need no table of their own."""

DEVELOP = "python -m pip install --no-deps --no-build-isolation --editable {{ checkout }}"
"""The task ``develop`` of a workspace that has none: all that a checkout needs is the environment's."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=lambda name: name.replace("_", "-"))


class _Conda(_Table):
    version: str = "*"
    build: str = ""
    path: str = ""

    def spec(self, name: str) -> str:
        return " ".join([name, *(part for part in (self.version, self.build) if part)])


class _PyPI(_Table):
    version: str = "*"
    path: str = ""
    editable: bool = False

    def requirement(self, name: str) -> str:
        return name if self.version == "*" else f"{name}{self.version}"


def _version(value: Any) -> Any:
    return {"version": value} if isinstance(value, str) else value


Condas = dict[str, Annotated[_Conda, BeforeValidator(_version)]]
PyPIs = dict[str, Annotated[_PyPI, BeforeValidator(_version)]]


class _Activation(_Table):
    env: dict[str, str] = {}


class _Feature(_Table):
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


class _Composed(_Table):
    features: tuple[str, ...] = ()
    no_default_feature: bool = False
    solve_group: str = ""


def _features(value: Any) -> Any:
    return {"features": value} if isinstance(value, list) else value


class _Workspace(BaseModel):
    model_config = ConfigDict(alias_generator=lambda name: name.replace("_", "-"))

    platforms: list[str | dict[str, str]]
    build_variants_files: tuple[Path, ...] = ()


_NotUnderstood = Annotated[dict[str, Any], Field(max_length=0)]


class _Manifest(_Table):
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
    specs: tuple[str, ...]
    """Conda packages that it holds."""
    constraints: tuple[str, ...]
    """What conda packages that come with others must satisfy."""
    built: tuple[str, ...]
    """Names of those in :attr:`specs` that the workspace builds itself."""
    editable: tuple[Path, ...]
    """Folders of Python projects that are installed for editing."""
    requirements: tuple[str, ...]
    """What comes from PyPI, as pip is told."""
    variables: Mapping[str, str]
    """What activation sets."""
    variants: tuple[Path, ...]
    """What the workspace's packages are built for, after the recipes' own axes."""
    develop: str
    """The task ``develop``: the command that installs a checkout for editing, run in the workspace's folder."""

    @property
    def prefix(self) -> Path:
        """The folder that it is made in, where no other is named."""
        return self.manifest.parent / ".tt-conda" / "envs" / self.name

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

    def has_here(self, name: str) -> bool:
        """Whether an environment is for this machine's platform."""
        return str(Subdir.current()) in self._platforms(name)

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
        if not self.has_here(name):
            raise TtCondaError(
                f"The environment {name} of {self.file} is for {', '.join(sorted(self._platforms(name))) or 'nothing'},"
                f" and this machine is {Subdir.current()}.",
                "Add the platform to its features, where there are packages for it.",
            )
        features = self._content.features(name)
        condas = [item for feature in features for item in feature.dependencies.items()]
        pypis = [item for feature in features for item in feature.pypi_dependencies.items()]
        folder = self.file.parent
        return Environment(
            name=name, manifest=self.file,
            specs=tuple(dict.fromkeys(table.spec(package) for package, table in condas)),
            constraints=tuple(
                dict.fromkeys(table.spec(package) for f in features for package, table in f.constraints.items())
            ),
            built=tuple(dict.fromkeys(package for package, table in condas if table.path)),
            editable=tuple(dict.fromkeys(folder / table.path for _, table in pypis if table.path)),
            requirements=tuple(table.requirement(package) for package, table in pypis if not table.path),
            variants=tuple(folder / file for file in self._content.workspace.build_variants_files),
            develop=next((f.develop for f in features if "develop" in f.tasks), DEVELOP),
            variables={name: value for f in reversed(features) for name, value in f.activation.env.items()},
        )  # fmt: skip

    def _platforms(self, name: str) -> set[str]:
        """The intersection of its features' platforms, by their conda names."""
        declared = self._content.workspace.platforms
        known = {p if isinstance(p, str) else p.get("name", p.get("platform", "")): p for p in declared}
        subdirs = {key: p if isinstance(p, str) else p.get("platform", key) for key, p in known.items()}
        found = set(subdirs.values())
        for feature in self._content.features(name):
            if feature.platforms is not None:
                found &= {subdirs.get(platform, platform) for platform in feature.platforms}
        return found


def read(file: Path) -> Workspace:
    """Read a ``pixi.toml``.

    Raises:
        TtCondaError: it is missing or not TOML, has a key that is not understood here, a spec that is none, or an
            environment of a feature that it does not have.
    """
    try:
        content = _Manifest.model_validate(tomllib.loads(file.read_text()))
    except FileNotFoundError as error:
        raise TtCondaError(f"There is no {file}.", "Name a workspace's pixi.toml with --manifest.") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TtCondaError(f"{file} cannot be read: {error}", "It is TOML, as pixi reads it.") from error
    except ValidationError as error:
        wrong = "\n".join(f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise TtCondaError(f"{file} has what tt-conda does not understand:\n{wrong}", "pixi may do more.") from error
    for name, composed in content.environments.items():
        if missing := [feature for feature in composed.features if feature not in content.feature]:
            raise TtCondaError(f"{file}: the environment {name} has no feature {', '.join(missing)}.", "Correct it.")
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
