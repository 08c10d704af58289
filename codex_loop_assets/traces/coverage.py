"""A thread with both a spine and a rollout: what the spine lacks is taken from the rollout, the rest is not counted
twice.

The spine says more, so it wins wherever it has records. It can lack a span: a thread older than its spine, a stretch
done with a stock build, or a writer that died while the session went on. Such spans are found by time.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from codex_loop_assets.traces.settings import ReadSettings

SUBSTANCE = (
    "user_message", "message", "agent_message", "function_call", "custom_tool_call", "local_shell_call",
    "compaction_boundary",
    "turn_aborted", "thread_rolled_back", "error",
)  # fmt: skip
"""Kinds that make a span worth taking; a lone session_meta or token_count outside the spine is not."""


def beyond_spine(rollout: pl.DataFrame, spine: pl.DataFrame, settings: ReadSettings) -> pl.Series:
    """Mask of the rollout's events outside every run of the spine; all false when nothing of substance is."""
    slack = timedelta(seconds=settings.coverage_slack_s)
    spans = (
        spine.filter(pl.col("ts").is_not_null())
        .group_by("run")
        .agg((pl.col("ts").min() - slack).alias("start"), (pl.col("ts").max() + slack).alias("end"))
        .sort("start")
    )
    times = rollout["ts"].forward_fill().backward_fill()
    inside = pl.Series([False]).new_from_index(0, rollout.height)
    for start, end in spans.select("start", "end").iter_rows():
        inside = inside | ((times >= start) & (times <= end)).fill_null(True)
    outside = ~inside
    substantial = outside & rollout["kind"].is_in(SUBSTANCE)
    return outside if substantial.any() else pl.Series([False]).new_from_index(0, rollout.height)


def compared(spine: pl.DataFrame, rollout: pl.DataFrame, kept: int) -> dict:
    """What each has, for the ledger: records, prompts, tool calls, and how many records were taken from the rollout."""
    return {
        "spine": _counts(spine, ("user_turn", "user_input")),
        "rollout": _counts(rollout, ("user_message",)),
        "taken_from_rollout": kept,
    }


def _counts(frame: pl.DataFrame, prompts: tuple[str, ...]) -> dict:
    return {
        "records": frame.height,
        "prompts": int(frame["kind"].is_in(prompts).sum()),
        "tool_calls": int(frame["kind"].is_in(("function_call", "custom_tool_call", "local_shell_call")).sum()),
    }
