"""zero_denial: everything the agent asked for was granted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from codex_loop_assets.signals.model import CanonTables, Evidence, Moment
from codex_loop_assets.signals.quoting import show_command
from codex_loop_assets.signals.reading import PERSON_APPROVED, PERSON_REFUSED, top_level
from codex_loop_assets.signals.rules.rule import rule


@rule(
    category="zero_denial",
    version="1",
    looks_for="Sessions whose record holds approval requests, with at least one approved by the person and none "
    "refused.",
    evidence="Every approved call.",
    near_misses=(
        "a session in which nothing was asked",
        "a record that cannot hold approvals (every stock rollout)",
        "requests left unanswered or granted by a policy",
        "a session with one refusal",
    ),
    needs=("approvals",),
)
def find(canon: CanonTables, thresholds: Mapping[str, Any]) -> list[Moment]:
    observable = top_level(canon).filter(pl.col("approvals_observable")).select("thread_id")
    asked = canon.tool_calls.filter(pl.col("approval").is_in(PERSON_APPROVED + PERSON_REFUSED).fill_null(False)).join(
        observable, on="thread_id", how="semi"
    )
    moments = []
    for _, group in asked.sort("thread_id", "run", "seq_start").group_by("thread_id", maintain_order=True):
        calls = group.to_dicts()
        if len(calls) < thresholds["minimum"] or any(call["approval"] in PERSON_REFUSED for call in calls):
            continue
        first, last = calls[0], calls[-1]
        what = ", ".join(
            dict.fromkeys(
                f"`{show_command(call['command'] or call['name'], call['thread_id'], 60)}`" for call in calls[:3]
            )
        )
        moments.append(
            Moment(
                thread_id=first["thread_id"],
                run=first["run"],
                turn_id=first["turn_id"],
                call_id=first["call_id"],
                seq_start=first["seq_start"],
                seq_end=max(call["seq_end"] for call in calls),
                occurred_at=last["occurred_at"],
                severity=1,
                confidence=0.6 if len(calls) < thresholds["confident"] else 0.8,
                description=f"The user granted all {len(calls)} approvals that the agent asked for: {what}"
                if len(calls) > 1
                else f"The user granted the only approval that the agent asked for: {what}",
                evidence=tuple(Evidence(call["seq_start"], call["call_id"], run=call["run"]) for call in calls),
            )
        )
    return moments
