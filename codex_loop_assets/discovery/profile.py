"""Facts about clusters: size, severity, people, exemplars and counter-examples, what differs from the rest, trend.

What does not belong here: who is a member (cluster), the name (label) and what to do about it (actions).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
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
from codex_loop_assets.discovery.text import substances
from codex_loop_assets.signals.redaction import redact

if TYPE_CHECKING:
    import numpy as np

    from codex_loop_assets.discovery.label import Labeller
    from codex_loop_assets.discovery.view import View

_NO_SIMILARITY = pl.DataFrame(schema={"signal_id": pl.String, "similarity": pl.Float64})
_SESSION_FACTS = ("home", "repository", "cli_version", "model", "originator")


@dataclass(frozen=True)
class Sources:
    """What is known about the signals: rows of `signals`, rows of `sessions` (or None), what the day looks at of each
    type, and the space of its vectors."""

    signals: pl.DataFrame
    sessions: pl.DataFrame | None
    views: Mapping[str, View]
    embedding_model: str


@dataclass(frozen=True)
class Profiles:
    """Rows of `clusters`, the live clusters' centres, and the similarity to its centre of each member in view."""

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
    counted = _counted(facts, day, settings["profile"])
    spaces = _spaces(counted, sources.views, settings["profile"])
    central = _central(spaces, facts, settings["profile"])
    texts = _descriptions({key for ids in central.values() for key in ids}, sources.signals)
    rows = []
    for cluster_id, row in counted.items():
        row |= _history(cluster_id, known.get(cluster_id), events, day)
        row |= _examples(cluster_id, central[cluster_id], texts, spaces[row["type"]], settings["profile"])
        rows.append(row | {"dt": day, "embedding_model": sources.embedding_model})
    _name(rows, known, facts, sources.signals, labeller or LocalLabeller(settings["labels"]), settings)
    reach = {"repositories": _distinct(facts["repository"]), "users": _distinct(facts["home"])}
    for row in rows:
        row["action"], row["action_reason"] = recommend(row, day, settings["actions"], reach)
    rows.extend(_retired(row, day, events) for key, row in known.items() if key not in counted)
    centroids = {key: centre for space in spaces.values() for key, centre in space.centroids().items()}
    return Profiles(rows, centroids, pl.concat([_NO_SIMILARITY, *(space.similarity() for space in spaces.values())]))


def _distinct(values: pl.Series) -> int:
    return values.drop_nulls().n_unique()


def facets(
    own: Mapping[str, Mapping[str, int]], totals: Mapping[str, Mapping[str, int]], settings: Mapping[str, Any]
) -> list[dict]:
    """What is commoner among the members than among the rest of their type, most telling first.

    `own`, `totals`: facet -> value -> members with it, and signals of the whole type. Each answer: facet, value, count of
    members with it, its share of them, its share of the rest. Shares count only rows in which the facet is known. Small
    counts are pulled towards equality, so that one of one is not called telling.
    """
    found = []
    for facet in settings["facets"]:
        inside, total = own[facet], totals[facet]
        members = sum(inside.values())
        others = sum(total.values()) - members
        if not others:
            continue
        common = sorted(inside.items(), key=lambda item: (-item[1], item[0]))[: settings["facet_values"]]
        for value, count in common:
            elsewhere = total[value] - count
            lift = ((count + 1) / (members + 2)) / ((elsewhere + 1) / (others + 2))
            if count >= settings["facet_minimum"] and lift >= settings["facet_lift"]:
                shares = {"share": round(count / members, 3), "rest_share": round(elsewhere / others, 3)}
                shown = redact(value) if isinstance(value, str) else value
                found.append({"facet": facet, "value": shown, "count": count, **shares, "lift": round(lift, 2)})
    return sorted(found, key=lambda item: (-item["lift"], item["facet"], item["value"]))[: settings["facet_limit"]]


def _member_facts(members: pl.DataFrame, sources: Sources) -> pl.DataFrame:
    """Members with what is known about their signal and its session."""
    wanted = ["signal_id", "thread_id", "category", "severity", "detector"]
    facts = members.join(sources.signals.select(wanted), on="signal_id", how="inner", maintain_order="left")
    if sources.sessions is None:
        return facts.with_columns(pl.lit(None, pl.String).alias(name) for name in _SESSION_FACTS)
    sessions = sources.sessions.select("thread_id", *_SESSION_FACTS).unique(
        "thread_id", keep="last", maintain_order=True
    )
    return facts.join(sessions, on="thread_id", how="left", maintain_order="left")


def _counted(facts: pl.DataFrame, day: date, settings: Mapping[str, Any]) -> dict[str, dict]:
    """cluster_id -> the fields of its row that are counted from its members, in the order of types and ids. One pass over
    all members for each fact, however many clusters there are."""
    held = facts.drop_nulls("cluster_id")
    counts = held.group_by("type", "cluster_id").agg(
        size=pl.len(),
        severity=pl.col("severity").mean(),
        last_arrival=pl.col("arrived").max(),
        session_count=pl.col("thread_id").n_unique(),
        user_count=pl.col("home").drop_nulls().n_unique(),
        repository_count=pl.col("repository").drop_nulls().n_unique(),
    )
    categories = held.group_by("cluster_id", "category").len().sort(["len", "category"], descending=[True, False])
    top = dict(categories.unique("cluster_id", keep="first", maintain_order=True).drop("len").iter_rows())
    trends, facet_counts = _trends(held, day, settings["trend_days"]), _facet_counts(facts, settings["facets"])
    rows = {}
    for row in counts.sort("type", "cluster_id").iter_rows(named=True):
        key = row["cluster_id"]
        own = {facet: counted.get(key, {}) for facet, counted in facet_counts.items()}
        totals = {facet: counted[row["type"]] for facet, counted in facet_counts.items()}
        told = json.dumps(facets(own, totals, settings), ensure_ascii=False)
        derived = {"severity": round(row["severity"], 6), "trend": json.dumps(trends[key]), "facets": told}
        rows[key] = row | {"status": LIVE, "merged_into": None, "ended": None, "top_category": top[key]} | derived
    return rows


