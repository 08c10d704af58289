"""Turns that were taken out of the context later: by a rollback of n user turns, or by going back to an earlier point
of the thread in a new file. Few records, so one pass in order."""

from __future__ import annotations

import polars as pl

_TURN = ("thread", "turn")


def with_rollbacks(turns: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """`turns` (with `thread`, `turn`, `run`, `ordinal`, `seq_start`, `kind`) with a column `rolled_back`."""
    dropped = _by_count(turns, events) | _by_file(turns, events)
    gone = pl.DataFrame(sorted(dropped), schema={"thread": turns.schema["thread"], "turn": pl.Int32}, orient="row")
    joined = turns.join(gone.with_columns(pl.lit(True).alias("rolled_back")), on=_TURN, how="left").sort(_TURN)
    return joined.with_columns(pl.col("rolled_back").fill_null(False))


def _by_count(turns: pl.DataFrame, events: pl.DataFrame) -> set[tuple[int, int]]:
    """thread_rolled_back{num_turns}: the last n turns that are still there."""
    count = pl.col("detail").str.json_path_match("$.num_turns").cast(pl.Int64, strict=False)
    marks = events.filter(pl.col("kind") == "thread_rolled_back").select("thread", "ordinal", count.alias("count"))
    dropped: set[tuple[int, int]] = set()
    if marks.is_empty():
        return dropped
    asked = turns.filter(pl.col("thread").is_in(marks["thread"].implode()) & pl.col("kind").is_in(("prompt", "review")))
    order = {key[0]: group.select("ordinal", "turn").rows() for key, group in asked.group_by("thread")}
    for thread, ordinal, count in marks.sort("thread", "ordinal").iter_rows():
        alive = [turn for at, turn in order.get(thread, []) if at < ordinal and (thread, turn) not in dropped]
        dropped.update((thread, turn) for turn in alive[max(0, len(alive) - max(0, count or 0)) :])
    return dropped


def _by_file(turns: pl.DataFrame, events: pl.DataFrame) -> set[tuple[int, int]]:
    """A file that continues an earlier one up to a bound: what the earlier one holds beyond, and files between, were
    left."""
    metas = events.filter(
        (pl.col("kind") == "session_meta") & pl.col("detail").str.contains('"reverted"', literal=True)
    )
    if metas.is_empty():
        return set()
    bounds = metas.select(
        "thread",
        "run",
        pl.col("detail").str.json_path_match("$.reverted.run").cast(pl.Int32, strict=False).alias("base"),
        pl.col("detail").str.json_path_match("$.reverted.from_seq").cast(pl.Int64, strict=False).alias("from_seq"),
    ).drop_nulls()
    left = turns.join(bounds, on="thread", suffix="_next").filter(
        ((pl.col("run") == pl.col("base")) & (pl.col("seq_start") >= pl.col("from_seq")))
        | ((pl.col("run") > pl.col("base")) & (pl.col("run") < pl.col("run_next")))
    )
    return set(left.select(_TURN).rows())
