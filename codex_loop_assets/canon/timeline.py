"""Events in reading order with the turn each belongs to: what turns, tool_calls and sessions are built on."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from codex_loop_assets.canon import prompts
from codex_loop_assets.canon.settings import CanonSettings, canon_settings

_KEY = ("thread", "run", "turn_id")


@dataclass(frozen=True)
class Timeline:
    """`events` with `thread` (number of the thread) and `turn` (index of the turn within its thread, null before the first);
    `prompts`: the rows that open turns, with `turn_kind` and `turn`."""

    events: pl.DataFrame
    prompts: pl.DataFrame
    settings: CanonSettings


def timeline(events: pl.DataFrame, settings: CanonSettings | None = None) -> Timeline:
    """Order the events and assign turns.

    An event with a turn id belongs to that turn even if it arrives late (a background command that ends after its turn);
    an event without one belongs to the latest prompt of its run.
    """
    settings = settings or canon_settings()
    ordered = events.sort("thread_id", "ordinal").with_columns(pl.col("thread_id").rle_id().alias("thread"))
    found = prompts.find(ordered, settings)
    found = found.with_columns(pl.int_range(pl.len(), dtype=pl.Int32).over("thread").alias("turn"))
    starts = found.select("thread", "ordinal", "turn", pl.col("turn_id").alias("prompt_turn_id"))
    ordered = ordered.join(starts, on=("thread", "ordinal"), how="left", maintain_order="left")
    ordered = ordered.with_columns(pl.coalesce("prompt_turn_id", "turn_id").alias("turn_id"))
    by_place = pl.col("turn").forward_fill().over("thread", "run")
    by_id = pl.col("turn").forward_fill().over(_KEY)
    by_id_ahead = pl.col("turn").backward_fill().over(_KEY)
    has_id = pl.col("turn_id").is_not_null()
    ordered = ordered.with_columns(
        pl.when(has_id).then(pl.coalesce(by_id, by_id_ahead, by_place)).otherwise(by_place).alias("turn")
    ).drop("prompt_turn_id")
    return Timeline(ordered, found, settings)
