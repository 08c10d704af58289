"""Refresh of the per-cluster assets from the command line: the clusters that the sensor would ask for."""

from __future__ import annotations

from codex_loop_assets.cli.runs import materialise
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.resources.registry import stale_clusters
from codex_loop_assets.stages import TASKS


def refresh_clusters(home: Home) -> list[str]:
    """Distil, validate and write the tickets of every cluster that changed; returns their ids."""
    stale = sorted(stale_clusters(home.lake))
    if stale:
        materialise(home, TASKS, clusters=stale)
    return stale
