"""Every cluster ever seen in its newest state, and which of them have changed since their tasks and tickets were
made."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import polars as pl

from codex_loop_assets.discovery.state import LIVE, ClusterState
from codex_loop_assets.tables import TABLES


def cluster_registry(newest: ClusterState) -> pl.DataFrame:
    """The `cluster_registry` frame from the newest state, whose rows carry every cluster that ever lived."""
    rows = {row["cluster_id"]: row for row in newest.clusters.iter_rows(named=True)}
    members = dict(
        newest.members.drop_nulls("cluster_id").group_by("cluster_id").agg(pl.col("signal_id").sort()).iter_rows()
    )
    return TABLES["cluster_registry"].frame(
        [_row(row, rows, members.get(key, []), newest) for key, row in rows.items()]
    )


def clusters_to_refresh(registry: pl.DataFrame, already: Mapping[str, str]) -> list[str]:
    """Ids of clusters whose per-cluster assets are stale, in order: `already` maps a cluster to the fingerprint they
    were made with.

    A live cluster is stale when it is new or has changed; a merged or dissolved one only if something was made for it
    before, so that its ticket learns what became of it.
    """
    return [
        cluster_id
        for cluster_id, status, fingerprint in registry.sort("cluster_id")
        .select("cluster_id", "status", "fingerprint")
        .iter_rows()
        if already.get(cluster_id) != fingerprint and (status == LIVE or cluster_id in already)
    ]


def heir(cluster_id: str, rows: Mapping[str, Mapping]) -> str:
    """The cluster that now stands for this one: itself, or where its merges led."""
    seen = {cluster_id}
    while (following := rows.get(cluster_id, {}).get("merged_into")) and following not in seen:
        seen.add(following)
        cluster_id = following
    return cluster_id


def _row(row: Mapping, rows: Mapping[str, Mapping], members: list[str], newest: ClusterState) -> dict:
    following = heir(row["cluster_id"], rows)
    substance = "\n".join([row["status"], row["action"], following, *members])
    return {
        "cluster_id": row["cluster_id"],
        "heir_id": following,
        # A split child is a problem of its own; two live clusters never share a root, or they would fight over one
        # ticket.
        "lineage_root": following,
        "type": row["type"],
        "label": row["label"],
        "status": row["status"],
        "size": len(members),
        "action": row["action"],
        "fingerprint": hashlib.sha256(substance.encode()).hexdigest()[:32],
        "as_of": newest.day,
    }
