"""interrupt: the person stopped the agent at work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from codex_loop_assets.signals.model import CanonTables, Evidence, Moment
from codex_loop_assets.signals.quoting import show, show_command
from codex_loop_assets.signals.reading import duration, of_kinds, top_level
from codex_loop_assets.signals.rules.rule import rule


@rule(
    category="interrupt",
    version="1",
    looks_for="Turns that a person interrupted while they ran.",
    evidence="The turn's last record (its abort) and the last tool call before it.",
    near_misses=(
        "Codex was closed while a turn ran",
        "the turn ended because a request was refused: counted as a refusal",
        "the turn was replaced by a new message or a review ended",
        "an agent interrupted its sub-agent",
        "an interrupt with no turn running",
    ),
    needs=("interrupts",),
)
def find(canon: CanonTables, thresholds: Mapping[str, Any]) -> list[Moment]:
    place = ["thread_id", "run"]
    stopped = canon.turns.filter(pl.col("interrupted")).join(
        top_level(canon).select("thread_id"), on="thread_id", how="semi"
    )
    if stopped.is_empty():
        return []
    aborts = of_kinds(canon, ("turn_aborted",)).select(
        *place, pl.col("seq").alias("abort_seq"), pl.col("ts").alias("abort_at")
    )
    calls = canon.tool_calls.join(stopped, on="thread_id", how="semi").select(
        *place, pl.col("seq_start").alias("call_seq"), pl.col("call_id").alias("last_call_id"), "command", "name"
    )
    last = (
        stopped.sort("seq_end")
        .join_asof(aborts.sort("abort_seq"), left_on="seq_end", right_on="abort_seq", by=place, check_sortedness=False)
        .join_asof(calls.sort("call_seq"), left_on="seq_end", right_on="call_seq", by=place, check_sortedness=False)
    )
    return [_moment(turn) for turn in last.to_dicts()]


def _moment(turn: Mapping[str, Any]) -> Moment:
    """The abort record is the moment; the turn's own end where the era writes none."""
    aborted = (turn["abort_seq"] or 0) >= turn["seq_start"]
    seq, at = (turn["abort_seq"], turn["abort_at"]) if aborted else (turn["seq_end"], turn["ended_at"])
    after, request = duration(turn["duration_ms"]), show(turn["user_message"], turn["thread_id"], 90)
    evidence, doing = [Evidence(seq)], ""
    if (turn["call_seq"] or 0) >= turn["seq_start"]:
        evidence.append(Evidence(turn["call_seq"], turn["last_call_id"]))
        doing = f", last doing `{show_command(turn['command'] or turn['name'], turn['thread_id'], 80)}`"
    return Moment(
        thread_id=turn["thread_id"],
        run=turn["run"],
        turn_id=turn["turn_id"],
        seq_start=seq,
        seq_end=seq,
        occurred_at=at,
        severity=2,
        confidence=0.85,
        description="The user interrupted the agent"
        + (f" after {after}" if after else "")
        + (f" on “{request}”" if request else "")
        + doing,
        evidence=tuple(evidence),
    )
