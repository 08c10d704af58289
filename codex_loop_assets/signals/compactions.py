"""Which compactions of a conversation happened by themselves: one row per compaction, however many records tell of
it."""

from __future__ import annotations

import polars as pl

from codex_loop_assets.signals.model import CanonTables
from codex_loop_assets.signals.reading import records

# Boundary, history replacement and event of one compaction are written within a handful of records of each other.
_SAME_COMPACTION_RECORDS = 12


def automatic_compactions(canon: CanonTables) -> pl.DataFrame:
    """One row per automatic compaction: the columns of `events`, the request it fell into, `seq_end` and `number`
    (from 1 per thread).

    Compactions in a turn of kind `compact` were asked for and are left out. A failed attempt leaves no such record.
    """
    told = records(canon, ("compaction_boundary", "context_compacted"))
    gap = pl.col("ordinal") - pl.col("ordinal").shift(1).over("thread_id")
    same_kind = pl.col("kind") == pl.col("kind").shift(1).over("thread_id")
    starts = (gap.is_null() | (gap > _SAME_COMPACTION_RECORDS) | same_kind).alias("starts")
    grouped = (
        told.with_columns(starts)
        .with_columns(pl.col("starts").cum_sum().over("thread_id").alias("group"))
        .with_columns(pl.col("seq").max().over("thread_id", "group").alias("seq_end"))
        .filter("starts")
    )
    return grouped.filter(pl.col("request_kind").fill_null("") != "compact").with_columns(
        pl.int_range(1, pl.len() + 1).over("thread_id").alias("number")
    )
