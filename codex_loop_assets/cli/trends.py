"""`trends`: rates of friction and delight over time, and what agents scored on a dataset from day to day."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import click
import polars as pl
from rich.console import Console
from rich.table import Table

from codex_loop_assets.cli.console import open_console
from codex_loop_assets.cli.options import Problem, home_options, today
from codex_loop_assets.cli.summaries import show_alerts
from codex_loop_assets.cli.trials import arms_table, cluster_of
from codex_loop_assets.measure.trends import ALL, settled_through
from codex_loop_assets.resources.alerts import alerts_now
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.resources.instances import open_instance


@click.command()
@click.option("--dataset", help="Cluster id or dataset folder: evaluation results over time.")
@click.option("--category", help="Only this category, such as exec_failure.")
@click.option("--cluster-id", help="Only this pattern.")
@click.option("--by", type=click.Choice(["cli_version", "model"]), help="Each release, or each model, by itself.")
@click.option("--days", default=30, show_default=True, type=click.IntRange(min=1))
@home_options()
def trends(
    home: Home, dataset: str | None, category: str | None, cluster_id: str | None, by: str | None, days: int
) -> None:
    """Rates of friction and delight per day with intervals, and what is worth a look; with --dataset, rewards per day
    and arm. A rate is a share of the sessions in which the thing could be seen."""
    since = today() - timedelta(days=days)
    console = open_console()
    if dataset:
        _rewards(home, console, dataset, days, since)
        return
    kind, name = ("category", category) if category else ("cluster", cluster_id) if cluster_id else ("type", None)
    rows = home.lake.read("trends").filter((pl.col("kind") == kind) & (pl.col("dt") >= since))
    rows = rows.filter(pl.col("name") == name) if name else rows
    if name and rows.is_empty():
        raise Problem(f"no {kind} {name!r} in the last {days} days; run codex-loop daily, or look further back: --days")
    other = {"cli_version": "model", "model": "cli_version"}
    chosen = (pl.col(by) != ALL) & (pl.col(other[by]) == ALL) if by else _EVERYTHING
    console.print(_rates(rows.filter(chosen), by))
    settled = settled_through(home.lake.read("trends"))
    console.print(f"settled through {settled}: later days can still change" if settled else "no day is settled yet")
    with open_instance() as instance:
        show_alerts(console, alerts_now(home, instance))


_EVERYTHING = (pl.col("cli_version") == ALL) & (pl.col("model") == ALL)


def _rewards(home: Home, console: Console, dataset: str, days: int, since: date) -> None:
    key = cluster_of(home, Path(dataset)) if Path(dataset).is_dir() else _named(home, dataset)
    rows = home.lake.read("eval_runs").filter((pl.col("cluster_id") == key) & (pl.col("started_at").dt.date() >= since))
    if rows.is_empty():
        raise Problem(
            f"no trial of {dataset} in the last {days} days; run: codex-loop measure --dataset DIR --agent AGENT"
        )
    console.print(
        arms_table(rows.with_columns(arm=pl.col("started_at").dt.date().cast(pl.String) + "  " + pl.col("arm")))
    )


def _named(home: Home, dataset: str) -> str:
    """The cluster of a dataset that is named as its folder is; the name itself, which may be a cluster's, where none is."""
    known = home.lake.read("harbor_datasets").drop_nulls("dataset_dir")
    found = known.filter(pl.col("dataset_dir").str.ends_with(f"/{dataset}"))["cluster_id"]
    return found[0] if len(found) else dataset


def _rates(rows: pl.DataFrame, by: str | None) -> Table:
    table = Table(title="Share of sessions that show it", title_justify="left")
    for heading in (
        "day",
        "what",
        *([by.replace("_", " ")] if by else []),
        "sessions",
        "with",
        "rate",
        "95 % interval",
    ):
        table.add_column(heading)
    table.add_column("")
    for row in rows.sort("dt", "name", *([by] if by else [])).iter_rows(named=True):
        known = row["rate"] is not None
        table.add_row(
            str(row["dt"]),
            row["name"],
            *([row[by]] if by else []),
            str(row["exposed_sessions"]),
            str(row["sessions_with"]),
            f"{row['rate']:.2f}" if known else "-",
            f"{row['rate_low']:.2f} to {row['rate_high']:.2f}" if known else "",
            "" if row["settled"] else "can still change",
        )
    return table
