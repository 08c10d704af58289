"""Facts about clusters: size, severity, people, exemplars and counter-examples, what differs from the rest, trend.

What does not belong here: who is a member (cluster), the name (label) and what to do about it (actions).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from codex_loop_assets.discovery.actions import MONITOR, recommend
from codex_loop_assets.discovery.geometry import Space
from codex_loop_assets.discovery.identity import Event
from codex_loop_assets.discovery.kinship import BRANCH
from codex_loop_assets.discovery.label import LocalLabeller, needs_label
from codex_loop_assets.discovery.state import DISSOLVED, LIVE, MERGED
from codex_loop_assets.discovery.text import substance
from codex_loop_assets.signals.redaction import redact

if TYPE_CHECKING:
    import numpy as np

    from codex_loop_assets.discovery.label import Labeller
    from codex_loop_assets.discovery.vectors import Vectors

_NO_SIMILARITY = pl.DataFrame(schema={"signal_id": pl.String, "similarity": pl.Float64})
_SESSION_FACTS = ("home", "repository", "cli_version", "model", "originator")


@dataclass(frozen=True)
class Sources:
    """What is known about the signals: rows of `signals`, rows of `sessions` (or None), vectors by signal_id, their
    space."""

    signals: pl.DataFrame
    sessions: pl.DataFrame | None
    vectors: Vectors
    embedding_model: str


@dataclass(frozen=True)
class Profiles:
    """Rows of `clusters`, the live clusters' centres, and each member's similarity to its centre."""

    rows: list[dict]
    centroids: dict[str, np.ndarray]
    similarity: pl.DataFrame


def profile(
    previous: pl.DataFrame,
    members: pl.DataFrame,
    events: Sequence[Event],
    day: date,
    sources: Sources,
    settings: Mapping[str, Any],
    labeller: Labeller | None = None,
) -> Profiles:
    """The day's rows of `clusters`, from the previous rows, the day's members and its events.

    A cluster that merged or dissolved keeps the row it had, with its new status and heir: a redirect for ever.
    """
    known = {row["cluster_id"]: row for row in previous.iter_rows(named=True)}
    facts = _member_facts(members, sources)
    rows, centroids, similarity = [], {}, [_NO_SIMILARITY]
    for (type_,), of_type in members.group_by("type", maintain_order=True):
        live = of_type["cluster_id"].drop_nulls().unique().sort().to_list()
        placed = of_type.filter(sources.vectors.known(of_type["signal_id"]))
        if not live or placed.is_empty():
            continue
        space = Space(placed, sources.vectors, live, settings["profile"]["outsiders_per_cluster"])
        everyone = facts.filter(pl.col("type") == type_)
        totals = facet_totals(everyone, settings["profile"])
        for (cluster_id,), own in (
            everyone.drop_nulls("cluster_id")
            .sort("cluster_id", "signal_id")
            .group_by("cluster_id", maintain_order=True)
        ):
            row = _counts(cluster_id, own, day, known.get(cluster_id), events, settings["profile"])
            row |= _examples(cluster_id, own, space, settings["profile"])
            row["facets"] = json.dumps(facets(own, totals, settings["profile"]), ensure_ascii=False)
            rows.append(row | {"embedding_model": sources.embedding_model})
        centroids |= space.centroids()
        similarity.append(space.similarity())
    _name(rows, known, facts, labeller or LocalLabeller(settings["labels"]), settings)
    for row in rows:
        row["action"], row["action_reason"] = recommend(row, day, settings["actions"])
    present = {row["cluster_id"] for row in rows}
    rows.extend(_retired(row, day, events) for key, row in known.items() if key not in present)
    return Profiles(rows, centroids, pl.concat(similarity))


def trend(days: pl.Series, newest: date, length: int) -> list[int]:
    """Signals per day over the last `length` days, newest last."""
    counts = dict(zip(*days.value_counts().get_columns(), strict=True)) if len(days) else {}
    return [int(counts.get(newest - timedelta(days=back), 0)) for back in range(length - 1, -1, -1)]


def facet_totals(everyone: pl.DataFrame, settings: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Facet -> value -> rows of the type with it: counted once a day, not once for each cluster."""
    return {facet: dict(everyone[facet].drop_nulls().value_counts().iter_rows()) for facet in settings["facets"]}


