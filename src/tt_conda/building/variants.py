"""The axes of ``variants.yaml``, narrowed to what was asked for, and the recipes rendered with them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rattler_build import RattlerBuildError, RenderedVariant, Stage0Recipe, VariantConfig

from tt_conda.base.errors import TtCondaError

OPTIONS = ("origin", "cxx_stdlib", "python")
"""Variant keys with a command-line option of their own; the others are set by ``--variant KEY=VALUE``."""

ON_REQUEST = "variants-on-request.yaml"
"""Beside ``variants.yaml``: further values of its keys, built only when they are named."""


@dataclass(frozen=True)
class Output:
    """One package that a recipe gives for one combination of the axes."""

    recipe: Path
    rendered: RenderedVariant
    known_axes: frozenset[str]
    """The axes of ``variants.yaml``; rattler-build's own list also holds pins and platforms."""

    @property
    def name(self) -> str:
        """Package name."""
        return self.rendered.recipe.package.name

    @property
    def version(self) -> str:
        """Package version."""
        return self.rendered.recipe.package.version

    @property
    def on_request(self) -> bool:
        """Whether its recipe says that it takes too long to be built unless it is asked for (``extra: on_request``)."""
        return bool((self.rendered.recipe.to_dict().get("extra") or {}).get("on_request"))

    @property
    def internal(self) -> bool:
        """Whether its recipe says that packages are only built with it (``extra: internal``, a list of names)."""
        return self.name in ((self.rendered.recipe.to_dict().get("extra") or {}).get("internal") or ())

    @property
    def sources(self) -> list[str]:
        """The folders that its sources are taken from, where they are files of the project."""
        found = [source.to_dict() for source in self.rendered.recipe.sources]
        return [str(source["path"]) for source in found if "path" in source]

    @property
    def stem(self) -> str:
        """File name without its ending: name-version-build."""
        return f"{self.name}-{self.version}-{self.rendered.recipe.build.string}"

    @property
    def requirements(self) -> set[str]:
        """Names of the packages that building it, testing it or running it needs."""
        return self._named("build", "host", "run")

    @property
    def environments(self) -> set[str]:
        """Names of the packages that it is made in and against."""
        return self._named("build", "host")

    @property
    def needed_to_run(self) -> set[str]:
        """Names of the packages that running it needs."""
        return self._named("run")

    def _named(self, *parts: str) -> set[str]:
        found = self.rendered.recipe.requirements.to_dict()
        return {_name(spec) for part in parts for spec in found.get(part, [])}

    @property
    def axes(self) -> dict[str, str]:
        """The values of the axes that it depends on."""
        return {axis: value for axis, value in self.rendered.variant.items() if axis in self.known_axes}

    def requires(self, other: Output) -> bool:
        """Whether building, testing or running it needs ``other``: by name, where the axes that both have agree."""
        return other.name in self.requirements and self._goes_with(other)

    def is_made_against(self, other: Output) -> bool:
        """Whether ``other`` belongs to its build or host environment."""
        return other.name in self.environments and self._goes_with(other)

    def _goes_with(self, other: Output) -> bool:
        if other.name == self.name:
            return False
        mine, theirs = self.axes, other.axes
        return all(mine[axis] == theirs[axis] for axis in mine.keys() & theirs.keys())


def _name(spec: Any) -> str:
    if isinstance(spec, Mapping):  # pin_subpackage and its like
        inner = next(iter(spec.values()))
        spec = inner["name"] if isinstance(inner, Mapping) else inner
    return str(spec).split()[0]


def narrow(
    variants: Path, wanted: Mapping[str, Sequence[str]], instead: Mapping[str, Sequence[str]] | None = None
) -> VariantConfig:
    """Read the axes and keep the wanted values of each; zipped axes lose the same places.

    Args:
        variants: ``variants.yaml``. Where an origin is wanted for which a file lies beside it
            (``variants.source.yaml``), what that one says of an axis comes in place of what this one says.
        wanted: axis → values; an axis that is not named keeps all of its values.
        instead: axis → values that the channels in use have in place of the file's.

    Raises:
        TtCondaError: a file cannot be read, or has no such value; origins that have different axes are wanted together.
    """
    origins = wanted.get("origin", ())
    further = [file for origin in origins if (file := variants.with_suffix(f".{origin}.yaml")).is_file()]
    if further and len(origins) > 1:
        raise TtCondaError(
            f"{' and '.join(origins)} are built for different versions ({further[0].name})",
            "Name one origin at a time.",
        )
    values: dict[str, list[Any]] = {}
    groups: list[list[str]] = []
    said_in: dict[str, Path] = {}
    for file in (variants, *further):
        config = _read(file)
        values.update(config.to_dict())
        said_in.update(dict.fromkeys(config.to_dict(), file))
        groups += [list(group) for group in config.zip_keys or []]
    values.update({axis: list(other) for axis, other in (instead or {}).items() if axis in values})
    for axis, chosen in wanted.items():
        have = [str(value) for value in values.get(axis, [])]
        if unknown := [value for value in chosen if value not in have]:
            raise TtCondaError(
                f"{said_in.get(axis, variants)}: {axis} has no value {', '.join(unknown)}",
                f"It has: {', '.join(have) or 'none'}.{_other_origin(variants, axis, unknown)}",
            )
        places = [place for place, value in enumerate(have) if value in chosen]
        group = next((group for group in groups if axis in group), [axis])
        for member in group:
            values[member] = [values[member][place] for place in places]
    return VariantConfig(values, zip_keys=groups or None)


