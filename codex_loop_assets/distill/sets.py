"""The three sets that judge a change: its target cluster, its neighbours, and the delight that must not suffer.

Only proven tasks are in a set, and those in doubt that a person accepted (`proof` tells them apart). A set below its minimum size gives no verdict; that is said here, and judged in
`measure`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from codex_loop_assets.distill.reviewed import counted

KINDS = ("target", "neighbour", "delight_guard")
_TASK = ("cluster_id", "candidate_id", "task_name", "task_dir", "digest", "proof")


def neighbours(
    cluster_id: str,
    clusters: pl.DataFrame,
    repositories: Mapping[str, set[str]],
    centroids: Mapping[str, Sequence[float]],
    count: int,
) -> list[str]:
    """The nearest live clusters of the same type that share a repository or the top category, nearest first.

    clusters: the newest state (rows of `clusters`). repositories: short names of the repositories of each cluster's
    sessions. centroids: unit vectors; where one is missing, the cluster stands behind all that have one.
    """
    rows = {row["cluster_id"]: row for row in clusters.iter_rows(named=True) if row["status"] == "live"}
    own = rows.get(cluster_id)
    if own is None:
        return []
    related = [
        other
        for other, row in rows.items()
        if other != cluster_id and row["type"] == own["type"] and _related(own, row, repositories)
    ]
    return sorted(related, key=lambda other: (-_cosine(centroids, cluster_id, other), other))[:count]


def _related(own: Mapping[str, Any], row: Mapping[str, Any], repositories: Mapping[str, set[str]]) -> bool:
    shared = repositories.get(own["cluster_id"], set()) & repositories.get(row["cluster_id"], set())
    return bool(shared) or (own["top_category"] is not None and own["top_category"] == row["top_category"])


def _cosine(centroids: Mapping[str, Sequence[float]], one: str, other: str) -> float:
    if one not in centroids or other not in centroids:
        return -1.0
    return float(sum(a * b for a, b in zip(centroids[one], centroids[other], strict=True)))


def evaluation_sets(
    cluster_id: str, near: Sequence[str], delight: Sequence[str], datasets: pl.DataFrame, validations: pl.DataFrame
) -> pl.DataFrame:
    """The tasks of the three sets: one row per task with `set_kind`; a task is in the first set that claims it.

    near: neighbour clusters. delight: live clusters of delight. datasets, validations: rows of at least these clusters.
    """
    tasks = proven_tasks(datasets, validations)
    claimed = [("target", [cluster_id]), ("neighbour", list(near)), ("delight_guard", list(delight))]
    parts = [
        tasks.filter(pl.col("cluster_id").is_in(ids)).select(*_TASK, pl.lit(kind).alias("set_kind"))
        for kind, ids in claimed
    ]
    return pl.concat(parts).unique("candidate_id", keep="first", maintain_order=True)


def proven_tasks(datasets: pl.DataFrame, validations: pl.DataFrame) -> pl.DataFrame:
    """The built tasks (rows of `harbor_datasets`) that are validated as they are now, or accepted by a person as they are now,
    with `proof`: validated or needs_review. A proof holds for one digest."""
    may = counted(validations).select("candidate_id", "digest", proof="status").unique(["candidate_id", "digest"])
    built = datasets.filter((pl.col("stage") == "built") & (pl.col("verifier_kind") != "none"))
    return built.join(may, on=["candidate_id", "digest"])


def document(cluster_id: str, sets: pl.DataFrame, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The sets as a dataset's sets.json tells them: the tasks of each, and which sets are too small for a verdict."""
    tasks = {
        kind: sets.filter(pl.col("set_kind") == kind)
        .select("cluster_id", "task_name", "task_dir", "digest", "proof")
        .to_dicts()
        for kind in KINDS
    }
    return {"cluster_id": cluster_id, "sets": tasks, "not_enough_data": shortfalls(sets, settings)}


def minimum_tasks(settings: Mapping[str, Any]) -> dict[str, int]:
    """The size below which each set gives no verdict. `settings` is the `sets` part."""
    return {
        "target": settings["minimum_target_tasks"],
        "neighbour": settings["minimum_neighbour_tasks"],
        "delight_guard": settings["minimum_guard_tasks"],
    }


def shortfalls(sets: pl.DataFrame, settings: Mapping[str, Any]) -> dict[str, str]:
    """The sets too small for a verdict, with the reason in words. `settings` is the `sets` part."""
    sizes = dict(sets.group_by("set_kind").len().iter_rows())
    return {
        kind: f"not enough data: {sizes.get(kind, 0)} validated tasks in the {kind.replace('_', ' ')} set, {needed} are needed"
        for kind, needed in minimum_tasks(settings).items()
        if sizes.get(kind, 0) < needed
    }
