"""The reader's settings as one frozen value, built from the `traces` section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from codex_loop_assets import settings


@dataclass(frozen=True)
class ReadSettings:
    """See config/traces.toml for the meaning and units of each field."""

    line_limit: int
    line_head: int
    text_limit: int
    user_text_limit: int
    scaffold_limit: int
    diff_limit: int
    changes_limit: int
    detail_limit: int
    batch_rows: int
    batch_bytes: int
    texts_in_memory: int
    quiet_hours: float
    copied_history_pause_ms: int
    coverage_slack_s: float
    seq_gap_memory: int
    excluded_cwd: tuple[str, ...]
    scaffolding: tuple[str, ...]
    image_markers: tuple[str, ...]
    request_marker: str
    truncation_marks: tuple[str, ...]


def read_settings(overrides: Mapping[str, Any] | None = None) -> ReadSettings:
    """The packaged `traces` section with a home's overrides laid over it."""
    section = settings.section("traces", overrides)
    names = {field.name for field in fields(ReadSettings)}
    unknown = section.keys() - names
    if unknown:
        raise settings.SettingsError(f"traces: unknown settings {sorted(unknown)}")
    return ReadSettings(**{k: tuple(v) if isinstance(v, list) else v for k, v in section.items()})
