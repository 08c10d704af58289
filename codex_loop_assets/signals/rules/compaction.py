"""compaction: the conversation outgrew the context window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codex_loop_assets.signals.compactions import automatic_compactions
from codex_loop_assets.signals.model import CanonTables, Evidence, Moment
from codex_loop_assets.signals.reading import during
from codex_loop_assets.signals.rules.rule import rule


@rule(
    category="compaction",
    version="1",
    looks_for="Compactions of the conversation that succeeded and that nobody asked for. The records that Codex "
    "writes about one "
    "compaction (boundary, history replacement, event, item) count once.",
    evidence="The record of the compaction.",
    near_misses=(
        "start-up records whose id begins with auto-compact: an id of session-internal records, not a compaction",
        "/compact, asked for by the person as housekeeping",
        "a compaction that was tried and failed",
        "copies of a parent's history in a fork",
    ),
    needs=("compactions",),
)
def find(canon: CanonTables, thresholds: Mapping[str, Any]) -> list[Moment]:
    return [
        Moment(
            thread_id=row["thread_id"],
            run=row["run"],
            turn_id=row["turn_id"],
            seq_start=row["seq"],
            seq_end=row["seq_end"],
            occurred_at=row["ts"],
            severity=1,
            confidence=0.95,
            description=f"The conversation outgrew the context window and was compacted (number {row['number']} "
            "in the session)" + during(row["request"]),
            evidence=(Evidence(row["seq"]),),
        )
        for row in automatic_compactions(canon).to_dicts()
    ]
