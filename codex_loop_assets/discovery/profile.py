"""Facts about clusters: size, severity, people, exemplars and counter-examples, what differs from the rest, trend,
cohesion.

What does not belong here: who is a member (cluster), the name (label) and what to do about it (actions).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from codex_loop_assets.discovery.actions import recommend
from codex_loop_assets.discovery.identity import Event
from codex_loop_assets.discovery.label import LocalLabeller, needs_label
from codex_loop_assets.discovery.state import DISSOLVED, LIVE, MERGED

if TYPE_CHECKING:
    import numpy as np

    from codex_loop_assets.discovery.label import Labeller


def centres(matrix: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
    """Unit vector of each cluster 0..count-1 over the rows with its code (-1: none); zero where a cluster has no
    row."""
    import numpy as np

    order = np.argsort(codes, kind="stable")
    order = order[codes[order] >= 0]
    result = np.zeros((count, matrix.shape[1]), dtype=np.float32)
    present, starts = np.unique(codes[order], return_index=True)
    if len(present):
        # Blocks of one cluster are summed apart: one sum over everything would need a second copy of all vectors.
        for code, start, stop in zip(present, starts, [*starts[1:], len(order)], strict=True):
            result[code] = matrix[order[start:stop]].sum(axis=0, dtype=np.float64)
    norms = np.linalg.norm(result, axis=1, keepdims=True)
    return result / np.where(norms == 0, 1, norms)


def cluster_rows(
    previous: pl.DataFrame,
    members: pl.DataFrame,
    events: Sequence[Event],
    day: date,
    signals: pl.DataFrame,
    sessions: pl.DataFrame | None,
    vectors: Mapping[str, np.ndarray],
    settings: Mapping[str, Any],
    embedding_model: str,
    labeller: Labeller | None,
) -> tuple[list[dict], dict[str, np.ndarray], pl.DataFrame]:
    """Rows of `clusters` for the day, the live clusters' centres, and each member's similarity to its centre.

    A cluster that merged or dissolved keeps the row it had, with its new status and heir: a redirect for ever.
    """
    known = {row["cluster_id"]: row for row in previous.iter_rows(named=True)}
    live = sorted(members["cluster_id"].drop_nulls().unique().to_list())
    facts = _member_facts(members, signals, sessions)
    space = _Space(members, vectors, live, settings["profile"])
    rows = []
    for cluster_id in live:
        own = facts.filter(pl.col("cluster_id") == cluster_id)
        row = _counts(cluster_id, own, facts, day, known.get(cluster_id), events, settings["profile"])
        row |= space.description(cluster_id, own) | {"embedding_model": embedding_model}
        rows.append(row)
    _name(rows, known, facts, labeller or LocalLabeller(settings["labels"]), settings)
    for row in rows:
        row["action"], row["action_reason"] = recommend(row, day, settings["actions"])
    rows += [_retired(row, day, events) for key, row in known.items() if key not in set(live)]
    return rows, space.centroids(), space.similarity()


def _retired(row: dict, day: date, events: Sequence[Event]) -> dict:
    """The last row of a cluster that has no members any more, as a redirect."""
    for event in events:
        if event.cluster_id == row["cluster_id"] and event.kind in ("merge", "dissolve"):
            heir = event.other_id or None
            return row | {
                "dt": day,
                "status": MERGED if heir else DISSOLVED,
                "merged_into": heir,
                "action": "monitor",
                "action_reason": f"{event.kind} on {day}",
            }
    if row["status"] == LIVE:
        return row | {
            "dt": day,
            "status": DISSOLVED,
            "action": "monitor",
            "action_reason": "all its signals have been withdrawn",
        }
    return row | {"dt": day}


def _member_facts(members: pl.DataFrame, signals: pl.DataFrame, sessions: pl.DataFrame | None) -> pl.DataFrame:
    """Members with what is known about their signal and its session."""
    wanted = ["signal_id", "thread_id", "category", "severity", "detector", "description"]
    facts = members.join(signals.select(wanted), on="signal_id", how="inner")
    extra = ("home", "repository", "cli_version", "model", "originator")
    if sessions is None:
        return facts.with_columns(pl.lit(None, pl.String).alias(name) for name in extra)
    return facts.join(sessions.select("thread_id", *extra).unique("thread_id", keep="last"), on="thread_id", how="left")


def _counts(cluster_id, own, facts, day, before, events, settings) -> dict:
    parents = [event.other_id for event in events if event.kind == "split" and event.cluster_id == cluster_id]
    parents += [event.cluster_id for event in events if event.kind == "merge" and event.other_id == cluster_id]
    inherited = before["parent_ids"] if before else []
    categories = own.group_by("category").len().sort(["len", "category"], descending=[True, False])
    return {
        "dt": day,
        "cluster_id": cluster_id,
        "type": own["type"][0],
        "size": own.height,
        "severity": float(own["severity"].mean()),
        "status": LIVE,
        "parent_ids": list(dict.fromkeys([*inherited, *parents])),
        "merged_into": None,
        "born": before["born"] if before else day,
        "last_arrival": own["arrived"].max(),
        "session_count": own["thread_id"].n_unique(),
        "user_count": own["home"].drop_nulls().n_unique(),
        "repository_count": own["repository"].drop_nulls().n_unique(),
        "top_category": categories["category"][0],
        "facets": json.dumps(facets(own, facts.filter(pl.col("type") == own["type"][0]), settings), ensure_ascii=False),
        "trend": json.dumps(trend(own["signal_day"], day, settings["trend_days"])),
    }


def trend(days: pl.Series, newest: date, length: int) -> list[int]:
    """Signals per day over the last `length` days, newest last."""
    counts = dict(zip(*days.value_counts().get_columns(), strict=True)) if len(days) else {}
    return [int(counts.get(newest - timedelta(days=back), 0)) for back in range(length - 1, -1, -1)]


def facets(own: pl.DataFrame, everyone: pl.DataFrame, settings: Mapping[str, Any]) -> list[dict]:
    """What is commoner among the members than among the rest of their type, most telling first.

    Each: facet, value, count of members with it, its share of them, its share of the rest. Shares count only rows in
    which the facet is known. Small counts are pulled towards equality, so that one of one is not called telling.
    """
    found = []
    rest_rows = everyone.height - own.height
    for facet in settings["facets"]:
        inside = own[facet].drop_nulls()
        outside = everyone[facet].drop_nulls()
        others = len(outside) - len(inside)
        total = dict(outside.value_counts().iter_rows())
        for value, count in (
            inside.value_counts()
            .sort("count", facet, descending=[True, False])
            .head(settings["facet_values"])
            .iter_rows()
        ):
            share = count / len(inside)
            rest = (total[value] - count) / others if others else 0.0
            lift = ((count + 1) / (len(inside) + 2)) / ((total[value] - count + 1) / (others + 2))
            if rest_rows and count >= settings["facet_minimum"] and lift >= settings["facet_lift"]:
                found.append(
                    {
                        "facet": facet,
                        "value": value,
                        "count": count,
                        "share": round(share, 3),
                        "rest_share": round(rest, 3),
                        "lift": round(lift, 2),
                    }
                )
    return sorted(found, key=lambda item: (-item["lift"], item["facet"], item["value"]))[: settings["facet_limit"]]


class _Space:
    """The day's members as points: centres, similarities, nearest members and nearest outsiders."""

    def __init__(
        self, members: pl.DataFrame, vectors: Mapping[str, np.ndarray], live: list[str], settings: Mapping[str, Any]
    ) -> None:
        import numpy as np

        placed = members.filter(pl.col("signal_id").is_in(list(vectors)))
        self._settings = settings
        self._live = live
        self.ids = placed["signal_id"].to_list()
        codes = {key: code for code, key in enumerate(live)}
        self.codes = np.array([codes.get(key, -1) for key in placed["cluster_id"]], dtype=int)
        self.types = np.array(placed["type"].to_list(), dtype=object)
        self.matrix = np.stack([vectors[key] for key in self.ids]) if self.ids else np.empty((0, 1), np.float32)
        self._centres = centres(self.matrix, self.codes, len(live))
        self._own = (
            np.einsum("ij,ij->i", self.matrix, self._centres[self.codes])
            if live and self.ids
            else np.zeros(len(self.ids))
        )

    def centroids(self) -> dict[str, np.ndarray]:
        return {key: self._centres[code] for code, key in enumerate(self._live) if self._centres[code].any()}

    def similarity(self) -> pl.DataFrame:
        values = [
            round(float(value), 6) if code >= 0 else None for value, code in zip(self._own, self.codes, strict=True)
        ]
        return pl.DataFrame(
            {"signal_id": self.ids, "similarity": values}, schema={"signal_id": pl.String, "similarity": pl.Float64}
        )

    def description(self, cluster_id: str, own: pl.DataFrame) -> dict:
        """Exemplars nearest the centre (no text twice), nearest outsiders, cohesion, and the medoid's description."""
        import numpy as np

        code = self._live.index(cluster_id)
        inside = np.flatnonzero(self.codes == code)
        texts = dict(own.select("signal_id", "description").iter_rows())
        order = inside[np.lexsort((inside, -self._own[inside].round(6)))]
        exemplars = _distinct(
            [self.ids[point] for point in order[: 20 * self._settings["exemplars"]]], texts, self._settings["exemplars"]
        )
        outside = np.flatnonzero((self.codes != code) & (self.types == own["type"][0]))
        cosines = (self.matrix[outside] @ self._centres[code]).round(6)
        nearest = outside[np.lexsort((outside, -cosines))][: self._settings["counterexamples"]]
        exemplars = exemplars or own["signal_id"].to_list()[:1]
        return {
            "exemplar_ids": exemplars,
            "counterexample_ids": [self.ids[point] for point in nearest],
            "cohesion": round(float(self._own[inside].mean()), 6) if len(inside) else 0.0,
            "description": texts[exemplars[0]],
        }


def _distinct(ids: list[str], texts: Mapping[str, str], limit: int) -> list[str]:
    seen: dict[str, str] = {}
    for key in ids:
        seen.setdefault(texts.get(key, ""), key)
    return list(seen.values())[:limit]


def _name(
    rows: list[dict], known: Mapping[str, dict], facts: pl.DataFrame, labeller: Labeller, settings: Mapping[str, Any]
) -> None:
    """Give every row its label and terms: the ones it had, unless the cluster has changed enough for a new name."""
    stale = []
    for row in rows:
        before = known.get(row["cluster_id"])
        if before and not needs_label(before, row, settings["labels"]):
            row |= {name: before[name] for name in ("label", "label_from", "terms")}
        else:
            stale.append(row)
    if stale:
        labeller.label(stale, rows, facts)
