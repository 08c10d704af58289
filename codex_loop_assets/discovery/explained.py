"""Whether a category explains a cluster, or the cluster is a pattern of its own.

A promoted category is specific: it explains the clusters that mostly carry it. A broad built-in one (a command
failed; the person corrected the agent) explains a cluster only when the cluster looks like any other part of it: when
it is a small, much tighter group than the category as a whole, it has a story of its own, and deserves a name.
`novel` explains nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from codex_loop_assets.discovery.view import VectorTable

NOVEL = "novel"


@dataclass(frozen=True)
class Explanation:
    """Whether an existing category explains the cluster, in words why, and each category's share of its members."""

    explained: bool
    reason: str
    overlap: dict[str, float]


def explain(
    members: pl.DataFrame,
    everyone: pl.DataFrame,
    vectors: VectorTable,
    specific: frozenset[str],
    settings: Mapping[str, Any],
) -> Explanation:
    """Compare a cluster's members with the whole of the category that most of them carry.

    `members`, `everyone`: rows of `signals` (of the cluster; of its type), with signal_id and category. `vectors`: of as
    many of them as are to be looked at. `specific`: names of categories that
    explain by themselves (promoted ones). `settings`: the `proposals` table.
    """
    shares = members["category"].value_counts(sort=True)
    overlap = {
        name: round(count / members.height, 3)
        for name, count in sorted(shares.iter_rows(), key=lambda item: (-item[1], item[0]))
    }
    top, share = next(iter(overlap.items()))
    if top == NOVEL or share < settings["explained_share"]:
        return Explanation(False, "no category covers most of it", overlap)
    if top in specific:
        return Explanation(True, f"{share:.0%} of it is the promoted category {top}", overlap)
    return _against_the_whole(members, everyone.filter(pl.col("category") == top), vectors, top, overlap, settings)


def _against_the_whole(members, category, vectors, top, overlap, settings) -> Explanation:
    of_category = members.filter(pl.col("category") == top).height / category.height
    inside, whole = _tightness(members["signal_id"], vectors), _tightness(category["signal_id"], vectors)
    if of_category > settings["whole_category_share"]:
        return Explanation(True, f"it is most ({of_category:.0%}) of the category {top}", overlap)
    if inside - whole < settings["tighter_by"]:
        return Explanation(True, f"it is no tighter than {top} as a whole ({inside:.2f} and {whole:.2f})", overlap)
    return Explanation(
        False, f"it is {of_category:.0%} of {top} and much tighter ({inside:.2f}, the whole {whole:.2f})", overlap
    )


def _tightness(ids: pl.Series, vectors: VectorTable) -> float:
    """Mean cosine between two of those that have a vector: the squared length of their mean vector; 0 for none."""
    import numpy as np

    seen = vectors.take(ids.filter(vectors.known(ids)))
    return float(np.sum(np.mean(seen, axis=0, dtype=np.float64) ** 2)) if len(seen) else 0.0
