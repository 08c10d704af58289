"""undo: the person took back what a turn did to the files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from codex_loop_assets.signals.model import CanonTables, Evidence, Moment
from codex_loop_assets.signals.quoting import during
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
    done = canon.events.filter((pl.col("kind") == "undo_completed") & pl.col("success").fill_null(True))
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
        for row in _with_undone_request(canon, done).to_dicts()
    ]


def _with_undone_request(canon: CanonTables, done: pl.DataFrame) -> pl.DataFrame:
    """The newest request with words before the undo, whose work was undone: the undo itself is a turn without words."""
    worded = (
        canon.turns.filter(pl.col("user_message") != "")
        .select("thread_id", "run", pl.col("seq_start").alias("undone_seq"), pl.col("user_message").alias("request"))
        .sort("undone_seq")
    )
    return (
        done.sort("seq")
        .join_asof(
            worded,
            left_on="seq",
            right_on="undone_seq",
            by=["thread_id", "run"],
            strategy="backward",
            check_sortedness=False,
        )
        .sort("thread_id", "ordinal")
    )
