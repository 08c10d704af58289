"""`measure`, `ingest-job`, `trends`: run agents on a dataset, take in job folders, compare, and look at rates over time."""

from __future__ import annotations

import json
import tomllib
from datetime import timedelta
from pathlib import Path

import click
import dagster as dg
import polars as pl
from rich.console import Console
from rich.table import Table

from codex_loop_assets import clock
from codex_loop_assets.cli.options import Problem, home_options, today
from codex_loop_assets.cli.runs import materialise
from codex_loop_assets.partitions import clusters
from codex_loop_assets.resources import harbor, jobs
from codex_loop_assets.resources.files import write_text
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.stages import MEASURE

NOT_ENOUGH_DATA, REGRESSED = 3, 2


@click.command()
@click.option(
    "--dataset", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path), help="Dataset folder."
)
@click.option("--agent", required=True, help="Harbor agent: codex, oracle, nop, or module:Class.")
@click.option("--model", help="Model, as Harbor takes it.")
@click.option("-k", "attempts", default=3, show_default=True, type=click.IntRange(min=1), help="Trials per task.")
@click.option("--arm", help="Name of what is measured (default: agent/model).")
@click.option(
    "--baseline", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Compare with trials saved here."
)
@click.option(
    "--save-baseline", type=click.Path(dir_okay=False, path_type=Path), help="Save this measurement's trials here."
)
@click.option("--allow-unvalidated", is_flag=True, help="Also run tasks that no real run has proven.")
@click.option("--print-config", is_flag=True, help="Print Harbor's configuration and stop.")
@home_options(create=True)
def measure(
    home: Home,
    dataset: Path,
    agent: str,
    model: str | None,
    attempts: int,
    arm: str | None,
    baseline: Path | None,
    save_baseline: Path | None,
    allow_unvalidated: bool,
    print_config: bool,
) -> None:
    """Run an agent on a dataset and compare. Exit 0: no regression; 2: regressed; 3: not enough data for a verdict."""
    runner = harbor.find()
    if runner is None:
        raise Problem(harbor.HOW_TO_INSTALL)
    cluster_id = _cluster_of(home, dataset)
    extra = ["--model", model] if model else []
    if print_config:
        click.echo(runner.configuration(dataset, agent, attempts, extra))
        return
    _require_proof(home, cluster_id, dataset, allow_unvalidated)
    if problem := harbor.engine_problem():
        raise Problem(problem)
    name = f"{agent.replace(':', '-')}-{(model or 'none').replace('/', '-')}-{clock.now():%Y%m%dT%H%M%S}"
    jobs.label_job(home, cluster_id, name, arm)
    try:
        runner.run(dataset, agent, jobs.jobs_folder(home, cluster_id), name, attempts=attempts, extra=extra)
    except harbor.HarborError as error:
        raise Problem(str(error)) from error
    if baseline:
        _restore(home, cluster_id, baseline)
    materialise(home, MEASURE, clusters=[cluster_id])
    rows = home.lake.read("eval_runs", cluster_id)
    if save_baseline:
        _save(home, cluster_id, rows, name, save_baseline)
    raise SystemExit(_show(home, cluster_id, rows))


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--cluster-id", help="Cluster that the job's tasks belong to (default: as the tasks say, else adhoc).")
@click.option("--arm", help="Name of what was measured.")
@home_options()
def ingest_job(home: Home, directory: Path, cluster_id: str | None, arm: str | None) -> None:
    """Take in a Harbor job folder made elsewhere: its trials become rows of eval_runs."""
    key = cluster_id or f"adhoc-{directory.resolve().name}"
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions(clusters.name, [key])
    try:
        jobs.adopt_job(home, key, directory.resolve(), arm)
    except ValueError as error:
        raise Problem(str(error)) from error
    materialise(home, MEASURE, clusters=[key])
    _show(home, key, home.lake.read("eval_runs", key))


