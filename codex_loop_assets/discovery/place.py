"""Where the points of one day and type belong: the fit, identity carried over, lineage, and the radius of a centre.

What does not belong here: finding groups (fit), keeping ids (identity), branches and partings (kinship), the day's step
(cluster).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from codex_loop_assets.discovery import identity
from codex_loop_assets.discovery.geometry import codes_of
from codex_loop_assets.discovery.kinship import with_branches, with_partings
from codex_loop_assets.discovery.state import MERGED
from codex_loop_assets.discovery.view import View

if TYPE_CHECKING:
    import numpy as np


def placed(
    type_: str, view: View, day: date, present: pl.DataFrame, previous: pl.DataFrame, settings: Mapping[str, Any]
) -> tuple[identity.Outcome, list[identity.Event]]:
    """Fit the day's points and carry identity over; then points outside the fit join a cluster near enough.

    `view`: what the day looks at of one type, where it was before; `present`: rows of `cluster_members` of the whole type;
    `previous`: the rows of `clusters`; `settings`: the `clusters` table. The outcome's points are those of the view.
    """
    from codex_loop_assets.discovery.fit import NOT_FITTED, fit_points, minimum_size

    members, matrix = view.members, view.matrix
    ids, clusters = members["signal_id"].to_list(), members["cluster_id"].to_list()
    known = frozenset(previous["cluster_id"])
    codes = codes_of(members["cluster_id"])[0]
    fitted = fit_points(members["signal_id"], matrix, codes, view.arrived, day, settings)
    stands_for = _stands_for(present, members.filter(pl.Series(fitted > NOT_FITTED)), day, settings)
    if is_commit_day(day, present, settings):
        whole = _just_merged(previous, day, settings["merge_holds_days"])
        outcome = identity.commit(ids, type_, clusters, fitted, settings, known, whole, stands_for)
    else:
        size = minimum_size(min(len(ids), settings["fit_cap"]), settings)
        outcome = identity.join(ids, type_, clusters, fitted, size, known, stands_for)
    events = with_branches(outcome, clusters, matrix, settings)
    events = with_partings(events, outcome, members, previous, day, settings["parting_days"])
    _join_by_radius(outcome, matrix, fitted, settings)
    return outcome, events


def _stands_for(
    present: pl.DataFrame, fitted: pl.DataFrame, day: date, settings: Mapping[str, Any]
) -> dict[str, float]:
    """How many members of a cluster one of those in the fit stands for, where the fit took some of it."""
    shaping = present.filter(pl.col("arrived") > day - timedelta(days=settings["window_days"]))
    sizes, taken = (frame.drop_nulls("cluster_id").group_by("cluster_id").agg(pl.len()) for frame in (shaping, fitted))
    both = sizes.join(taken, on="cluster_id", suffix="_taken").filter(pl.col("len") > pl.col("len_taken"))
    return dict(both.select("cluster_id", pl.col("len") / pl.col("len_taken")).iter_rows())


def _just_merged(previous: pl.DataFrame, day: date, days: int) -> frozenset[str]:
    """Clusters that others have merged into within the last `days`. Where two troubles have become one the fit wavers:
    taken apart and joined again from week to week, they would have no history."""
    merged = previous.filter(pl.col("status") == MERGED, pl.col("ended") > day - timedelta(days=days))
    return frozenset(merged["merged_into"].drop_nulls())


def is_commit_day(day: date, members: pl.DataFrame, settings: Mapping[str, Any]) -> bool:
    """Whether merges and splits are committed on the day: while there are few signals, and on the first day with
    arrivals of each week. Counted from arrivals, not from runs, so that a day run without arrivals changes
    nothing."""
    before = members.filter(pl.col("arrived") < day)["arrived"].max()
    few = members.height < settings["commit_daily_below"]
    return (
        few
        or before is None
        or before.toordinal() // settings["commit_days"] != day.toordinal() // settings["commit_days"]
    )


def _join_by_radius(
    outcome: identity.Outcome, matrix: np.ndarray, fitted: np.ndarray, settings: Mapping[str, Any]
) -> None:
    """Points without a cluster join the nearest centre within the radius that most of its members keep."""
    import numpy as np

    from codex_loop_assets.discovery.fit import NOT_FITTED
    from codex_loop_assets.discovery.geometry import centres

    codes, names = codes_of(pl.Series(outcome.clusters, dtype=pl.String))
    wanted = fitted < 0 if settings["radius_for_noise"] else fitted == NOT_FITTED
    loose = np.flatnonzero((codes < 0) & wanted)
    if not names or not len(loose):
        return
    centre = centres(matrix, codes, len(names))
    inside = np.flatnonzero(codes >= 0)
    cosines = np.einsum("ij,ij->i", matrix[inside], centre[codes[inside]])
    order = np.argsort(codes[inside], kind="stable")
    parts = np.split(cosines[order], np.searchsorted(codes[inside][order], np.arange(1, len(names))))
    radius = np.array([np.quantile(part, settings["radius_quantile"]) for part in parts])
    near = matrix[loose] @ centre.T
    near[near < np.maximum(radius, settings["radius_floor"])[None, :]] = -np.inf
    best = near.argmax(axis=1)
    for row, point in enumerate(loose.tolist()):
        if np.isfinite(near[row, best[row]]):
            outcome.move(point, names[best[row]], "radius")