def _other_origin(variants: Path, axis: str, values: Collection[str]) -> str:
    """The option for the origin that has these values, as a sentence; nothing where none has."""
    for origin, file in _origins(variants):
        if {*values} <= {*map(str, _read(file).to_dict().get(axis, ()))}:
            return f" {file.name} has {', '.join(values)}: --origin {origin}"
    return ""


def _origins(variants: Path) -> Iterator[tuple[str, Path]]:
    """The origins with versions of their own, and their files."""
    for file in sorted(variants.parent.glob(f"{variants.stem}.*{variants.suffix}")):
        yield file.name.split(".")[1], file


def parse_variants(variants: Path, given: Iterable[str]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Sort the values of ``--variant KEY=VALUE`` for :func:`narrow`: ``wanted``, and ``instead``.

    Args:
        variants: ``variants.yaml``. The values of a key are those in it, in the files of origins beside it, and those
            of :data:`ON_REQUEST`; if one of the last is named, the named values replace the file's.
        given: ``KEY=VALUE``; a key may be given several times.

    Raises:
        TtCondaError: not of that form, an unknown key, or an unknown value.
    """
    usual, known = dict[str, list[str]](), dict[str, list[str]]()
    files = [variants, *(file for _, file in _origins(variants))]
    on_request = variants.with_name(ON_REQUEST)
    for file in (*files, *([on_request] if on_request.is_file() else [])):
        for key, values in _read(file).to_dict().items():
            names = list(map(str, values))
            known[key] = list(dict.fromkeys([*known.get(key, ()), *names]))
            if file in files:
                usual[key] = known[key]
    chosen: dict[str, list[str]] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or key not in known:
            why = f"{variants.name} has no key {key}" if equals else "not KEY=VALUE"
            table = "\n".join(f"  {name}={'|'.join(known[name])}" for name in sorted(known))
            raise TtCondaError(f"--variant {text}: {why}", f"Keys and their values:\n{table}")
        if value not in known[key]:
            raise TtCondaError(f"--variant {text}: no such value", f"{key} has: {', '.join(known[key])}.")
        chosen.setdefault(key, []).append(value)
    wanted = {key: values for key, values in chosen.items() if {*values} <= {*usual.get(key, ())}}
    return wanted, {key: values for key, values in chosen.items() if key not in wanted}


def as_option(axis: str, value: str) -> str:
    """The option of ``tt-conda build`` for one value of a variant key."""
    return f"--{axis.replace('_', '-')} {value}" if axis in OPTIONS else f"--variant {axis}={value}"


def _read(file: Path) -> VariantConfig:
    try:
        return VariantConfig.from_file(file)
    except RattlerBuildError as error:
        raise TtCondaError(f"{file}: the axes cannot be read: {error}", "It is YAML: axis → list of values.") from error


def render(recipes: Iterable[Path], *configs: VariantConfig) -> list[Output]:
    """Render recipes for every combination of the axes, each resulting package once.

    Raises:
        TtCondaError: a recipe is wrong; rattler-build's message names the line.
    """
    found: dict[str, Output] = {}
    for recipe, config in ((recipe, config) for recipe in recipes for config in configs):
        try:
            rendered = Stage0Recipe.from_file(recipe).render(config)
        except RattlerBuildError as error:
            raise TtCondaError(f"{recipe}: {error}", "Correct the recipe and build again.") from error
        for variant in rendered:
            output = Output(recipe, variant, frozenset(config.keys()))
            found.setdefault(output.stem, output)
    return list(found.values())


def closure(outputs: Sequence[Output], names: Collection[str]) -> list[Output]:
    """The outputs with these package names and all outputs that they require, in the order of ``outputs``."""
    todo = [output for output in outputs if output.name in names]
    found = set[str]()
    while todo:
        output = todo.pop()
        if output.stem not in found:
            found.add(output.stem)
            todo += filter(output.requires, outputs)
    return [output for output in outputs if output.stem in found]


def in_order(outputs: Sequence[Output]) -> list[Output]:
    """Sort outputs so that each comes after those it requires.

    Raises:
        TtCondaError: outputs require each other in a circle.
    """
    waiting, ordered = list(outputs), list[Output]()
    while waiting:
        ready = [o for o in waiting if not any(o.requires(other) for other in waiting)]
        if not ready:
            raise TtCondaError(
                f"these packages require each other in a circle: {', '.join(sorted({o.name for o in waiting}))}",
                "Break the circle in their recipes.",
            )
        ordered += ready
        waiting = [o for o in waiting if o not in ready]
    return ordered