@click.command()
@click.option("--dataset", help="Cluster id or dataset folder: evaluation results over time.")
@click.option("--days", default=30, show_default=True, type=click.IntRange(min=1))
@home_options()
def trends(home: Home, dataset: str | None, days: int) -> None:
    """Rates of friction and delight per day with intervals; with --dataset, rewards per day and arm."""
    since = today() - timedelta(days=days)
    console = Console()
    if dataset:
        key = _cluster_of(home, Path(dataset)) if Path(dataset).is_dir() else dataset
        rows = home.lake.read("eval_runs").filter(
            (pl.col("cluster_id") == key) & (pl.col("started_at").dt.date() >= since)
        )
        if rows.is_empty():
            raise Problem(
                f"no trial of {dataset} in the last {days} days; run: codex-loop measure --dataset DIR --agent AGENT"
            )
        console.print(
            _arms(rows.with_columns(arm=pl.col("started_at").dt.date().cast(pl.String) + "  " + pl.col("arm")))
        )
        return
    rows = home.lake.read("trends").filter(
        (pl.col("kind") == "type")
        & (pl.col("cli_version") == "all")
        & (pl.col("model") == "all")
        & (pl.col("dt") >= since)
    )
    table = Table(title="Share of sessions that show it", title_justify="left")
    for heading in ("day", "type", "sessions", "with", "rate", "95 % interval", ""):
        table.add_column(heading)
    for row in rows.sort("dt", "name").iter_rows(named=True):
        interval = f"{row['rate_low']:.2f} to {row['rate_high']:.2f}" if row["rate"] is not None else ""
        rate = f"{row['rate']:.2f}" if row["rate"] is not None else "-"
        table.add_row(
            str(row["dt"]),
            row["name"],
            str(row["exposed_sessions"]),
            str(row["sessions_with"]),
            rate,
            interval,
            "" if row["settled"] else "can still change",
        )
    console.print(table)


def _cluster_of(home: Home, dataset: Path) -> str:
    """The cluster that the dataset's tasks name in their metadata; a partition of its own for a foreign dataset."""
    for path in sorted(dataset.glob("*/task.toml")):
        try:
            found = tomllib.loads(path.read_text("utf-8")).get("metadata", {}).get("cluster_id")
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise Problem(f"{path}: {error}") from error
        if found:
            key = found
            break
    else:
        if not any(dataset.glob("*/task.toml")):
            raise Problem(f"{dataset} holds no task (no */task.toml)")
        key = f"adhoc-{dataset.resolve().name}"
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions(clusters.name, [key])
    return key


def _require_proof(home: Home, cluster_id: str, dataset: Path, allowed: bool) -> None:
    verdicts = home.lake.read("task_validations", cluster_id).filter(
        (pl.col("check") == "verdict") & (pl.col("status") == "validated")
    )
    tasks = sum(1 for _ in dataset.glob("*/task.toml"))
    if verdicts.height < tasks and not allowed:
        raise Problem(
            f"only {verdicts.height} of {tasks} tasks are proven by real runs; prove them with: codex-loop validate --cluster-id {cluster_id}, "
            "or measure all the same with --allow-unvalidated"
        )


def _save(home: Home, cluster_id: str, rows: pl.DataFrame, job_name: str, path: Path) -> None:
    kept = rows.filter(pl.col("job_dir").str.ends_with(f"/{job_name}"))
    content = {
        "cluster_id": cluster_id,
        "job": job_name,
        "trials": [json.loads(line) for line in kept.write_ndjson().splitlines()],
    }
    write_text(path, json.dumps(content, indent=1, sort_keys=True) + "\n")
    click.echo(f"baseline of {kept.height} trial(s): {path}")


def _restore(home: Home, cluster_id: str, path: Path) -> None:
    """A baseline's job must be among the cluster's job folders: trials are read from there and nowhere else."""
    saved = json.loads(path.read_text("utf-8"))
    if not (jobs.jobs_folder(home, cluster_id) / saved["job"]).is_dir():
        raise Problem(
            f"{path}: its job {saved['job']} is not in this home; take it in first with: codex-loop ingest-job DIR --cluster-id {cluster_id}"
        )


def _show(home: Home, cluster_id: str, rows: pl.DataFrame) -> int:
    console = Console()
    console.print(_arms(rows))
    verdicts = home.lake.read("regressions", cluster_id)
    for row in verdicts.iter_rows(named=True):
        console.print(
            f"{row['candidate_arm']} against {row['baseline_arm']}, {row['endpoint']}: {row['verdict']}. {row['reason']}",
            markup=False,
            highlight=False,
        )
    found = set(verdicts["verdict"])
    return REGRESSED if "regressed" in found else NOT_ENOUGH_DATA if found == {"not_enough_data"} else 0


def _arms(rows: pl.DataFrame) -> Table:
    table = Table(title="Trials", title_justify="left")
    for heading in ("arm", "tasks", "trials", "mean reward", "errors", "cost"):
        table.add_column(heading)
    for (arm,), group in sorted(rows.group_by("arm"), key=lambda item: item[0]):
        errors = ", ".join(
            f"{name} {count}"
            for name, count in group.drop_nulls("error_class")
            .group_by("error_class")
            .len()
            .sort("error_class")
            .iter_rows()
        )
        reward = group["reward"].mean()
        table.add_row(
            arm,
            str(group["task"].n_unique()),
            str(group.height),
            "-" if reward is None else f"{reward:.2f}",
            errors or "none",
            f"${group['cost_usd'].sum() or 0:.2f}",
        )
    return table
