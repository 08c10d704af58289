"""Which trials may speak: those on tasks that real runs have proven, and those that a person let in without proof."""

from __future__ import annotations

from collections.abc import Collection

import polars as pl


def of_proven_tasks(
    runs: pl.DataFrame, datasets: pl.DataFrame, proofs: pl.DataFrame, allowed_jobs: Collection[str] = ()
) -> tuple[pl.DataFrame, int]:
    """(rows of `eval_runs` that count, number of trials left out because nothing proves their task).

    A task that this home did not distill (of a foreign job) has no proof to look for and counts; one that a person rejected
    never does. datasets: rows of `harbor_datasets`. proofs: verdicts of the tasks that may be measured. allowed_jobs: directories
    of jobs run with --allow-unvalidated.
    """
    named = datasets.filter(pl.col("task_name").is_not_null()).select(
        "candidate_id", task="task_name", _now="digest", _built=pl.col("stage") == "built"
    )
    placed = runs.join(named.unique("task"), on="task", how="left").with_columns(
        _ran=pl.coalesce("task_digest", "_now")
    )
    known = proofs.select("candidate_id", pl.col("digest").alias("_ran"), _proven=pl.lit(True)).unique()
    placed = placed.join(known, on=["candidate_id", "_ran"], how="left")
    counts = pl.col("candidate_id").is_null() | (
        pl.col("_built") & (pl.col("_proven").fill_null(False) | pl.col("job_dir").is_in(list(allowed_jobs)))
    )
    kept = placed.filter(counts).select(runs.columns)
    return kept, runs.height - kept.height
