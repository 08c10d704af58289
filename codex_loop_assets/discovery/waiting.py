"""What waits for more evidence, in words: types with too few signals for a pattern, patterns with too little for a proposal.

What does not belong here: the thresholds (config) and what they are compared with (cluster, propose).
"""

from __future__ import annotations

import polars as pl

from codex_loop_assets.discovery.state import TYPES, WITHDRAWN


def few_signals(type_: str, have: int, need: int) -> str | None:
    """What to say of a type with `have` signals; None when they are enough."""
    return f"{type_}: need {need} signals, have {have}" if have < need else None


def types_waiting(members: pl.DataFrame, need: int) -> list[str]:
    """A line for each type that has too few signals for any pattern. `members`: rows of `cluster_members` of one day."""
    present = members.filter(pl.col("via").ne_missing(WITHDRAWN))
    counts = dict(present.group_by("type").len().iter_rows())
    lines = (few_signals(type_, counts.get(type_, 0), need) for type_ in TYPES)
    return [line for line in lines if line]


def proposals_waiting(waiting: pl.DataFrame) -> list[str]:
    """A line for each thing that patterns lack before they are proposed, the commonest first. `waiting`: rows of
    `proposals_waiting` of one day."""
    lacking = waiting.group_by("lacks").agg(
        pl.len(), pl.col("need").max(), low=pl.col("have").min(), high=pl.col("have").max()
    )
    return [
        f"{row['len']} lack {row['lacks'].replace('_', ' ')}: need {row['need']:g}, have {_between(row['low'], row['high'])}"
        for row in lacking.sort("len", "lacks", descending=[True, False]).iter_rows(named=True)
    ]


def _between(low: float, high: float) -> str:
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
