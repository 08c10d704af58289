"""What one day looks at: of each type so many signals that a day's work does not grow with history.

A view holds what is new, what has no cluster yet, the newest members, and some members of every cluster. With no more
signals than one fit takes it holds them all. Ids, clusters and days of all signals are columns and cheap; their vectors
and texts are not, and are read for the view alone. What does not belong here: which points of a view are fitted (fit).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from codex_loop_assets.discovery.geometry import codes_of, mixed, rank_within

if TYPE_CHECKING:
    import numpy as np

_EPOCH = date(1970, 1, 1).toordinal()


class VectorTable(Protocol):
    """Vectors by signal id, in memory (discovery.vectors) or on disk (resources.vectors)."""

    def known(self, ids: pl.Series) -> pl.Series:
        """Whether each of the ids has a vector."""

    def take(self, ids: pl.Series) -> np.ndarray:
        """One unit vector per id. Raises KeyError when one has none."""


@dataclass(frozen=True)
class View:
    """`members`: rows of `cluster_members` in the order of their ids; `matrix`: the unit vector of each."""

    members: pl.DataFrame
    matrix: np.ndarray

    @property
    def arrived(self) -> np.ndarray:
        """The day on which each arrived, as a date ordinal."""
        return _ordinals(self.members)


def look(members: pl.DataFrame, vectors: VectorTable, day: date, settings: Mapping[str, Any]) -> View:
    """The view of one type's members as of the day. Members without a vector are not seen. `settings`: the `clusters`
    table."""
    seen = members.filter(vectors.known(members["signal_id"]))
    if seen.height > settings["fit_cap"]:
        seen = seen[_chosen(seen, day, settings)]
    return View(seen, vectors.take(seen["signal_id"]))


def _chosen(members: pl.DataFrame, day: date, settings: Mapping[str, Any]) -> np.ndarray:
    """Sorted row numbers of the view. Ties go by a hash of the id, so that the choice is the same every time."""
    import numpy as np

    codes, arrived, order = codes_of(members["cluster_id"])[0], _ordinals(members), mixed(members["signal_id"])
    today, cap = day.toordinal(), settings["fit_cap"]
    held, loose = np.flatnonzero(codes >= 0), np.flatnonzero(codes < 0)
    # Members that still shape clusters first: a fit that takes some of a cluster must not get the old ones only.
    shuffled = held[np.lexsort((order[held], arrived[held] <= today - settings["window_days"]))]
    some = shuffled[rank_within(codes[shuffled]) < settings["sample_per_cluster"]]
    newest = [_newest(points, arrived, order, cap) for points in (held, loose)]
    return np.unique(np.concatenate([np.flatnonzero(arrived >= today), some, *newest]))


def _newest(points: np.ndarray, arrived: np.ndarray, order: np.ndarray, limit: int) -> np.ndarray:
    import numpy as np

    if len(points) <= limit:
        return points
    edge = np.partition(arrived[points], len(points) - limit)[len(points) - limit]
    points = points[arrived[points] >= edge]
    return points[np.lexsort((order[points], -arrived[points]))][:limit]


def _ordinals(members: pl.DataFrame) -> np.ndarray:
    return members["arrived"].cast(pl.Int32).to_numpy() + _EPOCH
