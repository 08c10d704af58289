"""The state of all clusters as of one day, and which signals a day takes in.

A day continues the newest earlier state and takes in every signal not yet taken; a late signal joins the newest day, so
earlier days never go stale. What does not belong here: how clusters are found (see fit) and keep their identity (see
identity).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

import polars as pl

from codex_loop_assets.tables import TABLES

if TYPE_CHECKING:
    import numpy as np

TYPES = ("friction", "delight")
LIVE, MERGED, DISSOLVED = "live", "merged", "dissolved"
WITHDRAWN = "withdrawn"


@dataclass(frozen=True)
class ClusterState:
    """Frames of `clusters`, `cluster_members` and `cluster_events` of one day, the centres, and what to tell the
    reader.

    `centroids` (cluster_id -> unit vector) and `messages` are results only: a state read back from the lake has none.
    """

    day: date
    clusters: pl.DataFrame
    members: pl.DataFrame
    events: pl.DataFrame
    centroids: dict[str, np.ndarray] = field(default_factory=dict)
    messages: tuple[str, ...] = ()


def empty_state(day: date) -> ClusterState:
    """A state in which nothing has been taken in."""
    return ClusterState(
        day, TABLES["clusters"].empty(), TABLES["cluster_members"].empty(), TABLES["cluster_events"].empty()
    )


def arrivals(day: date, signals: pl.DataFrame, previous: ClusterState, newest: ClusterState | None) -> pl.DataFrame:
    """The rows of `signals` that the day takes in.

    `signals` carries `dt`, the partition day of each signal. A day as new as the newest state (or newer) takes every
    signal of that day or earlier that `previous` has not taken. An older day takes what the record (the newest
    state's `arrived`) says it took, and nothing else, however much has come to light since.
    """
    if newest is not None and newest.day > day:
        recorded = newest.members.filter(pl.col("arrived") == day)
        return signals.join(recorded, on="signal_id", how="semi")
    return signals.filter(pl.col("dt") <= day).join(previous.members, on="signal_id", how="anti")


def unreplayable(recorded: ClusterState, signals: pl.DataFrame, embedding_model: str) -> str | None:
    """Why the day of a recorded state cannot be replayed to the same result; None when it can.

    A signal that has ceased to exist cannot be fitted again, and another embedding model sees other neighbours.
    """
    held = recorded.members.filter(pl.col("via").ne_missing(WITHDRAWN))
    gone = held.join(signals, on="signal_id", how="anti").height
    if gone:
        return f"{gone} of its signals have been withdrawn since"
    models = set(recorded.clusters.filter(pl.col("status") == LIVE)["embedding_model"]) - {embedding_model}
    return f"it was made with the vectors of {', '.join(sorted(models))}" if models else None
