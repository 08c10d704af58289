"""Laws of the registry: redirects, fingerprints, what to refresh."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import polars as pl

from codex_loop_assets.discovery.cluster import advance
from codex_loop_assets.discovery.registry import cluster_registry, clusters_to_refresh, heir
from codex_loop_assets.discovery.state import ClusterState
from codex_loop_assets.settings import section
from codex_loop_assets_tests.discovery.stream import START, Theme, stream


def state() -> ClusterState:
    made = stream([Theme("a", 6), Theme("b", 6)], 2, background=0, spread=0.3)
    settings = section("discovery")
    return advance(None, START + timedelta(1), made.signals, made.vectors, settings, embedding_model="test/64")


def test_a_merged_cluster_leads_to_its_heir_through_every_merge():
    rows = {"a": {"merged_into": "b"}, "b": {"merged_into": "c"}, "c": {"merged_into": None}}
    assert heir("a", rows) == "c" and heir("c", rows) == "c"


def test_a_fingerprint_changes_with_members_status_or_action_and_with_nothing_else():
    first = state()
    fingerprints = cluster_registry(first)["fingerprint"].to_list()
    relabelled = replace(first, clusters=first.clusters.with_columns(label=pl.lit("other")))
    assert cluster_registry(relabelled)["fingerprint"].to_list() == fingerprints
    acted = replace(first, clusters=first.clusters.with_columns(action=pl.lit("other")))
    fewer = replace(first, members=first.members.head(7))
    for changed in (acted, fewer):
        assert all(new != old for new, old in zip(cluster_registry(changed)["fingerprint"], fingerprints, strict=True))


def test_only_what_changed_is_refreshed_and_the_dead_only_if_something_was_made_for_them():
    registry = cluster_registry(state())
    one, two = registry["cluster_id"].to_list()
    made_with = dict(registry.select("cluster_id", "fingerprint").iter_rows())
    assert clusters_to_refresh(registry, {}) == [one, two]
    assert clusters_to_refresh(registry, made_with) == []
    assert clusters_to_refresh(registry, made_with | {two: "older"}) == [two]
    dead = registry.with_columns(status=pl.lit("merged"))
    assert clusters_to_refresh(dead, {one: "older"}) == [one]
