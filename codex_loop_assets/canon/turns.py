"""The `turns` table: one row per message that asks for something, with what followed."""

from __future__ import annotations

import polars as pl

from codex_loop_assets.canon import tool_calls
from codex_loop_assets.canon.humans import human_threads
from codex_loop_assets.canon.kinds import ASSISTANT_WORDS, COMPACTION
from codex_loop_assets.canon.rollbacks import with_rollbacks
from codex_loop_assets.canon.settings import CanonSettings
from codex_loop_assets.canon.timeline import Timeline, timeline
from codex_loop_assets.tables import TURNS

_TURN = ("thread", "turn")
_ENDS = ("task_complete", "turn_aborted")


def build(events: pl.DataFrame, spines: pl.DataFrame, settings: CanonSettings | None = None) -> pl.DataFrame:
    """The day's `turns` from its `events` and `spines`."""
    if events.is_empty():
        return TURNS.empty()
    line = timeline(events, settings)
    return from_timeline(line, tool_calls.joined(line))


def from_timeline(line: Timeline, calls: pl.DataFrame) -> pl.DataFrame:
    """The same from what has been computed already; `calls`: see `tool_calls.joined`."""
    if line.prompts.is_empty():
        return TURNS.empty()
    frame = (
        _opened(line)
        .join(_course(line.events), on=_TURN, how="left")
        .join(_said(line.events), on=_TURN, how="left")
        .join(line.contexts, on=_TURN, how="left")
        .join(_call_counts(calls), on=_TURN, how="left")
        .join(line.usage.group_by(_TURN).agg(pl.col("total_tokens").sum()), on=_TURN, how="left")
        .join(human_threads(line), on="thread", how="left")
        .sort(_TURN)
    )
    frame = _with_ends(frame.with_columns(pl.col("silent_end").fill_null(True)))
    frame = with_rollbacks(frame, line.events)
    return TURNS.conform(_finished(frame))


def _opened(line: Timeline) -> pl.DataFrame:
    """What is known from the prompt itself."""
    return line.prompts.select(
        "thread_id", "thread", "run", "turn", "source", "ordinal",
        pl.col("turn_id"),
        pl.col("seq").alias("seq_start"),
        pl.col("ts").alias("occurred_at"),
        pl.when(pl.col("turn_kind") == "shell").then("command").otherwise("text").fill_null("").alias("user_message"),
        pl.col("turn_kind").alias("kind"),
    )  # fmt: skip


def _course(events: pl.DataFrame) -> pl.DataFrame:
    """What happened, from all of the turn's events. Facts are told record by record first: grouping the texts would
    copy them, and a session's events are large."""
    kind = pl.col("kind")
    refused = pl.col("detail").str.contains('"state":"refused"', literal=True).fill_null(False)
    told = {
        "has_error": kind == "error",
        "interrupt_sent": kind == "interrupt",
        "shutdown_sent": kind == "shutdown",
        "refused": (pl.col("decision") == "abort").fill_null(False) | refused,
        "records_ends": kind.is_in(("task_started", "task_complete")),
        "undo_inside": kind.is_in(("undo_completed", "undo_started", "undo")),
    }
    counted = {"boundaries": kind == COMPACTION, "compacted": kind == "context_compacted"}
    facts = events.select(*_TURN, "seq", "ts", **told, **counted).filter(pl.col("turn").is_not_null())
    return facts.group_by(_TURN).agg(
        pl.col("seq").max().alias("seq_end"),
        pl.col("ts").max().alias("last_at"),
        pl.col(*told).any(),
        pl.col(*counted).sum().cast(pl.Int32),
    )


