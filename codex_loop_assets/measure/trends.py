"""Rates of friction and delight per day, over the sessions in which they could have been seen, with intervals.

What belongs here: counting exposure and occurrence per day, settledness. What does not: evaluation results
(`statistics`), what is worth a look (`alerts`), drawing (`loop.charts`).

A rate is a share of sessions, not of signals: ten failures in one session are one session with failures. A session
counts on every day on which something happened in it. A session in which a category cannot be seen (a record without
approvals has no refusals) is in neither part of the fraction.
"""

from __future__ import annotations

from datetime import date

import polars as pl

from codex_loop_assets.tables import TABLES

ALL = "all"
_WAITING = ("active", "pending_batch", "deferred", "failed")


def compute(
    signals: pl.DataFrame,
    sessions: pl.DataFrame,
    turns: pl.DataFrame,
    exposure: pl.DataFrame,
    spines: pl.DataFrame,
    judge_coverage: pl.DataFrame,
    members: pl.DataFrame,
) -> pl.DataFrame:
    """The `trends` table.

    `exposure` has a row (thread_id, category) for every category that a session could show at all. `members` are the
    rows of `cluster_members` of the newest day. Excluded sessions count nowhere. Days without a session have no row.
    """
    counted = sessions.filter(~pl.col("excluded")).select(
        "thread_id", "started_at", _shown(sessions, "cli_version"), _shown(sessions, "model")
    )
    active_days = _active_days(counted, turns)
    occurred = _occurrences(signals, counted, active_days)
    names = _names(signals, exposure, members)
    exposed = active_days.join(names.select("thread_id", "kind", "name").unique(), on="thread_id")
    seen = occurred.join(_moment_names(signals, members), on="signal_id").select(
        "thread_id", "dt", "kind", "name", "signal_id"
    )
    # A detector may find what the table of observability calls unseeable; the moment then proves that it could be seen.
    exposed = pl.concat([exposed, seen.join(active_days, on=["thread_id", "dt"]).select(exposed.columns)]).unique()
    counts = seen.group_by("thread_id", "dt", "kind", "name").agg(signals=pl.col("signal_id").n_unique())
    rows = exposed.join(counts, on=["thread_id", "dt", "kind", "name"], how="left").with_columns(
        pl.col("signals").fill_null(0)
    )
    totals = pl.concat([_totals(rows, facets) for facets in ({}, {"cli_version"}, {"model"})])
    settled = _settled(sessions, spines, judge_coverage, active_days)
    joined = totals.join(settled, on="dt", how="left").with_columns(pl.col("settled").fill_null(True))
    return TABLES["trends"].conform(_with_intervals(joined))


def _shown(sessions: pl.DataFrame, column: str) -> pl.Expr:
    """What Codex wrote as its release or model, redacted; a client writes there what it likes."""
    from codex_loop_assets.signals.redaction import redact

    values = sessions[column].drop_nulls().unique().to_list()
    return pl.col(column).replace({value: redact(value) for value in values}).fill_null("unknown")


def _active_days(sessions: pl.DataFrame, turns: pl.DataFrame) -> pl.DataFrame:
    """(thread_id, dt, cli_version, model): the days on which each session had a turn, its start among them."""
    facets = sessions.select("thread_id", "cli_version", "model")
    days = pl.concat(
        [
            sessions.select("thread_id", dt=pl.col("started_at").dt.date()),
            turns.select("thread_id", dt=pl.col("occurred_at").dt.date()),
        ]
    )
    return days.drop_nulls().unique().join(facets, on="thread_id")


