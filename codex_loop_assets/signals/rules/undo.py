"""undo: the person took back what a turn did to the files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from codex_loop_assets.signals.model import CanonTables, Evidence, Moment
from codex_loop_assets.signals.quoting import during
from codex_loop_assets.signals.reading import of_kinds, with_request
from codex_loop_assets.signals.rules.rule import rule


@rule(
    category="undo",
    version="1",
    looks_for="Codex's own undo, finished.",
    evidence="The record of the undo's end, with its message.",
    near_misses=(
        "the word undo in a message (a judge reads those)",
        "git checkout, git restore or a reverting patch by the agent",
        "an undo that found nothing to undo or failed",
        "an undo request that was never carried out",
    ),
    needs=("undo",),
)
def find(canon: CanonTables, thresholds: Mapping[str, Any]) -> list[Moment]:
    done = of_kinds(canon, ("undo_completed",)).filter(pl.col("success").fill_null(True))
    return [
        Moment(
            thread_id=row["thread_id"],
            run=row["run"],
            turn_id=row["turn_id"],
            seq_start=row["seq"],
            seq_end=row["seq"],
            occurred_at=row["ts"],
            severity=2,
            confidence=0.95,
            description="The user undid the file changes of a turn" + during(row),
            evidence=(Evidence(row["seq"], quote=row["text"]),),
        )
        for row in with_request(canon, done.sort("thread_id", "ordinal"), "seq", worded=True).to_dicts()
    ]