def _said(events: pl.DataFrame) -> pl.DataFrame:
    """The agent's last words and the record that ends the turn: where they stand first, then only those."""
    kind = pl.col("kind")
    marks = {
        "words": kind.is_in(ASSISTANT_WORDS) & (pl.col("role") == "assistant") & (pl.col("text") != ""),
        "end": kind.is_in(_ENDS),
        "complete": kind == "task_complete",
        "abort": kind == "turn_aborted",
    }
    marked = events.select(*_TURN, pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"), **marks)
    last = (
        marked.filter(pl.col("turn").is_not_null() & pl.any_horizontal(*marks))
        .group_by(_TURN)
        .agg(pl.col("row").filter(name).last().alias(name) for name in marks)
        .with_columns(pl.coalesce("words", "complete").alias("final"))
    )

    def at(mark: str, column: str) -> pl.Series:
        return events[column].gather(last[mark]).alias(column)

    failed = at("complete", "detail").str.contains('"error"', literal=True).fill_null(False)
    return last.select(
        *_TURN,
        at("final", "text").alias("final_message"),
        at("end", "kind").alias("end"),
        at("end", "ts").alias("end_at"),
        at("end", "duration_ms").alias("stated_duration_ms"),
        at("abort", "detail").str.json_path_match("$.reason").alias("stated_reason"),
        failed.set(last["complete"].is_null(), None).alias("failed_end"),
        at("complete", "text").is_null().alias("silent_end"),
    )


def _call_counts(calls: pl.DataFrame) -> pl.DataFrame:
    return (
        calls.filter(pl.col("turn").is_not_null())
        .group_by(_TURN)
        .agg(
            pl.len().cast(pl.Int32).alias("tool_call_count"),
            (pl.col("success") == False).sum().cast(pl.Int32).alias("failed_tool_call_count"),  # noqa: E712
        )
    )


def _with_ends(frame: pl.DataFrame) -> pl.DataFrame:
    """End state and its cause. Prompts that steered one turn share its end, and a person's interrupt ends the last of
    them."""
    group = (pl.col("kind") != "steer").cum_sum().over("thread")
    frame = frame.with_columns(group.alias("group"))
    shared = (
        "end",
        "end_at",
        "stated_reason",
        "failed_end",
        "has_error",
        "silent_end",
        "interrupt_sent",
        "shutdown_sent",
        "refused",
    )
    frame = frame.with_columns(
        pl.col(name).backward_fill().over("thread", "group")
        for name in ("end", "end_at", "stated_reason", "failed_end")
    )
    frame = frame.with_columns(pl.col(name).any().over("thread", "group") for name in shared[4:])
    records_ends = pl.col("records_ends").any().over("thread", "run")
    errored = pl.col("failed_end").fill_null(False) | (pl.col("has_error") & pl.col("silent_end"))
    state = (
        pl.when(pl.col("end") == "turn_aborted").then(pl.lit("aborted"))
        .when((pl.col("end") == "task_complete") & errored).then(pl.lit("errored"))
        .when(pl.col("end") == "task_complete").then(pl.lit("completed"))
        .when(pl.col("has_error")).then(pl.lit("errored"))
        .when(records_ends).then(pl.lit("open"))
        .otherwise(pl.lit("unknown"))
    )  # fmt: skip
    reason = (
        pl.when(pl.col("stated_reason") != "interrupted").then("stated_reason")
        .when(pl.col("interrupt_sent")).then(pl.lit("interrupted"))
        .when(pl.col("refused")).then(pl.lit("approval_abort"))
        .when(pl.col("shutdown_sent")).then(pl.lit("shutdown"))
        .otherwise("stated_reason")
    )  # fmt: skip
    frame = frame.with_columns(state.alias("end_state"))
    return frame.with_columns(pl.when(pl.col("end_state") == "aborted").then(reason).alias("abort_reason"))


def _finished(frame: pl.DataFrame) -> pl.DataFrame:
    ended_at = pl.coalesce("end_at", "last_at")
    elapsed = (ended_at - pl.col("occurred_at")).dt.total_milliseconds()
    interrupted = (pl.col("end_state") == "aborted") & (pl.col("abort_reason") == "interrupted") & pl.col("human")
    next_undoes = (pl.col("kind").shift(-1).over("thread") == "undo") | (
        pl.col("undo_inside") & (pl.col("kind") != "undo")
    )
    last_of_group = pl.col("turn") == pl.col("turn").max().over("thread", "group")
    return frame.with_columns(
        pl.coalesce("turn_id", pl.col("turn").cast(pl.String)).alias("turn_id"),
        pl.max_horizontal("seq_start", "seq_end").alias("seq_end"),
        ended_at.alias("ended_at"),
        pl.col("turn").alias("turn_index"),
        (interrupted & last_of_group).fill_null(False).alias("interrupted"),
        next_undoes.fill_null(False).alias("undone"),
        pl.when(pl.col("boundaries") > 0)
        .then("boundaries")
        .otherwise("compacted")
        .fill_null(0)
        .alias("compaction_count"),
        pl.col("tool_call_count", "failed_tool_call_count").fill_null(0),
        pl.coalesce("stated_duration_ms", pl.when(elapsed >= 0).then(elapsed)).alias("duration_ms"),
    ).select(TURNS.schema.keys())
