"""Comparing two arms on a whole set of tasks: the neighbours' or the delight guard's, which lie in several clusters.

What belongs here: which trials a set consists of. What does not: which tasks are in a set (`distill.sets`), the statistics
(`statistics`). A set is one comparison: three neighbours with one task each say together what none of them can say alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from codex_loop_assets.measure.statistics import REWARD, Comparison, compare
from codex_loop_assets.tables import REGRESSIONS

AROUND = ("neighbour", "delight_guard")


def compare_sets(
    cluster_id: str,
    sets: pl.DataFrame,
    runs: pl.DataFrame,
    trial_signals: pl.DataFrame,
    arms: Iterable[tuple[str, str]],
    category: str | None,
    minimum_tasks: Mapping[str, int],
    settings: Mapping[str, Any] | None = None,
) -> dict[str, pl.DataFrame]:
    """Rows of `regressions` for each of the two sets around the target, by set kind; an arm without a trial on a set has no row there.

    sets: rows as `distill.sets.evaluation_sets` gives them. runs, trial_signals: of at least the sets' clusters. arms: the
    target's (baseline, candidate) pairs; trials of other arms do not count. category: the friction that the target is about,
    compared where a trial of the set could show it. minimum_tasks: by set kind. All p-values are corrected together.
    """
    placed = _of_sets(runs, sets)
    seen = trial_signals.filter((pl.col("category") == (category or "")) & pl.col("observable"))
    wanted = []
    for kind in AROUND:
        trials = placed.filter(pl.col("dataset") == kind)
        showing = trials.join(seen.select("eval_id"), on="eval_id", how="semi")
        endpoints = [REWARD, *([category] if category and showing.height else [])]
        for before, after in sorted(arms):
            if after in set(trials["arm"]):
                wanted += [
                    Comparison(cluster_id, kind, before, after, endpoint, minimum_tasks[kind]) for endpoint in endpoints
                ]
    rows = compare(placed, wanted, seen, settings) if wanted else REGRESSIONS.empty()
    return {kind: rows.filter(pl.col("dataset") == kind) for kind in AROUND}


def _of_sets(runs: pl.DataFrame, sets: pl.DataFrame) -> pl.DataFrame:
    """The trials on tasks of the sets, exactly as they are in them, with the set's kind as their dataset. Tasks of two clusters
    may have one name, so the cluster becomes part of it."""
    tasks = sets.select("cluster_id", "set_kind", "digest", task="task_name")
    placed = runs.join(tasks, on=["cluster_id", "task"], how="inner")
    same = placed.filter(pl.coalesce("task_digest", "digest") == pl.col("digest"))
    named = pl.concat_str("cluster_id", "task", separator=" ")
    return same.with_columns(dataset="set_kind", task=named).select(runs.columns)
