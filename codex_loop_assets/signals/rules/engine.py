"""Run the rule files over canonical tables and turn what they find into `mechanical_signals` rows.

What belongs here: which sessions and categories are looked at, redaction, and the row form. What does not: any rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from codex_loop_assets.settings import section
from codex_loop_assets.signals.model import CanonTables, DetectedBy, Moment, detection_row
from codex_loop_assets.signals.redaction import redact
from codex_loop_assets.signals.rules.registry import rules
from codex_loop_assets.signals.schema import Category, SignalSchema
from codex_loop_assets.tables import MECHANICAL_SIGNALS


def detect(canon: CanonTables, schema: SignalSchema, settings: Mapping[str, Any] | None = None) -> pl.DataFrame:
    """Every mechanical signal of these sessions as a `mechanical_signals` frame.

    `settings` is the section "rules": a table of thresholds per category (with those of `every_rule` beneath), and
    `sessions.include_excluded` for callers that want evaluation trials too. A retired category, and one with
    `enabled = false`, is not looked for.
    """
    settings = section("rules") if settings is None else settings
    if canon.sessions.is_empty():
        return MECHANICAL_SIGNALS.empty()
    seen = canon
    if not settings["sessions"]["include_excluded"]:
        looked_at = pl.col("exclusion_reason").is_in(settings["sessions"]["looked_at"]).fill_null(False)
        left_out = canon.sessions.filter(pl.col("excluded") & ~looked_at)["thread_id"]
        seen = canon.without(left_out) if left_out.len() else canon
    wanted, version = schema.mechanical(), schema.version
    rows: list[dict[str, object]] = []
    for rule in rules():
        thresholds = {**settings["every_rule"], **settings.get(rule.category, {})}
        if rule.category in wanted and thresholds.get("enabled", True):
            by = DetectedBy("mechanical", rule.detector_version, version)
            rows += _rows(rule.find(seen, thresholds), wanted[rule.category], by)
    return MECHANICAL_SIGNALS.frame(rows)


def _rows(moments: list[Moment], category: Category, by: DetectedBy) -> list[dict[str, object]]:
    """Redacted rows, one per place: two moments of one category at one record are one."""
    rows: dict[object, dict[str, object]] = {}
    for moment in sorted(moments, key=lambda found: (found.thread_id, found.run, found.seq_start)):
        row = detection_row(moment.redacted(redact), category.name, category.type, by)
        rows.setdefault(row["signal_id"], row)
    return list(rows.values())
