"""The cluster registry as the per-cluster assets and the sensor read it: members, fingerprints, what is out of date."""

from __future__ import annotations

import polars as pl

from codex_loop_assets.discovery.registry import clusters_to_refresh
from codex_loop_assets.resources.lake import Lake


def members_of(lake: Lake, cluster_id: str, signals: pl.DataFrame | None = None) -> pl.DataFrame:
    """Signals of a cluster in its newest state (with `dt`, their partition day); of `adhoc-<signal_id>`: that one signal.

    signals: all of them with `dt`, for a caller that asks for many clusters; read from the lake by default.
    """
    signals = lake.read_dated("signals") if signals is None else signals
    if cluster_id.startswith("adhoc-"):
        return signals.filter(pl.col("signal_id") == cluster_id.removeprefix("adhoc-"))
    days = lake.keys("cluster_members")
    if not days:
        return signals.clear()
    members = lake.read("cluster_members", days[-1]).filter(pl.col("cluster_id") == cluster_id)
    return signals.join(members.select("signal_id"), on="signal_id", how="semi")


def fingerprint_of(registry: pl.DataFrame, cluster_id: str) -> str | None:
    """Fingerprint of the cluster's newest state; None for one that the registry does not hold (adhoc)."""
    found = registry.filter(pl.col("cluster_id") == cluster_id)["fingerprint"].to_list()
    return found[0] if found else None


def stale_clusters(lake: Lake) -> dict[str, str]:
    """cluster_id -> fingerprint of the clusters whose ticket was made from another state, or never."""
    registry = lake.read("cluster_registry")
    already = {
        cluster: made
        for cluster in lake.keys("tickets")
        if (made := lake.made_from("tickets", cluster).get("cluster_registry"))
    }
    return {cluster: fingerprint_of(registry, cluster) or "" for cluster in clusters_to_refresh(registry, already)}
