"""One day's step of the clusters: the state of the newest earlier day and the signals not yet taken give the day's
state.

How the wiring calls `advance`, with states read from the lake (`newest` is the newest state of all, whatever the day
asked for):

- a new day: `previous` = the newest state; `newest` = the same. Every signal not yet taken joins.
- the newest day once more: `previous` = the newest state before it; `newest` = its own state. Late signals join.
- an older day once more: `previous` = the newest state before it; `newest` = the newest state; `recorded` = its own
  state. It takes what it took then, so the result is the same, however much has come to light since.
- a range: its days in order, each with the state the day before it just got. A range that contains the newest day and
  should build history anew passes `previous=None, newest=None` for its first day and its own newest state afterwards.

What does not belong here: where points belong (place), what is looked at (view), facts about clusters (profile), names
(label), actions (actions).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any

import polars as pl

from codex_loop_assets.discovery import identity
from codex_loop_assets.discovery.kinship import BRANCH
from codex_loop_assets.discovery.place import placed
from codex_loop_assets.discovery.profile import Sources, profile
from codex_loop_assets.discovery.state import (
    TYPES,
    WITHDRAWN,
    ClusterState,
    arrivals,
    empty_state,
    unreplayable,
)
from codex_loop_assets.discovery.vectors import Vectors
from codex_loop_assets.discovery.view import VectorTable, View, look
from codex_loop_assets.discovery.waiting import few_signals
from codex_loop_assets.tables import TABLES

if TYPE_CHECKING:
    import numpy as np

    from codex_loop_assets.discovery.label import Labeller


@dataclass(frozen=True)
class _Step:
    """What became of one type's members on the day; `view`: those that the day looked at, where they are now."""

    members: pl.DataFrame
    events: list[identity.Event]
    view: View
    message: str | None


def advance(
    previous: ClusterState | None,
    day: date,
    signals: pl.DataFrame,
    vectors: VectorTable | Mapping[str, np.ndarray],
    settings: Mapping[str, Any],
    *,
    embedding_model: str,
    newest: ClusterState | None = None,
    recorded: ClusterState | None = None,
    sessions: pl.DataFrame | None = None,
    labeller: Labeller | None = None,
) -> ClusterState:
    """The state of all clusters as of `day`: a pure function of the previous state, the signals it takes in and the
    vectors.

    `signals`: rows of `signals` with `dt`, of every day up to `day` at least (those taken and those not). `vectors`:
    signal_id -> unit vector of the space `embedding_model`; a signal without one waits. `settings`: the `discovery`
    section. `sessions`: rows of `sessions`, for the facts about people and repositories. See the module's docstring
    for `newest` and `recorded`.
    """
    previous = previous or empty_state(date.min)
    vectors = Vectors.of(vectors) if isinstance(vectors, Mapping) else vectors
    replay = newest is not None and newest.day > day
    if replay and recorded is not None and (why := unreplayable(recorded, signals, embedding_model)):
        message = f"{day} is kept as recorded, because {why}"
        return ClusterState(day, recorded.clusters, recorded.members, recorded.events, messages=(message,))
    arriving = arrivals(day, signals, previous, newest)
    arriving = arriving.filter(vectors.known(arriving["signal_id"]))
    members = _with_arrivals(previous.members, arriving, signals, day)
    steps = [_step(type_, members, day, vectors, previous.clusters, settings["clusters"]) for type_ in TYPES]
    members = pl.concat([step.members for step in steps])
    events = [event for step in steps for event in step.events]
    sources = Sources(
        signals, sessions, {type_: step.view for type_, step in zip(TYPES, steps, strict=True)}, embedding_model
    )
    profiles = profile(previous.clusters, members, events, day, sources, settings, labeller)
    return ClusterState(
        day,
        TABLES["clusters"].frame(profiles.rows),
        TABLES["cluster_members"].conform(_with_similarity(members, profiles.similarity)),
        _event_frame(day, events),
        profiles.centroids,
        tuple(step.message for step in steps if step.message),
    )


