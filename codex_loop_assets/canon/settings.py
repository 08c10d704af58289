"""The canon's settings as one frozen value, built from the `canon` section (config/canon.toml says what each means)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from codex_loop_assets import settings


@dataclass(frozen=True)
class CanonSettings:
    """See config/canon.toml for the meaning and units of each field."""

    steering_recorded_since: datetime
    automation_originators: tuple[str, ...]
    automation_sources: tuple[str, ...]
    automation_prompts_at_most: int
    eval_originators: tuple[str, ...]
    eval_cwd: tuple[str, ...]
    own_sources: tuple[str, ...]


def canon_settings(overrides: Mapping[str, Any] | None = None) -> CanonSettings:
    """The packaged `canon` section with a home's overrides laid over it."""
    section = settings.section("canon", overrides)
    unknown = section.keys() - {field.name for field in fields(CanonSettings)}
    if unknown:
        raise settings.SettingsError(f"canon: unknown settings {sorted(unknown)}")
    return CanonSettings(**{k: tuple(v) if isinstance(v, list) else v for k, v in section.items()})