def _occurrences(signals: pl.DataFrame, sessions: pl.DataFrame, active_days: pl.DataFrame) -> pl.DataFrame:
    """(signal_id, thread_id, dt): where the era writes no time, a moment counts on the day its session started."""
    started = sessions.select("thread_id", start=pl.col("started_at").dt.date())
    joined = signals.select("signal_id", "thread_id", day=pl.col("occurred_at").dt.date()).join(started, on="thread_id")
    dated = joined.select("signal_id", "thread_id", dt=pl.coalesce("day", "start")).drop_nulls()
    known = dated.join(active_days.select("thread_id", "dt"), on=["thread_id", "dt"], how="semi")
    elsewhere = dated.join(active_days.select("thread_id", "dt"), on=["thread_id", "dt"], how="anti")
    # A moment after midnight, in a turn that began before it, belongs to the newest day on which its session had a
    # turn.
    nearest = (
        elsewhere.join(active_days.select("thread_id", active="dt"), on="thread_id")
        .filter(pl.col("active") <= pl.col("dt"))
        .group_by("signal_id", "thread_id")
        .agg(dt=pl.col("active").max())
    )
    return pl.concat([known, nearest])


def _moment_names(signals: pl.DataFrame, members: pl.DataFrame) -> pl.DataFrame:
    """(signal_id, kind, name): the category, type and cluster that each signal counts for."""
    clustered = members.filter(pl.col("cluster_id").is_not_null())
    return pl.concat(
        [
            signals.select("signal_id", kind=pl.lit("category"), name="category"),
            signals.select("signal_id", kind=pl.lit("type"), name="type"),
            clustered.select("signal_id", kind=pl.lit("cluster"), name="cluster_id"),
        ]
    )


def _names(signals: pl.DataFrame, exposure: pl.DataFrame, members: pl.DataFrame) -> pl.DataFrame:
    """(thread_id, kind, name) that each session could show: a cluster or type where any of its categories could be
    seen."""
    categories = signals.select("signal_id", "category", "type")
    of_cluster = members.filter(pl.col("cluster_id").is_not_null()).join(categories, on="signal_id")
    groups = pl.concat(
        [
            exposure.select("category").unique().select("category", kind=pl.lit("category"), name="category"),
            categories.select("category", kind=pl.lit("type"), name="type").unique(),
            of_cluster.select("category", kind=pl.lit("cluster"), name="cluster_id").unique(),
        ]
    )
    return exposure.select("thread_id", "category").join(groups, on="category").unique()


def _totals(rows: pl.DataFrame, facets: set[str]) -> pl.DataFrame:
    everything = [pl.lit(ALL).alias(name) for name in ("cli_version", "model") if name not in facets]
    keys = ["dt", "kind", "name", "cli_version", "model"]
    return (
        rows.with_columns(everything)
        .group_by(keys)
        .agg(
            exposed_sessions=pl.col("thread_id").n_unique(),
            sessions_with=pl.col("thread_id").filter(pl.col("signals") > 0).n_unique(),
            signals=pl.col("signals").sum(),
        )
    )


def _with_intervals(frame: pl.DataFrame) -> pl.DataFrame:
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(
        frame["sessions_with"].to_numpy(), frame["exposed_sessions"].to_numpy(), alpha=0.05, method="wilson"
    )
    return frame.with_columns(
        rate=pl.col("sessions_with") / pl.col("exposed_sessions"),
        rate_low=pl.Series(low, dtype=pl.Float64),
        rate_high=pl.Series(high, dtype=pl.Float64),
    )


def _settled(
    sessions: pl.DataFrame, spines: pl.DataFrame, judge_coverage: pl.DataFrame, active_days: pl.DataFrame
) -> pl.DataFrame:
    """(dt, settled): false where a session of the day may still change or still awaits a judge."""
    growing = spines.filter(pl.col("status") == "active")["thread_id"]
    waiting = judge_coverage.filter(pl.col("status").is_in(_WAITING))["thread_id"]
    open_threads = pl.concat([growing, waiting]).unique()
    unsettled = pl.col("thread_id").is_in(open_threads.implode())
    return active_days.group_by("dt").agg(settled=~unsettled.any())


def settled_through(trends: pl.DataFrame) -> date | None:
    """The newest day up to which every day is settled; None when not even the first is."""
    days = trends.group_by("dt").agg(pl.col("settled").all()).sort("dt")
    unsettled = days.filter(~pl.col("settled"))["dt"].min()
    settled = days if unsettled is None else days.filter(pl.col("dt") < unsettled)
    return settled["dt"].max()
