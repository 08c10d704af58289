"""repeated_compaction: the task is too large for one conversation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codex_loop_assets.signals.compactions import compactions
from codex_loop_assets.signals.model import CanonTables, Evidence, Moment
from codex_loop_assets.signals.quoting import during
from codex_loop_assets.signals.rules.rule import rule


@rule(
    category="repeated_compaction",
    version="1",
    looks_for="Sessions with several compactions that succeeded, at or above the configured number.",
    evidence="Every compaction of the session.",
    near_misses=(
        "one or two compactions in a long session",
        "compactions that were tried and failed",
        "several records about one compaction",
    ),
    needs=("compactions",),
)
def find(canon: CanonTables, thresholds: Mapping[str, Any]) -> list[Moment]:
    moments = []
    for _, group in compactions(canon).group_by("thread_id", maintain_order=True):
        rows = group.to_dicts()
        if len(rows) < thresholds["minimum"]:
            continue
        first, last = rows[0], rows[-1]
        moments.append(
            Moment(
                thread_id=first["thread_id"],
                run=first["run"],
                turn_id=first["turn_id"],
                seq_start=first["seq"],
                seq_end=last["seq_end"] if last["run"] == first["run"] else first["seq_end"],
                occurred_at=first["ts"],
                severity=3 if len(rows) >= thresholds["strong"] else 2,
                confidence=0.9,
                description=f"The conversation was compacted {len(rows)} times in one session, first"
                + (during(first) or " before any request"),
                evidence=tuple(Evidence(row["seq"], run=row["run"]) for row in rows),
            )
        )
    return moments
