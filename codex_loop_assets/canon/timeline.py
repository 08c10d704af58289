"""Events in reading order with the turn each belongs to: what turns, tool_calls and sessions are built on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import polars as pl

from codex_loop_assets.canon import context, prompts, usage
from codex_loop_assets.canon.details import text_fields
from codex_loop_assets.canon.settings import CanonSettings, canon_settings

STORAGE = ("file", "offset", "part", "payload_bytes")
"""Columns of `events` that only say where a record is stored: whoever builds the canonical tables need not read them."""
_KEY = ("thread", "run", "turn_id")
_METADATA = {
    "originator": "originator", "session_source": "source", "thread_source": "thread_source",
    "parent_thread_id": "parent_thread_id", "agent_role": "agent_role", "forked_from_id": "forked_from_id",
    "cli_version": "cli_version", "model_provider": "model_provider", "meta_commit": "git.commit_hash",
    "meta_branch": "git.branch", "meta_url": "git.repository_url",
}  # fmt: skip


@dataclass(frozen=True)
class Timeline:
    """`events` with `thread` (number of the thread) and `turn` (index of the turn within its thread, null before the
    first); `prompts`: the rows that open turns, with `turn_kind` and `turn`."""

    events: pl.DataFrame
    prompts: pl.DataFrame
    settings: CanonSettings

    @cached_property
    def stated(self) -> pl.DataFrame:
        """See `context.stated`."""
        return context.stated(self.events)

    @cached_property
    def contexts(self) -> pl.DataFrame:
        """See `context.per_turn`."""
        return context.per_turn(self.events, self.stated)

    @cached_property
    def usage(self) -> pl.DataFrame:
        """See `usage.increases`."""
        return usage.increases(self.events)

    @cached_property
    def metadata(self) -> pl.DataFrame:
        """Per thread, from its first session_meta: who wrote it (`originator`, `session_source`, ...), and where."""
        metas = self.events.lazy().filter(pl.col("kind") == "session_meta")
        told = metas.select("thread", "detail", pl.col("cwd").alias("meta_cwd"))
        first = told.unique("thread", keep="first", maintain_order=True).collect()
        return first.select("thread", "meta_cwd").hstack(text_fields(first["detail"], _METADATA))


def timeline(events: pl.DataFrame, settings: CanonSettings | None = None) -> Timeline:
    """Order the events and assign turns.

    An event with a turn id belongs to that turn even if it arrives late (a background command that ends after its
    turn); an event without one belongs to the latest prompt of its run.
    """
    settings = settings or canon_settings()
    ordered = in_reading_order(events).with_row_index("row")
    found = prompts.find(ordered, settings)
    found = found.with_columns(pl.int_range(pl.len(), dtype=pl.Int32).over("thread").alias("turn"))
    opened, named = _at(ordered.height, found, "turn"), _at(ordered.height, found, "turn_id")
    ordered = ordered.with_columns(opened, named.fill_null(ordered["turn_id"]))
    by_place = pl.col("turn").forward_fill().over("thread", "run")
    by_id = pl.col("turn").forward_fill().over(_KEY)
    by_id_ahead = pl.col("turn").backward_fill().over(_KEY)
    has_id = pl.col("turn_id").is_not_null()
    turn = pl.when(has_id).then(pl.coalesce(by_id, by_id_ahead, by_place)).otherwise(by_place)
    return Timeline(ordered.with_columns(turn.alias("turn")).drop("row"), found.drop("row"), settings)


def in_reading_order(events: pl.DataFrame) -> pl.DataFrame:
    """The events sorted by thread and reading order, with `thread` numbers, without the columns that only say where a
    record is stored (a big day is copied less)."""
    # In one chunk, because each new column would otherwise make Polars copy all of them.
    events = events.drop(STORAGE, strict=False).rechunk()
    thread, place = pl.col("thread_id"), pl.col("ordinal")
    same_or_next = (thread > thread.shift(1)) | ((thread == thread.shift(1)) & (place > place.shift(1)))
    if not events.select(same_or_next.slice(1).all()).item():
        events = events.sort("thread_id", "ordinal")
    return events.with_columns(pl.col("thread_id").rle_id().alias("thread"))


def _at(height: int, found: pl.DataFrame, name: str) -> pl.Series:
    """A column of the given height that is null except in the `row`s of `found`."""
    empty = pl.Series(name, [None], dtype=found.schema[name]).new_from_index(0, height)
    return empty.scatter(found["row"], found[name])
