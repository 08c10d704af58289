"""Refresh of the per-cluster assets from the command line: the clusters that the sensor would ask for."""

from __future__ import annotations

from codex_loop_assets.cli.options import Problem
from codex_loop_assets.cli.runs import materialise
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.resources.registry import stale_clusters
from codex_loop_assets.resources.ticket_history import due_clusters
from codex_loop_assets.stages import TASKS


def refresh_clusters(home: Home) -> list[str]:
    """Distil, validate and write the tickets of every cluster that changed, and write the tickets that are due because of
    the day; returns the ids of the changed clusters.

    A cluster that fails does not keep the others from their turn: those that its run left behind are then run one by one.
    Problem names all that failed, at the end.
    """
    stale = sorted(stale_clusters(home.lake))
    if stale:
        _refresh(home, stale)
    # After the changed ones, whose tickets are up to date by then.
    due = due_clusters(home)
    if due:
        materialise(home, ["tickets"], clusters=due)
    return stale


def _refresh(home: Home, stale: list[str]) -> None:
    try:
        materialise(home, TASKS, clusters=stale)
    except Problem:
        failed = [problem for cluster in sorted(stale_clusters(home.lake)) if (problem := _problem(home, cluster))]
        if failed:
            raise Problem(
                "\n".join([f"{len(failed)} of {len(stale)} clusters could not be refreshed:", *failed])
            ) from None


def _problem(home: Home, cluster: str) -> str | None:
    """Run one cluster by itself; what went wrong, or None."""
    try:
        materialise(home, TASKS, clusters=[cluster])
    except Problem as problem:
        return f"{cluster}: {problem.message}"
    return None