def facets(own: pl.DataFrame, totals: Mapping[str, Mapping[str, int]], settings: Mapping[str, Any]) -> list[dict]:
    """What is commoner among the members than among the rest of their type (`totals`: facet_totals of the whole type),
    most telling first.

    Each: facet, value, count of members with it, its share of them, its share of the rest. Shares count only rows in
    which the facet is known. Small counts are pulled towards equality, so that one of one is not called telling.
    """
    found = []
    for facet in settings["facets"]:
        inside, total = own[facet].drop_nulls(), totals[facet]
        others = sum(total.values()) - len(inside)
        if not others:
            continue
        counts = inside.value_counts().sort("count", facet, descending=[True, False]).head(settings["facet_values"])
        for value, count in counts.iter_rows():
            elsewhere = total[value] - count
            lift = ((count + 1) / (len(inside) + 2)) / ((elsewhere + 1) / (others + 2))
            if count >= settings["facet_minimum"] and lift >= settings["facet_lift"]:
                shares = {"share": round(count / len(inside), 3), "rest_share": round(elsewhere / others, 3)}
                shown = redact(value) if isinstance(value, str) else value
                found.append({"facet": facet, "value": shown, "count": count, **shares, "lift": round(lift, 2)})
    return sorted(found, key=lambda item: (-item["lift"], item["facet"], item["value"]))[: settings["facet_limit"]]


def _member_facts(members: pl.DataFrame, sources: Sources) -> pl.DataFrame:
    """Members with what is known about their signal and its session."""
    wanted = ["signal_id", "thread_id", "category", "severity", "detector", "description"]
    facts = members.join(sources.signals.select(wanted), on="signal_id", how="inner", maintain_order="left")
    if sources.sessions is None:
        return facts.with_columns(pl.lit(None, pl.String).alias(name) for name in _SESSION_FACTS)
    sessions = sources.sessions.select("thread_id", *_SESSION_FACTS).unique(
        "thread_id", keep="last", maintain_order=True
    )
    return facts.join(sessions, on="thread_id", how="left", maintain_order="left")


def _counts(cluster_id, own, day, before, events, settings) -> dict:
    parents = [event.other_id for event in events if event.kind in ("split", BRANCH) and event.cluster_id == cluster_id]
    parents += [event.cluster_id for event in events if event.kind == "merge" and event.other_id == cluster_id]
    inherited = before["parent_ids"] if before else []
    categories = own.group_by("category").len().sort(["len", "category"], descending=[True, False])
    return {
        "dt": day,
        "cluster_id": cluster_id,
        "type": own["type"][0],
        "size": own.height,
        "severity": round(float(own["severity"].mean()), 6),
        "status": LIVE,
        "parent_ids": list(dict.fromkeys([*inherited, *parents])),
        "merged_into": None,
        "born": before["born"] if before else day,
        "last_arrival": own["arrived"].max(),
        "session_count": own["thread_id"].n_unique(),
        "user_count": own["home"].drop_nulls().n_unique(),
        "repository_count": own["repository"].drop_nulls().n_unique(),
        "top_category": categories["category"][0],
        "trend": json.dumps(trend(own["signal_day"], day, settings["trend_days"])),
    }


def _examples(cluster_id: str, own: pl.DataFrame, space: Space, settings: Mapping[str, Any]) -> dict:
    """Exemplars (no text twice), the nearest outsiders, cohesion, and the most central member's description."""
    texts = dict(own.select("signal_id", "description").iter_rows())
    central = [key for key in space.members(cluster_id, 20 * settings["exemplars"]) if key in texts]
    first: dict[str, str] = {}
    for key in central or own["signal_id"].to_list():
        first.setdefault(texts[key], key)
    exemplars = list(first.values())[: settings["exemplars"]]
    return {
        "exemplar_ids": exemplars,
        "counterexample_ids": space.outsiders(cluster_id, settings["counterexamples"]),
        "cohesion": space.cohesion(cluster_id),
        "description": texts[exemplars[0]],
    }


def _name(
    rows: list[dict],
    known: Mapping[str, dict],
    facts: pl.DataFrame,
    labeller: Labeller,
    settings: Mapping[str, Any],
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
        labeller.label(stale, rows, _texts(rows, facts, settings))


def _texts(rows: Sequence[Mapping[str, Any]], facts: pl.DataFrame, settings: Mapping[str, Any]) -> pl.DataFrame:
    """What clusters are named from: so many members of each, and every example, with `substance`: the description
    without its frame."""
    shown = {key for row in rows for key in (*row["exemplar_ids"], *row["counterexample_ids"])}
    rank = pl.int_range(pl.len()).over("type", "cluster_id")
    sample = (rank < settings["labels"]["texts_per_cluster"]) | pl.col("signal_id").is_in(list(shown))
    some = facts.sort("signal_id").filter(sample)
    substances = [substance(description, settings["text"]) for description in some["description"]]
    return some.with_columns(pl.Series("substance", substances, pl.String))


def _retired(row: dict, day: date, events: Sequence[Event]) -> dict:
    """The last row of a cluster that has no members any more, as a redirect."""
    if row["status"] != LIVE:
        return row | {"dt": day}
    ends = (event for event in events if event.cluster_id == row["cluster_id"] and event.kind in ("merge", "dissolve"))
    end = next(ends, None)
    heir = (end.other_id or None) if end else None
    reason = f"{end.kind} on {day}" if end else "all its signals have been withdrawn"
    status = MERGED if heir else DISSOLVED
    return row | {"dt": day, "status": status, "merged_into": heir, "action": MONITOR, "action_reason": reason}
