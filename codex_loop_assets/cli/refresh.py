"""Refresh of the per-cluster assets from the command line: the clusters that the sensor would ask for."""

from __future__ import annotations

from codex_loop_assets.cli.options import Problem
from codex_loop_assets.cli.runs import materialise
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.resources.registry import stale_clusters
from codex_loop_assets.stages import TASKS


def refresh_clusters(home: Home) -> list[str]:
    """Distil, validate and write the tickets of every cluster that changed; returns their ids.

    A cluster that fails does not keep the others from their turn; Problem names all that failed, at the end.
    """
    stale, failed = sorted(stale_clusters(home.lake)), []
    for cluster in stale:
        try:
            materialise(home, TASKS, clusters=[cluster])
        except Problem as problem:
            failed.append(f"{cluster}: {problem.message}")
    if failed:
        raise Problem("\n".join([f"{len(failed)} of {len(stale)} clusters could not be refreshed:", *failed]))
    return stale
