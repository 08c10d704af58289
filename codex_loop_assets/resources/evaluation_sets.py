"""The sets that judge a change, as a home knows them now: a cluster's own proven tasks, its neighbours' and the delight guard's.

What belongs here: reading clusters, repositories, centres, proofs and the trials on the sets. What does not: what makes a neighbour,
and how small a set may be (`distill.sets`); comparing (`measure.set_comparison`).
"""

from __future__ import annotations

import json

import polars as pl

from codex_loop_assets.distill import sets
from codex_loop_assets.distill.dataset import SETS_FILE
from codex_loop_assets.measure.set_comparison import compare_sets
from codex_loop_assets.resources.files import write_text
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.resources.proofs import known
from codex_loop_assets.resources.vectors import CENTROIDS, VectorStore
from codex_loop_assets.tables import EVAL_RUNS, TRIAL_SIGNALS


def sets_of(home: Home, cluster_id: str) -> pl.DataFrame:
    """The proven tasks of the three sets, one row each: cluster_id, candidate_id, task_name, task_dir, digest, set_kind."""
    lake = home.lake
    days = lake.keys("clusters")
    clusters = lake.read("clusters", days[-1]) if days else lake.read("clusters", [])
    members = lake.read("cluster_members", days[-1:])
    settings, proofs = home.section("distill")["sets"], known(home)
    datasets = lake.read("harbor_datasets")
    # A neighbour without a proven task guards against nothing, however near it is.
    with_tasks = sets.proven_tasks(datasets, proofs)["cluster_id"].unique().to_list()
    near = sets.neighbours(
        cluster_id,
        clusters.filter(pl.col("cluster_id").is_in([cluster_id, *with_tasks])),
        _repositories(home, members),
        _centroids(home, clusters),
        settings["neighbours"],
    )
    live = clusters.filter((pl.col("type") == "delight") & (pl.col("status") == "live"))["cluster_id"].sort().to_list()
    return sets.evaluation_sets(cluster_id, near, live, datasets, proofs)


def compared(
    home: Home, cluster_id: str, found: pl.DataFrame, regressions: pl.DataFrame, category: str | None
) -> dict[str, pl.DataFrame]:
    """Rows of `regressions` by set kind: the cluster's own (given), and what the trials on its neighbours' and on the guard's
    tasks say about the same arms. found: the sets, as `sets_of` gives them. category: the friction that the target is about."""
    others = found.filter(pl.col("set_kind") != "target")["cluster_id"].unique().sort().to_list()
    runs = [home.lake.read("eval_runs", other) for other in others]
    seen = [home.lake.read("trial_signals", other) for other in others]
    around = compare_sets(
        cluster_id,
        found,
        pl.concat([EVAL_RUNS.empty(), *runs]),
        pl.concat([TRIAL_SIGNALS.empty(), *seen]),
        regressions.select("baseline_arm", "candidate_arm").unique().rows(),
        category,
        sets.minimum_tasks(home.section("distill")["sets"]),
        home.section("measure"),
    )
    return {"target": regressions, **around}


def newest_arm(home: Home, cluster_id: str) -> str | None:
    """The arm whose trials began last, of those that were compared with the baseline; None where nothing was compared."""
    compared_arms = home.lake.read("regressions", cluster_id)["candidate_arm"].unique().to_list()
    runs = home.lake.read("eval_runs", cluster_id).filter(pl.col("arm").is_in(compared_arms))
    began = runs.group_by("arm").agg(pl.col("started_at").min()).sort("started_at", "arm", nulls_last=False)
    return began["arm"][-1] if began.height else None


def category_of(home: Home, cluster_id: str) -> str | None:
    """The category that most of the cluster's signals have, in its newest state; None for one that is no cluster (adhoc)."""
    rows = home.lake.read("clusters").filter(pl.col("cluster_id") == cluster_id).sort("dt")
    return rows["top_category"][-1] if rows.height else None


def write_sets(home: Home, cluster_id: str) -> dict[str, str]:
    """Write sets.json into the cluster's dataset folder, where there is one; the sets too small for a verdict, and why."""
    found = sets_of(home, cluster_id)
    settings = home.section("distill")["sets"]
    document = sets.document(cluster_id, found, settings)
    folders = home.lake.read("harbor_datasets", cluster_id)["dataset_dir"].drop_nulls().unique().to_list()
    for folder in folders:
        write_text(home.root / folder / SETS_FILE, json.dumps(document, indent=1) + "\n")
    return document["not_enough_data"]


def _repositories(home: Home, members: pl.DataFrame) -> dict[str, set[str]]:
    """Short names of the repositories of each cluster's sessions."""
    threads = home.lake.read("signals").select("signal_id", "thread_id").unique()
    places = home.lake.read("sessions").select("thread_id", "repository").drop_nulls().unique()
    joined = members.join(threads, on="signal_id").join(places, on="thread_id")
    pairs = joined.group_by("cluster_id").agg(pl.col("repository").unique())
    return {cluster: set(names) for cluster, names in pairs.iter_rows()}


def _centroids(home: Home, clusters: pl.DataFrame) -> dict[str, list[float]]:
    if clusters.is_empty():
        return {}
    space, day = clusters.select("embedding_model", "dt").row(0)
    vectors = VectorStore(home.vectors_path).vectors(CENTROIDS, space, day)
    return {key: vector.tolist() for key, vector in vectors.items()}
