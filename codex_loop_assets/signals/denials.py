"""Refusals as moments: one per refused tool call, with what the person said next."""

from __future__ import annotations

from typing import Any

import polars as pl

from codex_loop_assets.signals.model import CanonTables, Evidence, Moment
from codex_loop_assets.signals.quoting import during, show, show_command
from codex_loop_assets.signals.reading import refusals, with_request

_WORDS_LIMIT = 90


def refusal_moments(canon: CanonTables, *, patches: bool) -> list[Moment]:
    """A moment per refused patch (`patches`) or per refused call of any other tool."""
    is_patch = pl.col("name") == "apply_patch"
    refused = with_request(canon, refusals(canon).filter(is_patch if patches else ~is_patch), "seq_start")
    return [_moment(call) for call in _with_next_words(canon, refused).to_dicts()]


def _with_next_words(canon: CanonTables, calls: pl.DataFrame) -> pl.DataFrame:
    """`next_words`: the person's first message after the refusal, which often says why."""
    messages = canon.turns.filter(pl.col("human") & (pl.col("user_message") != "")).select(
        "thread_id", "run", pl.col("seq_start").alias("next_seq"), pl.col("user_message").alias("next_words")
    )
    return (
        calls.sort("seq_start")
        .join_asof(
            messages.sort("next_seq"),
            left_on="seq_start",
            right_on="next_seq",
            by=["thread_id", "run"],
            strategy="forward",
            check_sortedness=False,
        )
        .sort("thread_id", "run", "seq_start")
    )


def _moment(call: dict[str, Any]) -> Moment:
    patch = call["name"] == "apply_patch"
    what = (
        "edit " + ", ".join(call["paths"] or ["files"])
        if patch
        else f"run `{show_command(call['command'] or call['name'], call['thread_id'])}`"
    )
    said = (
        f"; their next words: “{show(call['next_words'], call['thread_id'], _WORDS_LIMIT)}”"
        if call["next_words"]
        else ""
    )
    return Moment(
        thread_id=call["thread_id"],
        run=call["run"],
        turn_id=call["turn_id"],
        call_id=call["call_id"],
        seq_start=call["seq_start"],
        seq_end=call["seq_end"],
        occurred_at=call["occurred_at"],
        severity=2,
        confidence=0.9 if call["approval"] else 0.75,
        description=f"The user refused to let the agent {what}{during(call)}{said}",
        evidence=(Evidence(call["seq_start"], call["call_id"], call["command"]),),
    )
