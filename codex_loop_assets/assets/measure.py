"""eval_runs, trial_signals, regressions: what agents score on a cluster's tasks, and whether the friction went away.

Started on demand only: running agents costs money. Materialising without a configuration folds the job folders that are there.
"""

import dagster as dg
import polars as pl

from codex_loop_assets.assets.guard import guarded
from codex_loop_assets.assets.policy import PER_CLUSTER, store, table_of, table_spec
from codex_loop_assets.measure.eval_runs import TrialRecord, eval_rows
from codex_loop_assets.measure.proven import of_proven_tasks
from codex_loop_assets.measure.statistics import Comparison, compare
from codex_loop_assets.measure.trial_signals import trial_signal_rows
from codex_loop_assets.resources import jobs, proofs
from codex_loop_assets.resources.homes import Home, HomeResource
from codex_loop_assets.resources.registry import members_of
from codex_loop_assets.resources.schema import current_schema
from codex_loop_assets.signals.model import CanonTables


@dg.multi_asset(
    name="eval_runs",
    specs=[table_spec("eval_runs", "measure", ["harbor_datasets"], kinds={"parquet", "docker"})],
    **PER_CLUSTER,
)
@guarded
def eval_runs(context: dg.AssetExecutionContext, home: HomeResource):
    """Fold the cluster's Harbor job folders into one row per trial."""
    codex = home.home
    for cluster_id in context.partition_keys:
        records, labels = jobs.trials(codex, cluster_id)
        rows = eval_rows(
            records,
            cluster_id,
            cluster_id,
            dataset_digest=dataset_digest(codex, cluster_id),
            labels=labels,
            same=same_tasks(codex, cluster_id),
            settings=codex.section("measure"),
        )
        store(
            context,
            codex,
            "eval_runs",
            cluster_id,
            rows,
            arms=table_of(_arms(rows)),
            cost_usd=float(rows["cost_usd"].sum() or 0),
        )


@dg.multi_asset(name="trial_signals", specs=[table_spec("trial_signals", "measure", ["eval_runs"])], **PER_CLUSTER)
@guarded
def trial_signals(context: dg.AssetExecutionContext, home: HomeResource):
    """Run the mechanical detectors on the Codex sessions that the trials left."""
    codex = home.home
    for cluster_id in context.partition_keys:
        trials = jobs.trials(codex, cluster_id)[0]
        records = {(record.job_dir, record.result["trial_name"]): record for record in trials}
        runs = codex.lake.read("eval_runs", cluster_id)
        sessions = {
            row["eval_id"]: _looked_at(codex, records[row["job_dir"], row["trial"]])
            for row in runs.iter_rows(named=True)
            if (row["job_dir"], row["trial"]) in records
        }
        rows = trial_signal_rows(cluster_id, sessions, categories_of(codex, cluster_id), current_schema(codex))
        store(context, codex, "trial_signals", cluster_id, rows, observable=int(rows["observable"].sum()))


@dg.multi_asset(
    name="regressions", specs=[table_spec("regressions", "measure", ["eval_runs", "trial_signals"])], **PER_CLUSTER
)
@guarded
def regressions(context: dg.AssetExecutionContext, home: HomeResource):
    """Compare each later arm with the first one run on the cluster, by reward and by the originating friction."""
    codex = home.home
    for cluster_id in context.partition_keys:
        runs, unproven = of_proven_tasks(
            codex.lake.read("eval_runs", cluster_id),
            codex.lake.read("harbor_datasets", cluster_id),
            proofs.proven(codex),
            jobs.allowed_jobs(codex, cluster_id),
        )
        arms = arms_in_order(codex.lake.read("eval_runs", cluster_id), jobs.baseline_arm(codex, cluster_id))
        rows = compare(
            runs,
            comparisons(codex, cluster_id, arms, _remarks(runs, unproven)),
            codex.lake.read("trial_signals", cluster_id),
            codex.section("measure"),
        )
        store(
            context, codex, "regressions", cluster_id, rows, verdicts=dict(rows.group_by("verdict").len().iter_rows())
        )


def _arms(rows: pl.DataFrame) -> pl.DataFrame:
    """Trials, mean reward and errors by arm."""
    counted = rows.group_by("arm").agg(
        trials=pl.len(), mean_reward=pl.col("reward").mean().round(3), errors=pl.col("error_class").count()
    )
    return counted.sort("arm")


def _looked_at(home: Home, record: TrialRecord) -> CanonTables | dict[str, int] | None:
    counts = jobs.trial_counts(home, record)
    return jobs.trial_canon(home, record) if counts is None else counts


def arms_in_order(runs: pl.DataFrame, baseline: str | None = None) -> list[str]:
    """The arms by the start of their first trial, but the named one first; the first is what the others are compared with."""
    first = runs.group_by("arm").agg(pl.col("started_at").min())
    return first.sort(pl.col("arm") != (baseline or ""), "started_at", "arm", nulls_last=True)["arm"].to_list()


def comparisons(home: Home, cluster_id: str, arms: list[str], remarks: tuple[str, ...] = ()) -> list[Comparison]:
    """Every later arm against the first, by reward and by each mechanical friction of the cluster."""
    smallest = 0 if cluster_id.startswith("adhoc-") else home.section("distill")["sets"]["minimum_target_tasks"]
    return [
        Comparison(cluster_id, cluster_id, arms[0], arm, endpoint, smallest, remarks)
        for arm in arms[1:]
        for endpoint in ("reward", *categories_of(home, cluster_id))
    ]


def _remarks(runs: pl.DataFrame, unproven: int) -> tuple[str, ...]:
    """What a reader has to know about the trials. `unproven`: how many were left out."""
    moved = runs["ran_digest"].count()
    told = (
        (unproven, "trial(s) on tasks that no real run has proven were left out"),
        (moved, "trial(s) ran on these tasks under another provenance: same words, environment, tests and solution"),
    )
    return tuple(f"{count} {text}" for count, text in told if count)


def same_tasks(home: Home, cluster_id: str) -> dict[str, str]:
    """Digest that a task of the cluster's jobs ran under -> digest of the present task, where only the provenance differs."""
    present = home.lake.read("harbor_datasets", cluster_id).drop_nulls("core_digest")
    now = dict(present.select("core_digest", "digest").iter_rows())
    ran = jobs.core_digests(home, cluster_id)
    return {digest: now[core] for digest, core in ran.items() if core in now and now[core] != digest}


def categories_of(home: Home, cluster_id: str) -> list[str]:
    """The mechanical friction categories among the cluster's signals: what its trials' sessions are looked at for."""
    mechanical = current_schema(home).mechanical()
    found = members_of(home.lake, cluster_id).filter(pl.col("type") == "friction")["category"].unique().sort().to_list()
    return [name for name in found if name in mechanical]


def dataset_digest(home: Home, cluster_id: str) -> str | None:
    """One digest for the tasks of the dataset as they are now."""
    import hashlib

    digests = home.lake.read("harbor_datasets", cluster_id)["digest"].drop_nulls().unique().sort().to_list()
    return "sha256:" + hashlib.sha256("\n".join(digests).encode()).hexdigest() if digests else None
