"""Tickets that the calendar alone moves: an ignored one whose day has come, growth that has ended, a problem that is back.

What belongs here: which clusters' tickets are to be written again although their cluster has not changed. What does not:
the transitions (`life`), tickets whose cluster changed (`resources.registry.stale_clusters`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

import polars as pl

from codex_loop_assets.loop import life

NEEDED = ("cluster_members", "signals", "sessions")


def due(states: Iterable[life.State], frames: Mapping[str, pl.DataFrame], today: date, settings: Mapping) -> list[str]:
    """Ids of the clusters whose ticket gets an event from what is known by `today`, sorted.

    `frames` holds the tables of NEEDED; of cluster_members the newest day up to `today` counts. A ticket whose cluster
    has no members is left to what becomes of its cluster.
    """
    seen = observations(frames, today)
    return sorted(
        state.cluster_id
        for state in states
        if state.cluster_id in seen and life.advance(state, state.fingerprint, seen[state.cluster_id], "", settings)
    )


def observations(frames: Mapping[str, pl.DataFrame], today: date) -> dict[str, life.Observation]:
    """What the evidence says about each cluster as of `today`, by cluster id."""
    members = frames["cluster_members"].filter(pl.col("dt") <= today)
    newest = members.filter(pl.col("dt") == pl.col("dt").max()).drop_nulls("cluster_id")
    joined = frames["signals"].join(newest.select("signal_id", "cluster_id"), on="signal_id")
    return {
        cluster_id: observation(cluster_id, rows, frames["sessions"], today)
        for (cluster_id,), rows in joined.group_by("cluster_id")
    }


def observation(cluster_id: str, signals: pl.DataFrame, sessions: pl.DataFrame, today: date) -> life.Observation:
    """What the signals of one cluster say about it as of `today`."""
    # Sessions of evaluation trials and of the platform itself show what was provoked, not what happened to people.
    excluded = sessions.filter(pl.col("excluded")).select("thread_id")
    counted = signals.join(excluded, on="thread_id", how="anti")
    rows = counted.select("occurred_at", "thread_id").drop_nulls().rows()
    moments = ((occurred.date(), thread) for occurred, thread in rows if occurred.date() <= today)
    return life.Observation(cluster_id, today, tuple(sorted(moments)))
