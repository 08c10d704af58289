"""Which partitions are out of date: made from inputs that have changed since, or never made.

Dagster's own staleness stops propagating above 100 upstream partitions, so each partition records what it was made from
and this compares. What belongs here: the inputs of each table. What does not: reading session files (`sources.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

from codex_loop_assets.resources.lake import Lake

UPSTREAM: Mapping[str, tuple[str, ...]] = {
    "turns": ("spines", "events"),
    "tool_calls": ("spines", "events"),
    "sessions": ("spines", "events", "turns", "tool_calls"),
    "mechanical_signals": ("spines", "events", "sessions", "turns", "tool_calls"),
    "semantic_signals": ("spines", "events", "sessions", "turns", "tool_calls"),
    "signals": ("mechanical_signals", "semantic_signals"),
    # The page is the last that a day's work writes, so a day whose work was cut off anywhere has none that is up to date.
    "daily_report": ("spines", "sessions", "signals", "judge_coverage", "clusters"),
}


def inputs(lake: Lake, table: str, day: str) -> dict[str, str | None]:
    """What a partition would be made from now: upstream table -> digest of its partition of that day."""
    return {upstream: lake.digest(upstream, day) for upstream in UPSTREAM[table]}


def stale_days(lake: Lake, *tables: str) -> list[str]:
    """Ingested days whose partition of any of the tables is missing or was made from other inputs."""
    return [
        day for day in lake.keys("spines") if any(lake.stale(table, day, inputs(lake, table, day)) for table in tables)
    ]


def unfinished_days(lake: Lake) -> list[str]:
    """Ingested days with anything out of date: a run of theirs was cut off, or only some stages were run since."""
    return stale_days(lake, *UPSTREAM)


def unsettled_days(lake: Lake) -> list[str]:
    """Days with a session that some judge has yet to read: it was still active, deferred, pending or failed."""
    waiting = ["active", "deferred", "pending_batch", "failed"]
    return [
        day for day in lake.keys("judge_coverage") if lake.read("judge_coverage", day)["status"].is_in(waiting).any()
    ]
