"""Thresholds, prices, patterns and other tunable data: packaged defaults in `config/<section>.toml`, overridden per home.

A home's `config.toml` may hold a table of the same name as a section; its keys replace the packaged ones, table by table.
Code asks for a section and passes plain values on; nothing else in the package reads configuration files.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any


class SettingsError(ValueError):
    """A configuration file cannot be read or names something that does not exist; the message says which and where."""


@cache
def _packaged(section: str) -> dict[str, Any]:
    source = resources.files("codex_loop_assets") / "config" / f"{section}.toml"
    if not source.is_file():
        raise SettingsError(f"no settings section {section!r}")
    return tomllib.loads(source.read_text("utf-8"))


def section(name: str, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Settings of one section: the packaged defaults with `overrides[name]` laid over them (nested tables merge)."""
    return _merged(_packaged(name), (overrides or {}).get(name, {}), name)


def read_overrides(path: Path) -> dict[str, Any]:
    """The home's `config.toml` as a dict; {} where there is none. Raises SettingsError with the place of a syntax error."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from error


def _merged(defaults: Mapping[str, Any], changes: Mapping[str, Any], where: str) -> dict[str, Any]:
    result = dict(defaults)
    for key, value in changes.items():
        inner = result.get(key)
        result[key] = (
            _merged(inner, value, f"{where}.{key}") if isinstance(inner, dict) and isinstance(value, dict) else value
        )
    return result
