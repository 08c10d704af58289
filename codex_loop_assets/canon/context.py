"""Model, policies and directory in force, read from the records that state them."""

from __future__ import annotations

import polars as pl

from codex_loop_assets.canon.kinds import CONTEXTS

FIELDS = ("model", "approval_policy", "sandbox_policy")


def stated(events: pl.DataFrame) -> pl.DataFrame:
    """Records that state a context: thread, turn, cwd and FIELDS (null where a record does not say)."""
    told = events.lazy().filter(pl.col("kind").is_in(CONTEXTS)).select("thread", "turn", "cwd", "detail").collect()
    return told.with_columns(
        # Written by the reader as plain text at the top level, so that a pattern does, four times as fast as JSON.
        pl.col("detail").str.extract(rf'"{name}":"([^"\\]*)"').alias(name)
        for name in FIELDS
    )


def per_turn(events: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """(thread, turn, FIELDS, cwd): the first statement in each turn, else what was last said before it. `found`: see
    `stated`."""
    first = (
        found.filter(pl.col("turn").is_not_null())
        .group_by("thread", "turn")
        .agg(pl.col(*FIELDS, "cwd").first(ignore_nulls=True))
    )
    turns = events.filter(pl.col("turn").is_not_null()).select("thread", "turn").unique()
    before = (
        found.filter(pl.col("turn").is_null())
        .group_by("thread")
        .agg(pl.col(*FIELDS, "cwd").last(ignore_nulls=True).name.suffix("_before"))
    )
    joined = (
        turns.join(first, on=("thread", "turn"), how="left")
        .join(before, on="thread", how="left")
        .sort("thread", "turn")
    )
    return joined.select(
        "thread",
        "turn",
        *(
            pl.coalesce(pl.col(name).forward_fill().over("thread"), f"{name}_before").alias(name)
            for name in (*FIELDS, "cwd")
        ),
    )
