"""Whom a new cluster stems from although they share no member: a birth beside a living cluster is a branch of it.

When a trouble changes its shape, its new signals never were in the old cluster, so no split can be seen; but they are
nearer to it than to anything else. When it has more than one such child in a short time, it has split. What does not belong here: clusters that part or join by their members (identity).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from codex_loop_assets.discovery.geometry import centres, codes_of
from codex_loop_assets.discovery.identity import Event, Outcome
from codex_loop_assets.discovery.state import LIVE

if TYPE_CHECKING:
    import numpy as np

BRANCH = "branch"


def with_branches(
    outcome: Outcome, before: Sequence[str | None], matrix: np.ndarray, settings: Mapping[str, Any]
) -> list[Event]:
    """The outcome's events; a birth whose centre is near enough to that of a cluster of `before` is a branch of the
    nearest, with their cosine as the overlap. `matrix`: a unit vector per point."""
    import numpy as np

    codes, old = codes_of(pl.Series(before, dtype=pl.String))
    if not old or not any(event.kind == "birth" for event in outcome.events):
        return outcome.events
    old_centres = centres(matrix, codes, len(old))
    newcomers = [point for point in outcome.via if outcome.via[point] == "birth"]
    events = []
    for event in outcome.events:
        if event.kind == "birth":
            founders = [point for point in newcomers if outcome.clusters[point] == event.cluster_id]
            centre = matrix[founders].sum(axis=0, dtype=np.float64)
            cosines = (old_centres @ centre / np.linalg.norm(centre)).round(6)
            nearest = int(cosines.argmax())
            if cosines[nearest] >= settings["kin_similarity"]:
                event = replace(event, kind=BRANCH, other_id=old[nearest], overlap=float(cosines[nearest]))
                outcome.via |= dict.fromkeys(founders, BRANCH)
        events.append(event)
    return events


def with_partings(
    events: Sequence[Event], outcome: Outcome, members: pl.DataFrame, previous: pl.DataFrame, day: date, days: int
) -> list[Event]:
    """The events, in which branches of one cluster that come within `days` of another child of it are splits.

    One cluster beside a living one may be a neighbour; two are what it has parted into. The earlier of them gets its
    event today, for its own day stays as it was recorded. `members`: the day's rows of `cluster_members`, a point of
    `outcome` each, as they were before it; `previous`: the rows of `clusters`.
    """
    parted = [event.other_id for event in events if event.kind in (BRANCH, "split")]
    earlier = _young_branches(members, previous, day - timedelta(days=days))
    siblings = [(child, parent) for child, parent in earlier.items() if parent in parted]
    twice = {parent for parent in parted if parted.count(parent) > 1} | {parent for _, parent in siblings}
    result = []
    for event in events:
        if event.kind == BRANCH and event.other_id in twice:
            event = replace(event, kind="split", overlap=0.0)
            outcome.via |= {
                point: "birth"
                for point, via in outcome.via.items()
                if via == BRANCH and outcome.clusters[point] == event.cluster_id
            }
        result.append(event)
    for child, parent in sorted(siblings):
        points = (members["cluster_id"] == child).fill_null(value=False).arg_true().to_list()
        result.append(Event("split", child, parent, 0.0, len(points)))
        outcome.via |= {point: "birth" for point in points if members["via"][point] == BRANCH}
    return result


def _young_branches(members: pl.DataFrame, previous: pl.DataFrame, since: date) -> dict[str, str]:
    """Living clusters born since then as branches -> the cluster that they are a branch of."""
    branches = members.filter(pl.col("via") == BRANCH)["cluster_id"].unique()
    young = previous.filter(
        pl.col("status") == LIVE, pl.col("born") >= since, pl.col("cluster_id").is_in(branches.implode())
    )
    return dict(young.select("cluster_id", pl.col("parent_ids").list.first()).iter_rows())
