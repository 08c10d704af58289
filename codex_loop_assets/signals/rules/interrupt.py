"""interrupt: the person stopped the agent at work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from codex_loop_assets.signals.command_line import shortened
from codex_loop_assets.signals.model import CanonTables, Evidence, Moment
from codex_loop_assets.signals.reading import duration, top_level
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
    stopped = canon.turns.filter(pl.col("interrupted")).join(
        top_level(canon).select("thread_id"), on="thread_id", how="semi"
    )
    aborts = canon.events.filter(pl.col("kind") == "turn_aborted").select("thread_id", "run", "seq", "ts")
    return [_moment(turn, _abort_of(turn, aborts), _last_call(turn, canon.tool_calls)) for turn in stopped.to_dicts()]


def _abort_of(turn: Mapping[str, Any], aborts: pl.DataFrame) -> Mapping[str, Any]:
    """The abort record of the turn; the turn's own end where the era writes none."""
    within = aborts.filter(
        (pl.col("thread_id") == turn["thread_id"])
        & (pl.col("run") == turn["run"])
        & pl.col("seq").is_between(turn["seq_start"], turn["seq_end"])
    )
    return within.row(-1, named=True) if within.height else {"seq": turn["seq_end"], "ts": turn["ended_at"]}


def _last_call(turn: Mapping[str, Any], calls: pl.DataFrame) -> Mapping[str, Any] | None:
    within = calls.filter(
        (pl.col("thread_id") == turn["thread_id"])
        & (pl.col("run") == turn["run"])
        & pl.col("seq_start").is_between(turn["seq_start"], turn["seq_end"])
    ).sort("seq_start")
    return within.row(-1, named=True) if within.height else None


def _moment(turn: Mapping[str, Any], abort: Mapping[str, Any], call: Mapping[str, Any] | None) -> Moment:
    after = duration(turn["duration_ms"])
    doing = f", last doing `{shortened(call['command'] or call['name'], 80)}`" if call else ""
    request = shortened(turn["user_message"], 90)
    evidence = [Evidence(abort["seq"])] + ([Evidence(call["seq_start"], call["call_id"])] if call else [])
    return Moment(
        thread_id=turn["thread_id"],
        run=turn["run"],
        turn_id=turn["turn_id"],
        seq_start=abort["seq"],
        seq_end=abort["seq"],
        occurred_at=abort["ts"],
        severity=2,
        confidence=0.85,
        description="The user interrupted the agent"
        + (f" after {after}" if after else "")
        + (f" on “{request}”" if request else "")
        + doing,
        evidence=tuple(evidence),
    )
