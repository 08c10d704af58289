"""Run the rule files over canonical tables and turn what they find into `mechanical_signals` rows.

What belongs here: which sessions and categories are looked at, redaction, and the row form. What does not: any rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from codex_loop_assets.settings import section
from codex_loop_assets.signals.model import CanonTables, DetectedBy, detection_row
from codex_loop_assets.signals.redaction import redact
from codex_loop_assets.signals.rules.registry import rules
from codex_loop_assets.signals.rules.rule import Rule
from codex_loop_assets.signals.schema import SignalSchema
from codex_loop_assets.tables import MECHANICAL_SIGNALS


def detect(canon: CanonTables, schema: SignalSchema, settings: Mapping[str, Any] | None = None) -> pl.DataFrame:
    """Every mechanical signal of these sessions as a `mechanical_signals` frame.

    `settings` is the section "rules": a table of thresholds per category (with those of `every_rule` beneath), and
    `sessions.include_excluded` for callers that want evaluation trials too. A retired category, and one with
    `enabled = false`, is not looked for.
    """
    settings = section("rules") if settings is None else settings
    seen = canon
    if not settings["sessions"]["include_excluded"]:
        looked_at = pl.col("exclusion_reason").is_in(settings["sessions"]["looked_at"]).fill_null(False)
        left_out = canon.sessions.filter(pl.col("excluded") & ~looked_at)["thread_id"]
        seen = canon.without(left_out) if left_out.len() else canon
    wanted = schema.mechanical()
    rows = [
        row
        for rule in rules()
        if rule.category in wanted and settings.get(rule.category, {}).get("enabled", True)
        for row in _rows(rule, seen, schema, {**settings["every_rule"], **settings.get(rule.category, {})})
    ]
    return MECHANICAL_SIGNALS.frame(rows)


def _rows(
    rule: Rule, canon: CanonTables, schema: SignalSchema, thresholds: Mapping[str, Any]
) -> list[dict[str, object]]:
    category = schema.categories[rule.category]
    by = DetectedBy("mechanical", rule.detector_version, schema.version)
    rows: dict[str, dict[str, object]] = {}
    for moment in sorted(rule.find(canon, thresholds), key=lambda found: (found.thread_id, found.run, found.seq_start)):
        row = detection_row(moment.redacted(redact), category.name, category.type, by)
        rows.setdefault(str(row["signal_id"]), row)
    return list(rows.values())