def _with_arrivals(members: pl.DataFrame, arriving: pl.DataFrame, signals: pl.DataFrame, day: date) -> pl.DataFrame:
    """The record continued: earlier members, those that ceased to exist marked withdrawn, and the day's arrivals."""
    gone = ~pl.col("signal_id").is_in(signals["signal_id"].implode())
    back = pl.col("via").eq_missing(WITHDRAWN)
    members = members.with_columns(
        cluster_id=pl.when(gone).then(None).otherwise("cluster_id"),
        via=pl.when(gone).then(pl.lit(WITHDRAWN)).when(back).then(None).otherwise("via"),
    )
    new = arriving.select(
        dt=pl.lit(day),
        signal_id="signal_id",
        cluster_id=pl.lit(None, pl.String),
        type="type",
        arrived=pl.lit(day),
        signal_day="dt",
        via=pl.lit(None, pl.String),
        similarity=pl.lit(None, pl.Float64),
    )
    return pl.concat([members, new]).with_columns(dt=pl.lit(day)).sort("signal_id")


def _with_similarity(members: pl.DataFrame, similarity: pl.DataFrame) -> pl.DataFrame:
    """Members with the day's similarities; one that the day did not look at keeps the one it had."""
    seen = members.join(similarity, on="signal_id", how="left", maintain_order="left", suffix="_now")
    now = pl.coalesce("similarity_now", "similarity")
    placed = pl.col("cluster_id").is_not_null()
    return seen.with_columns(similarity=pl.when(placed).then(now)).drop("similarity_now")


def _step(
    type_: str,
    members: pl.DataFrame,
    day: date,
    vectors: VectorTable,
    previous: pl.DataFrame,
    settings: Mapping[str, Any],
) -> _Step:
    """Let one type's arrivals in. A day on which nothing of the type arrived leaves its clusters as they are."""
    members = members.filter(pl.col("type") == type_)
    present = members.filter(pl.col("via").ne_missing(WITHDRAWN))
    view = look(present, vectors, day, settings)
    if message := few_signals(type_, present.height, settings["minimum_signals"]):
        return _Step(members, [], view, message)
    if not (present["arrived"] == day).any():
        return _Step(members, [], view, None)
    outcome, events = placed(type_, view, day, present, previous, settings)
    unseen = present.join(view.members, on="signal_id", how="anti")
    sizes = dict(unseen.drop_nulls("cluster_id").group_by("cluster_id").len().iter_rows())
    events = [replace(event, size=event.size + sizes.get(event.cluster_id, 0)) for event in events]
    now = pl.Series("cluster_id", outcome.clusters, pl.String)
    return _Step(
        _moved(members, view, outcome, events), events, replace(view, members=view.members.with_columns(now)), None
    )


def _moved(members: pl.DataFrame, view: View, outcome: identity.Outcome, events: list[identity.Event]) -> pl.DataFrame:
    """The members where the day put them: those it looked at one by one; the others go where their cluster went."""
    moves = sorted(outcome.via)
    changed = view.members.select("signal_id")[moves].with_columns(
        pl.Series("new_cluster", [outcome.clusters[point] for point in moves], pl.String),
        pl.Series("new_via", [outcome.via[point] for point in moves], pl.String),
    )
    ended = {event.cluster_id: event.other_id or None for event in events if event.kind in ("merge", "dissolve")}
    parted = [event.cluster_id for event in events if event.kind == "split"]
    moved, gone = pl.col("new_via").is_not_null(), pl.col("cluster_id").is_in(list(ended))
    heir = pl.col("cluster_id").replace_strict(ended, default=None, return_dtype=pl.String)
    later_split = pl.col("cluster_id").is_in(parted) & (pl.col("via") == BRANCH)
    joined = members.join(changed, on="signal_id", how="left", maintain_order="left")
    return joined.with_columns(
        cluster_id=pl.when(moved).then("new_cluster").when(gone).then(heir).otherwise("cluster_id"),
        via=pl.when(moved & pl.col("new_cluster").is_null())
        .then(None)
        .when(moved)
        .then("new_via")
        .when(gone)
        .then(pl.when(heir.is_not_null()).then(pl.lit("fit")))
        .when(later_split)
        .then(pl.lit("birth"))
        .otherwise("via"),
        # What it says of a cluster that is no more says nothing.
        similarity=pl.when(~(moved | gone)).then("similarity"),
    ).drop("new_cluster", "new_via")


def _event_frame(day: date, events: list[identity.Event]) -> pl.DataFrame:
    return TABLES["cluster_events"].frame([{"dt": day, **asdict(event)} for event in events])
