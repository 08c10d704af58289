"""Clusters keep their identity: today's fitted groups against the clusters that live already.

Every day new points join and new clusters are born; only on a commit day may points that have a cluster change it,
through a recorded merge, split, or dissolution. Clusters are matched by their members, never by coordinates, so that
neither a new PCA nor a new embedding model breaks identity. What does not belong here: finding the groups (see fit).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Event:
    """birth, split (other: parent), merge (other: heir) or dissolve, with the share of members shared with the other;
    or branch (see kinship)."""

    kind: str
    cluster_id: str
    other_id: str
    overlap: float
    size: int


@dataclass
class Outcome:
    """Cluster id per point (None: none) and how a point that moved today came there, and the day's events."""

    clusters: list[str | None]
    via: dict[int, str] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    def move(self, point: int, cluster_id: str | None, via: str) -> None:
        if self.clusters[point] != cluster_id:
            self.clusters[point] = cluster_id
            self.via[point] = via


def founding_id(type_: str, founders: Sequence[str], known: Collection[str] = ()) -> str:
    """Id of a cluster: a hash of the signals that founded it.

    The same signals may part from the same cluster once more after a merge. The merged cluster's id is a redirect for
    ever, so the new one gets the first hash that is not among the `known`.
    """
    content = "\n".join([type_, *sorted(founders)])
    while (name := "cluster_" + hashlib.sha256(content.encode()).hexdigest()[:12]) in known:
        content += "\nonce more"
    return name


def join(
    ids: Sequence[str],
    type_: str,
    clusters: Sequence[str | None],
    fitted: np.ndarray,
    size: int,
    known: Collection[str] = (),
    stands_for: Mapping[str, float] | None = None,
) -> Outcome:
    """A day without commit: points without a cluster join the one their group belongs to, or found one; nobody else
    moves. `known`: ids of every cluster that ever lived. `stands_for`: how many members one of a cluster in the fit stands
    for (1 where it is not said): of an old cluster the fit takes some, of the points at its edge all."""
    stands_for = stands_for or {}
    outcome = Outcome(list(clusters))
    for points in _groups(fitted):
        loose = [point for point in points if clusters[point] is None]
        held = _counts(clusters[point] for point in points)
        if len(loose) >= size and len(loose) > _weight(held, stands_for):
            _found(outcome, ids, type_, loose, known)
        elif held:
            owner = max(held, key=lambda key: (held[key], key))
            for point in loose:
                outcome.move(point, owner, "fit")
    return outcome


def commit(
    ids: Sequence[str],
    type_: str,
    clusters: Sequence[str | None],
    fitted: np.ndarray,
    settings: Mapping[str, Any],
    known: Collection[str] = (),
    whole: Collection[str] = (),
    stands_for: Mapping[str, float] | None = None,
) -> Outcome:
    """A commit day: the fit decides. Groups take over the cluster they match, the others are births or splits; clusters
    without a group merge into the one that holds most of their points, or dissolve when they are scattered.

    A point that the fit calls noise keeps its cluster. A cluster of which the fit saw too little is left alone. `whole`:
    clusters that are not taken apart today, because they have just merged. `stands_for`: as in `join`.
    """
    groups = _movable(clusters, fitted, settings["minimum_cluster_size"])
    old_sizes = _counts(clusters[point] for points in groups for point in points)
    shared = [_counts(clusters[point] for point in points) for points in groups]
    matched = _match(groups, shared, old_sizes, settings)
    outcome = Outcome(list(clusters))
    names = _name_groups(outcome, ids, type_, groups, shared, matched, known, whole, stands_for or {})
    for index, points in enumerate(groups):
        for point in points:
            outcome.move(point, names[index], "fit" if names[index] in old_sizes else "birth")
    gone = sorted(old_sizes.keys() - set(names))
    held = _members(clusters, set(gone))
    for cluster in gone:
        _retire(outcome, cluster, held[cluster], names, [counts.get(cluster, 0) for counts in shared], settings)
    return outcome


def _movable(clusters: Sequence[str | None], fitted: np.ndarray, minimum: int) -> list[list[int]]:
    """The fitted groups without points of clusters of which fewer than `minimum` are in any; groups that this makes too
    small are left out, which may in turn leave too little of another cluster."""
    groups = [points for points in _groups(fitted) if len(points) >= minimum]
    while True:
        sizes = _counts(clusters[point] for points in groups for point in points)
        few = {cluster for cluster, count in sizes.items() if count < minimum}
        if not few:
            return groups
        rest = ([point for point in points if clusters[point] not in few] for points in groups)
        groups = [points for points in rest if len(points) >= minimum]


