"""Which compactions a conversation went through: one row per compaction, however many records tell of it."""

from __future__ import annotations

import polars as pl

from codex_loop_assets.signals.model import CanonTables
from codex_loop_assets.signals.reading import records

# Boundary, history replacement and event of one compaction are written within a handful of records of each other.
_SAME_COMPACTION_RECORDS = 12


def compactions(canon: CanonTables) -> pl.DataFrame:
    """One row per compaction that succeeded (a failed attempt leaves no such record).

    Columns: those of `events`, the request it fell into, `seq_end`, `requested` (the person asked for it), and `number`
    (from 1 within the thread).
    """
    told = records(canon, ("compaction_boundary", "context_compacted"))
    grouped = (
        told.with_columns(_numbers(told))
        .with_columns(pl.col("seq").max().over("thread_id", "number").alias("seq_end"))
        .unique(["thread_id", "number"], keep="first", maintain_order=True)
    )
    return grouped.with_columns((pl.col("request_kind") == "compact").fill_null(False).alias("requested"))


def _numbers(told: pl.DataFrame) -> pl.Series:
    """Which compaction of its thread each record tells of. One compaction has at most one record of each kind."""
    numbers: list[int] = []
    thread, number, start, kinds = None, 0, 0, set()
    for row_thread, ordinal, kind in told.select("thread_id", "ordinal", "kind").iter_rows():
        if row_thread != thread:
            thread, number, kinds = row_thread, 0, set()
        if not kinds or kind in kinds or ordinal - start > _SAME_COMPACTION_RECORDS:
            number, start, kinds = number + 1, ordinal, set()
        kinds.add(kind)
        numbers.append(number)
    return pl.Series("number", numbers, dtype=pl.Int64)
