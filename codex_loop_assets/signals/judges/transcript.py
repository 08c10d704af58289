"""From the canonical tables to transcripts: one per session, its turns in order, with what the agent did in between.

What belongs here: the joining of columns. What does not: reading of meaning (`local`, `llm`, `baseline`).
"""

from __future__ import annotations

import polars as pl

from codex_loop_assets.signals.judges.base import Transcript, TranscriptTurn


def transcripts(turns: pl.DataFrame, tool_calls: pl.DataFrame) -> dict[str, Transcript]:
    """A transcript per thread that has turns, from frames of the tables `turns` and `tool_calls`.

    A shell command that the user typed is no failure of the agent's tools, so calls of other actors are not counted.
    """
    calls = (
        tool_calls.filter(pl.col("actor") != "user")
        .group_by("thread_id", "run", "turn_id")
        .agg(tools=pl.len(), failed=(pl.col("success") == False).sum())  # noqa: E712 (a null is not a failure)
    )
    counts = {(row["thread_id"], row["run"], row["turn_id"]): row for row in calls.iter_rows(named=True)}
    grouped: dict[str, list[TranscriptTurn]] = {}
    for row in turns.sort("thread_id", "turn_index", "run", "seq_start").iter_rows(named=True):
        count = counts.get((row["thread_id"], row["run"], row["turn_id"]), {"tools": 0, "failed": 0})
        grouped.setdefault(row["thread_id"], []).append(_turn(row, count["tools"], count["failed"]))
    return {thread: Transcript(thread, tuple(found)) for thread, found in grouped.items()}


def _turn(row: dict, tools: int, failed: int) -> TranscriptTurn:
    return TranscriptTurn(
        thread_id=row["thread_id"],
        run=row["run"],
        seq_start=row["seq_start"],
        seq_end=row["seq_end"],
        user_message=row["user_message"],
        agent_message=row["final_message"] or "",
        turn_id=row["turn_id"],
        occurred_at=row["occurred_at"],
        kind=row["kind"],
        human=row["human"],
        end_state=row["end_state"],
        tools=tools,
        failed_tools=failed,
        aborted=row["end_state"] == "aborted" or row["interrupted"],
        rolled_back=row["rolled_back"],
        compacted=row["compaction_count"] > 0,
        undone=row["undone"],
    )
