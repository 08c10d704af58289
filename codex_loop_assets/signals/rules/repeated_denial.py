"""repeated_denial: the person keeps refusing what the agent asks to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codex_loop_assets.signals.model import CanonTables, Evidence, Moment
from codex_loop_assets.signals.quoting import show_command
from codex_loop_assets.signals.reading import refusals
from codex_loop_assets.signals.rules.rule import rule


@rule(
    category="repeated_denial",
    version="1",
    looks_for="Three or more tool calls in one session that the person refused (`denied`, or `abort`, which is the "
    "only refusal that the terminal client offers).",
    evidence="Every refused call of the session, in order.",
    near_misses=(
        "two refusals",
        "refusals by approval settings or a command policy, where nobody was asked",
        "one call that asked twice (first normally, then without the sandbox)",
        "requests that were never answered",
        "a sub-agent's copy of a decision made in its parent",
    ),
    needs=("refusals",),
)
def find(canon: CanonTables, thresholds: Mapping[str, Any]) -> list[Moment]:
    moments = []
    for _, group in refusals(canon).group_by("thread_id", maintain_order=True):
        calls = group.to_dicts()
        if len(calls) < thresholds["minimum"]:
            continue
        first = calls[0]
        what = ", ".join(
            dict.fromkeys(
                f"`{show_command(call['command'] or call['name'], call['thread_id'], 60)}`" for call in calls[:4]
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
                occurred_at=first["occurred_at"],
                severity=3,
                confidence=0.95,
                description=f"The user refused {len(calls)} requests of the agent in one session, among them {what}",
                evidence=tuple(Evidence(call["seq_start"], call["call_id"], run=call["run"]) for call in calls),
            )
        )
    return moments
