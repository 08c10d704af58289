"""What a person should look at: failed runs, days never built or still open, failed judging, new patterns.

What belongs here: the rules. What does not: rates (`trends`), reading the run history (`resources.run_history`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import polars as pl

from codex_loop_assets.settings import section


@dataclass(frozen=True)
class Alert:
    """Something to look at: `kind` is failed_run, stale_day, unsettled_day, failed_judging or new_pattern."""

    kind: str
    day: date
    subject: str
    message: str


@dataclass(frozen=True)
class FailedRun:
    """A run that failed and was not made good: nothing later succeeded in what it was to make (`what`, in words)."""

    run_id: str
    what: str
    failed_at: datetime


def alerts(
    trends: pl.DataFrame,
    clusters: pl.DataFrame,
    judge_coverage: pl.DataFrame,
    built_days: set[date],
    failed_runs: Iterable[FailedRun],
    today: date,
    settings: Mapping | None = None,
) -> list[Alert]:
    """What a person should look at as of `today`, the most urgent kind first. `built_days` are the days that were
    processed; gaps between them are stale."""
    limits = (settings or section("report"))["alerts"]
    failed = [
        Alert(
            "failed_run",
            run.failed_at.date(),
            run.run_id,
            f"the run {run.run_id[:8]} failed on {run.failed_at:%Y-%m-%d %H:%M}, and {run.what} was not made since;"
            " its log says why: codex-loop ui",
        )
        for run in failed_runs
    ]
    return [
        *failed,
        *_stale(built_days, today, limits),
        *_unsettled(trends, today, limits),
        *_failed_judging(judge_coverage, today),
        *_new_patterns(clusters, today, limits),
    ]


def _new_patterns(clusters: pl.DataFrame, today: date, limits: Mapping) -> list[Alert]:
    newest = clusters.filter(pl.col("dt") == clusters["dt"].max()) if clusters.height else clusters
    since = today - timedelta(days=limits["new_pattern_days"])
    born = newest.filter((pl.col("status") == "live") & (pl.col("born") > since))
    return [
        Alert(
            "new_pattern",
            row["born"],
            row["cluster_id"],
            f"{row['label']}: {row['size']} signals in {row['session_count']} sessions",
        )
        for row in born.sort("size", "cluster_id", descending=[True, False]).to_dicts()
    ]


def _stale(built_days: set[date], today: date, limits: Mapping) -> list[Alert]:
    if not built_days:
        return []
    first = max(min(built_days), today - timedelta(days=limits["look_back_days"]))
    expected = (first + timedelta(days=n) for n in range((today - first).days))
    return [
        Alert("stale_day", day, day.isoformat(), f"{day} was never processed; run `codex-loop daily` for it")
        for day in expected
        if day not in built_days
    ]


def _unsettled(trends: pl.DataFrame, today: date, limits: Mapping) -> list[Alert]:
    days = trends.group_by("dt").agg(pl.col("settled").all()).filter(~pl.col("settled")).sort("dt")["dt"].to_list()
    return [
        Alert("unsettled_day", day, day.isoformat(), f"{day} still has sessions that are active or await a judge")
        for day in days
        if (today - day).days > limits["unsettled_days"]
    ]


def _failed_judging(judge_coverage: pl.DataFrame, today: date) -> list[Alert]:
    failed = judge_coverage.filter(pl.col("status") == "failed").group_by("detector").agg(n=pl.len()).sort("detector")
    return [
        Alert(
            "failed_judging",
            today,
            row["detector"],
            f"{row['detector']} failed on {row['n']} sessions; nothing is known about them",
        )
        for row in failed.to_dicts()
    ]