def _match(groups, shared, old_sizes, settings) -> dict[int, str]:
    """Group -> old cluster, one to one, the best sum of Jaccard overlaps; weak pairs are no match."""
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    old = sorted(old_sizes)
    if not old or not groups:
        return {}
    overlap = np.array([[counts.get(key, 0) for key in old] for counts in shared], dtype=float)
    # Points that have no cluster yet say nothing for or against a match: a cluster that doubled overnight is still
    # itself.
    held = np.array([sum(counts.values()) for counts in shared], dtype=float)[:, None]
    olds = np.array([old_sizes[key] for key in old], dtype=float)[None, :]
    union = held + olds - overlap
    jaccard = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
    matched = {}
    for group, index in zip(*linear_sum_assignment(-jaccard), strict=True):
        contained = overlap[group, index] * 2 > held[group, 0] and overlap[group, index] * 2 > olds[0, index]
        if jaccard[group, index] >= settings["match_jaccard"] or contained:
            matched[int(group)] = old[index]
    return matched


def _name_groups(outcome, ids, type_, groups, shared, matched, known, whole, stands_for) -> list[str]:
    """The id of every group; births and splits are recorded. A group that is nobody's match founds a cluster, unless it is
    a part of one that stays whole, or the edge of one whose members it shows few of."""
    old_sizes = _counts(cluster for counts in shared for cluster in counts for _ in range(counts[cluster]))
    names = []
    for index, points in enumerate(groups):
        if index in matched:
            names.append(matched[index])
            continue
        counts = shared[index]
        parent = max(counts, key=lambda key: (counts[key], key), default=None)
        split = parent is not None and counts[parent] * 2 > len(points)
        stays = parent in whole if split else _is_edge(points, counts, parent, stands_for)
        if stays:
            names.append(parent)
            continue
        names.append(founding_id(type_, [ids[point] for point in points], known))
        overlap = counts[parent] / old_sizes[parent] if split else 0.0
        outcome.events.append(
            Event("split" if split else "birth", names[-1], parent if split else "", overlap, len(points))
        )
    return names


def _is_edge(points, counts, parent, stands_for) -> bool:
    """Whether the members that the points of a cluster stand for outnumber all else in the group."""
    rest = {key: count for key, count in counts.items() if key != parent}
    loose = len(points) - sum(counts.values())
    return parent is not None and _weight({parent: counts[parent]}, stands_for) > loose + _weight(rest, stands_for)


def _members(clusters: Sequence[str | None], wanted: set[str]) -> dict[str, list[int]]:
    """The points of each of the wanted clusters, in one pass over all points."""
    held: dict[str, list[int]] = {cluster: [] for cluster in wanted}
    for point, cluster in enumerate(clusters if wanted else ()):
        if cluster in wanted:
            held[cluster].append(point)
    return held


def _retire(outcome, cluster, points, names, shared, settings) -> None:
    """Merge a cluster that no group took over into the one that holds most of it, or dissolve it when it is
    scattered."""
    best = max(range(len(names)), key=lambda index: (shared[index], names[index]))
    share = shared[best] / sum(shared)
    heir = names[best] if share > settings["merge_share"] else None
    for point in points:
        if outcome.clusters[point] == cluster:
            outcome.move(point, heir, "fit" if heir else "dissolved")
    outcome.events.append(Event("merge" if heir else "dissolve", cluster, heir or "", share, len(points)))


def _found(outcome: Outcome, ids: Sequence[str], type_: str, points: Sequence[int], known: Collection[str]) -> None:
    name = founding_id(type_, [ids[point] for point in points], known)
    for point in points:
        outcome.move(point, name, "birth")
    outcome.events.append(Event("birth", name, "", 0.0, len(points)))


def _groups(fitted: np.ndarray) -> list[list[int]]:
    """Points of each fitted group, in a stable order."""
    groups: dict[int, list[int]] = {}
    for point in (fitted >= 0).nonzero()[0].tolist():
        groups.setdefault(int(fitted[point]), []).append(point)
    return sorted(groups.values())


def _weight(counts: Mapping[str, int], stands_for: Mapping[str, float]) -> float:
    """How many members the counted ones stand for."""
    return sum(count * stands_for.get(cluster, 1.0) for cluster, count in counts.items())


def _counts(values) -> dict[str, int]:
    counts: dict[str, int] = {}
    for value in values:
        if value is not None:
            counts[value] = counts.get(value, 0) + 1
    return counts
