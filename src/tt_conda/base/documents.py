"""JSON, TOML and YAML from outside: whatever is wrong with a document is a ValueError, its depth and size included."""

from __future__ import annotations

import json
import sys
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_DEEPEST = 100
"""Levels: no document of ours or of conda's has more than ten, and code that walks them recurses."""
_LARGEST = 1_000_000
"""Values, an alias counted as often as it is used: a few lines of YAML can stand for billions."""


class DocumentError(ValueError):
    """The text is not such a document, is nested too deeply, or stands for too many values."""


def read_json(text: str | bytes) -> Any:
    """Parse JSON.

    Raises:
        ValueError: it is not JSON, or is nested too deeply to be read.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DocumentError(str(error)) from error
    except RecursionError:
        raise DocumentError("nested too deeply") from None


def read_toml(text: str) -> dict[str, Any]:
    """Parse TOML.

    Raises:
        DocumentError: it is not TOML, or is nested too deeply.
    """
    try:
        document = tomllib.loads(text)
        bounded(document)
        return document
    except tomllib.TOMLDecodeError as error:
        raise DocumentError(str(error)) from error
    except RecursionError:
        raise DocumentError("nested too deeply") from None


def read_yaml(text: str | bytes, loader: type[Any]) -> Any:
    """Parse YAML with one of PyYAML's safe loaders.

    Raises:
        DocumentError: it is not YAML, is nested too deeply, refers to itself, or its aliases stand for too many values.
    """
    import yaml

    try:
        return bounded(yaml.load(text, loader))
    except yaml.YAMLError as error:
        raise DocumentError(str(error)) from error
    except RecursionError:
        raise DocumentError("nested too deeply") from None


def bounded(document: Any) -> Any:
    """``document``; DocumentError if it is nested too deeply or stands for too many values."""
    values, left = [document], _LARGEST
    for _ in range(_DEEPEST):
        inner: list[Any] = []
        for value in values:
            if isinstance(value, dict):
                inner += value.values()
            elif isinstance(value, list):
                inner += value
            if len(inner) > left:
                raise DocumentError(f"its aliases stand for more than {_LARGEST:,} values")
        values, left = inner, left - len(inner)
        if not values:
            return document
    raise DocumentError("nested too deeply")