def _trends(held: pl.DataFrame, newest: date, length: int) -> dict[str, list[int]]:
    """cluster_id -> signals per day over the last `length` days, newest last."""
    trends = {key: [0] * length for key in held["cluster_id"].unique()}
    recent = held.filter(pl.col("signal_day").is_between(newest - timedelta(days=length - 1), newest))
    for key, day, count in recent.group_by("cluster_id", "signal_day").len().iter_rows():
        trends[key][length - 1 - (newest - day).days] = count
    return trends


def _facet_counts(facts: pl.DataFrame, names: Sequence[str]) -> dict[str, dict[str, dict[str, int]]]:
    """Facet -> cluster_id, and type -> value -> how many of its signals have it."""
    counts = {}
    for facet in names:
        held: dict[str, dict[str, int]] = {type_: {} for type_ in facts["type"].unique()}
        known = facts.drop_nulls(facet).group_by("type", "cluster_id", value=facet).len()
        for type_, cluster_id, value, count in known.iter_rows():
            held[type_][value] = held[type_].get(value, 0) + count
            if cluster_id is not None:
                held.setdefault(cluster_id, {})[value] = count
        counts[facet] = held
    return counts


def _history(cluster_id: str, before: Mapping[str, Any] | None, events: Sequence[Event], day: date) -> dict:
    parents = [event.other_id for event in events if event.kind in ("split", BRANCH) and event.cluster_id == cluster_id]
    parents += [event.cluster_id for event in events if event.kind == "merge" and event.other_id == cluster_id]
    inherited = before["parent_ids"] if before else []
    return {
        "parent_ids": list(dict.fromkeys([*inherited, *parents])),
        "born": before["born"] if before else day,
    }


def _spaces(counted: Mapping[str, dict], views: Mapping[str, View], settings: Mapping[str, Any]) -> dict[str, Space]:
    """Type -> its view as points, for types with clusters."""
    live: dict[str, list[str]] = {}
    for key, row in counted.items():
        live.setdefault(row["type"], []).append(key)
    outsiders = settings["outsiders_per_cluster"]
    return {type_: Space(views[type_].members, views[type_].matrix, keys, outsiders) for type_, keys in live.items()}


def _central(spaces: Mapping[str, Space], facts: pl.DataFrame, settings: Mapping[str, Any]) -> dict[str, list[str]]:
    """cluster_id -> its most central members, best first; any, where none has a vector."""
    limit = 20 * settings["exemplars"]
    central = {key: space.members(key, limit) for space in spaces.values() for key in space.live}
    unseen = facts.filter(pl.col("cluster_id").is_in([key for key, ids in central.items() if not ids]))
    return central | dict(unseen.group_by("cluster_id").agg(pl.col("signal_id").head(limit)).iter_rows())


def _descriptions(ids: Collection[str], signals: pl.DataFrame) -> dict[str, str]:
    wanted = signals.filter(pl.col("signal_id").is_in(list(ids)))
    return dict(wanted.select("signal_id", "description").iter_rows())


def _examples(
    cluster_id: str, central: Sequence[str], texts: Mapping[str, str], space: Space, settings: Mapping[str, Any]
) -> dict:
    """Exemplars (no text twice), the nearest outsiders, cohesion, and the most central member's description."""
    first: dict[str, str] = {}
    for key in central:
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
    signals: pl.DataFrame,
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
        labeller.label(stale, rows, _texts(rows, facts, signals, settings))


def _texts(
    rows: Sequence[Mapping[str, Any]], facts: pl.DataFrame, signals: pl.DataFrame, settings: Mapping[str, Any]
) -> pl.DataFrame:
    """What clusters are named from: so many members of each, and every example, with `substance`: the description
    without its frame."""
    shown = {key for row in rows for key in (*row["exemplar_ids"], *row["counterexample_ids"])}
    rank = pl.int_range(pl.len()).over("type", "cluster_id")
    sample = (rank < settings["labels"]["texts_per_cluster"]) | pl.col("signal_id").is_in(list(shown))
    some = facts.filter(sample).join(signals.select("signal_id", "description"), on="signal_id").sort("signal_id")
    return some.with_columns(pl.Series("substance", substances(some["description"], settings["text"]), pl.String))


def _retired(row: dict, day: date, events: Sequence[Event]) -> dict:
    """The last row of a cluster that has no members any more, as a redirect."""
    if row["status"] != LIVE:
        return row | {"dt": day}
    ends = (event for event in events if event.cluster_id == row["cluster_id"] and event.kind in ("merge", "dissolve"))
    end = next(ends, None)
    heir = (end.other_id or None) if end else None
    reason = f"{end.kind} on {day}" if end else "all its signals have been withdrawn"
    status = MERGED if heir else DISSOLVED
    return row | {
        "dt": day,
        "status": status,
        "merged_into": heir,
        "ended": day,
        "action": MONITOR,
        "action_reason": reason,
    }
