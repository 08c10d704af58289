"""stream_error: the connection to the model broke."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codex_loop_assets.signals.model import CanonTables, Evidence, Moment
from codex_loop_assets.signals.quoting import during, show
from codex_loop_assets.signals.reading import records
from codex_loop_assets.signals.rules.rule import rule


@rule(
    category="stream_error",
    version="1",
    looks_for="Retries of the model stream within one turn, at or above the configured number.",
    evidence="Every record of a retry.",
    near_misses=(
        "a single retry that recovered (below the configured number)",
        "a command of the agent that lost its own connection",
        "an error that was not retried (error_event)",
    ),
    needs=("stream_errors",),
)
def find(canon: CanonTables, thresholds: Mapping[str, Any]) -> list[Moment]:
    told = records(canon, ("stream_error",))
    moments = []
    for _, group in told.group_by("thread_id", "run", "turn_id", maintain_order=True):
        rows = group.to_dicts()
        if len(rows) < thresholds["minimum_retries"]:
            continue
        first, last = rows[0], rows[-1]
        times = "once" if len(rows) == 1 else f"{len(rows)} times"
        message = show(last["text"], last["thread_id"], 120)
        moments.append(
            Moment(
                thread_id=first["thread_id"],
                run=first["run"],
                turn_id=first["turn_id"],
                seq_start=first["seq"],
                seq_end=last["seq"],
                occurred_at=first["ts"],
                severity=2 if len(rows) >= thresholds["strong_retries"] else 1,
                confidence=0.85 if len(rows) > 1 else 0.65,
                description=f"The connection to the model broke {times} ({message})" + during(first),
                evidence=tuple(Evidence(row["seq"], quote=row["text"]) for row in rows),
            )
        )
    return moments
