"""Which thread started which: sub-agents found through what their parents recorded.

A spawned agent's own metadata names its parent; a reviewer's does not, and is found through the parent's `bridge`
records, its spawn events, or the answer of its `spawn_agent` call.
"""

from __future__ import annotations

import polars as pl

_CHILD = {
    "bridge": "$.sub_agent_thread_id",
    "collab_agent_spawn_end": "$.new_thread_id",
    "sub_agent_activity": "$.agent_thread_id",
}


def parents(events: pl.DataFrame) -> pl.DataFrame:
    """(child_id, recorded_parent) by the parents' records; the first parent that names a child counts."""
    found = [
        events.filter(pl.col("kind") == kind).select(
            pl.col("detail").str.json_path_match(path).alias("child_id"), pl.col("thread_id").alias("recorded_parent")
        )
        for kind, path in _CHILD.items()
    ]
    found.append(_spawn_answers(events))
    return (
        pl.concat(found)
        .filter(pl.col("child_id").is_not_null() & (pl.col("child_id") != pl.col("recorded_parent")))
        .unique("child_id", keep="first", maintain_order=True)
    )


def _spawn_answers(events: pl.DataFrame) -> pl.DataFrame:
    """Ids in the outputs of `spawn_agent` calls."""
    calls = events.filter((pl.col("kind") == "function_call") & (pl.col("name") == "spawn_agent")).select(
        "thread_id", "run", "call_id"
    )
    outputs = events.filter(pl.col("kind") == "function_call_output").join(
        calls.unique(), on=("thread_id", "run", "call_id"), how="semi"
    )
    return outputs.select(
        pl.coalesce(
            pl.col("text").str.json_path_match("$.agent_id"), pl.col("text").str.json_path_match("$.thread_id")
        ).alias("child_id"),
        pl.col("thread_id").alias("recorded_parent"),
    )
