"""compaction: the conversation outgrew the context window, or the person had it compacted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codex_loop_assets.signals.compactions import compactions
from codex_loop_assets.signals.model import CanonTables, Evidence, Moment
from codex_loop_assets.signals.quoting import during
from codex_loop_assets.signals.rules.rule import rule


@rule(
    category="compaction",
    version="2",
    looks_for="Compactions of the conversation that succeeded, by themselves or (unless configured otherwise) on the "
    "person's request. The records that Codex writes about one compaction (boundary, history replacement, event, "
    "item) count once.",
    evidence="The record of the compaction.",
    near_misses=(
        "start-up records whose id begins with auto-compact: an id of session-internal records, not a compaction",
        "a compaction that was tried and failed",
        "a summary quoted in a message",
        "copies of a parent's history in a fork",
    ),
    needs=("compactions",),
)
def find(canon: CanonTables, thresholds: Mapping[str, Any]) -> list[Moment]:
    return [
        _moment(row) for row in compactions(canon).to_dicts() if thresholds["count_requested"] or not row["requested"]
    ]


def _moment(row: Mapping[str, Any]) -> Moment:
    return Moment(
        thread_id=row["thread_id"],
        run=row["run"],
        turn_id=row["turn_id"],
        seq_start=row["seq"],
        seq_end=row["seq_end"],
        occurred_at=row["ts"],
        severity=1,
        confidence=0.6 if row["requested"] else 0.95,
        description=f"{_what(row)} (number {row['number']} in the session)" + during(row),
        evidence=(Evidence(row["seq"]),),
    )


def _what(row: Mapping[str, Any]) -> str:
    if row["requested"]:
        return "The user had the conversation compacted"
    if row["source"] == "rollout":
        # A stock rollout keeps no record of a person's request.
        return "The conversation outgrew the context window, or the user asked for it, and was compacted"
    return "The conversation outgrew the context window and was compacted"
