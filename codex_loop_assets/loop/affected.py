"""Who is affected: the facets in which the sessions behind a cluster differ from all other sessions, with counts.

What belongs here: counting and the test. What does not: rates over time (`measure.trends`).

A facet is named only when the difference is larger than chance would make it (Fisher's exact test, false discovery rate
held by Benjamini and Hochberg's procedure over all values tested) and large enough to matter; otherwise the ticket
says that no facet stands out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from codex_loop_assets.loop.evidence import Evidence
from codex_loop_assets.loop.excerpt import excerpt, literal


@dataclass(frozen=True)
class Facet:
    """`column` = `value` in `affected` of `affected_total` sessions behind the cluster, `rest` of `rest_total`
    others."""

    column: str
    value: str
    affected: int
    affected_total: int
    rest: int
    rest_total: int
    p_adjusted: float

    @property
    def statement(self) -> str:
        return f"{self.affected} of {self.affected_total}; others {self.rest} of {self.rest_total}"

    @property
    def ratio(self) -> float | None:
        """How many times more frequent among the affected; None when no other session has the value."""
        return (self.affected / self.affected_total) / (self.rest / self.rest_total) if self.rest else None


def differing(evidence: Evidence, sessions: pl.DataFrame, settings: Mapping) -> list[Facet]:
    """Facets that differ, most telling first. `sessions` are all sessions; excluded ones are left out on both sides.

    Both directions count in the test, but only over-represented values are returned: they say where to look.
    """
    wanted = settings["affected"]
    counted = sessions.filter(~pl.col("excluded"))
    hit = pl.col("thread_id").is_in(evidence.signals["thread_id"].unique().to_list())
    affected, rest = counted.filter(hit), counted.filter(~hit)
    if not affected.height or not rest.height:
        return []
    tested = []
    for column in wanted["facets"]:
        for value in affected[column].drop_nulls().unique().sort().to_list():
            if excerpt(value, None, limit=1000) == value:
                tested.append((column, value, _count(affected, column, value), _count(rest, column, value)))
    adjusted = _adjusted([(a, affected.height - a, r, rest.height - r) for _, _, a, r in tested])
    facets = [
        Facet(column, value, a, affected.height, r, rest.height, p)
        for (column, value, a, r), p in zip(tested, adjusted, strict=True)
    ]
    telling = [
        facet
        for facet in facets
        if facet.p_adjusted <= wanted["significance"]
        and (facet.ratio is None or facet.ratio >= wanted["minimum_ratio"])
    ]
    return sorted(telling, key=lambda facet: (facet.p_adjusted, facet.column, facet.value))[: wanted["shown"]]


def query(evidence: Evidence, facet: Facet) -> str:
    """The query for `facet.statement`."""
    has = f"n.{facet.column} = {literal(facet.value)}"
    return (
        f"{evidence.members_sql}\n"
        f"SELECT count(*) FILTER (WHERE hit AND {has}) || ' of ' || count(*) FILTER (WHERE hit)\n"
        f"    || '; others ' || count(*) FILTER (WHERE NOT hit AND {has})\n"
        "    || ' of ' || count(*) FILTER (WHERE NOT hit)\n"
        "FROM (SELECT *, thread_id IN (SELECT thread_id FROM s) AS hit FROM sessions WHERE NOT excluded) n"
    )


def _count(frame: pl.DataFrame, column: str, value: str) -> int:
    return frame.filter(pl.col(column) == value).height


def _adjusted(tables: list[tuple[int, int, int, int]]) -> list[float]:
    if not tables:
        return []
    from scipy.stats import false_discovery_control, fisher_exact

    raw = [float(fisher_exact([[a, b], [c, d]]).pvalue) for a, b, c, d in tables]
    return [float(value) for value in false_discovery_control(raw, method="bh")]
