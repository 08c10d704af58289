"""rollback: the person dropped turns from the conversation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codex_loop_assets.signals.model import CanonTables, Evidence, Moment
from codex_loop_assets.signals.quoting import during
from codex_loop_assets.signals.reading import detail, of_kinds, top_level, with_request
from codex_loop_assets.signals.rules.rule import rule


@rule(
    category="rollback",
    version="1",
    looks_for="Confirmed rollbacks of one or more user turns.",
    evidence="The record that confirms the rollback, with the number of turns dropped.",
    near_misses=(
        "a rollback that Codex refused (an error event)",
        "a rollback of zero turns",
        "rolling back a database, a deployment or a transaction in a command",
        "a rollback inside a sub-agent's thread",
    ),
    needs=("rollbacks",),
)
def find(canon: CanonTables, thresholds: Mapping[str, Any]) -> list[Moment]:
    told = of_kinds(canon, ("thread_rolled_back",)).join(
        top_level(canon).select("thread_id"), on="thread_id", how="semi"
    )
    confirmed = with_request(canon, told.sort("thread_id", "ordinal"), "seq", worded=True)
    moments = []
    for row in confirmed.to_dicts():
        turns = detail(row).get("num_turns", 1)
        if turns < 1:
            continue
        moments.append(
            Moment(
                thread_id=row["thread_id"],
                run=row["run"],
                turn_id=row["turn_id"],
                seq_start=row["seq"],
                seq_end=row["seq"],
                occurred_at=row["ts"],
                severity=2 if turns < thresholds["strong_turns"] else 3,
                confidence=0.9,
                description=f"The user rolled the conversation back by {turns} turn{'s' * (turns > 1)}" + during(row),
                evidence=(Evidence(row["seq"]),),
            )
        )
    return moments
