"""`trends`: rates of friction and delight over time, and what agents scored on a dataset from day to day."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click
import polars as pl
from rich.console import Console
from rich.table import Table

from codex_loop_assets.cli.options import Problem, home_options, today
from codex_loop_assets.cli.trials import arms_table, cluster_of
from codex_loop_assets.resources.homes import Home


@click.command()
@click.option("--dataset", help="Cluster id or dataset folder: evaluation results over time.")
@click.option("--days", default=30, show_default=True, type=click.IntRange(min=1))
@home_options()
def trends(home: Home, dataset: str | None, days: int) -> None:
    """Rates of friction and delight per day with intervals; with --dataset, rewards per day and arm."""
    since = today() - timedelta(days=days)
    console = Console()
    if dataset:
        key = cluster_of(home, Path(dataset)) if Path(dataset).is_dir() else dataset
        rows = home.lake.read("eval_runs").filter(
            (pl.col("cluster_id") == key) & (pl.col("started_at").dt.date() >= since)
        )
        if rows.is_empty():
            raise Problem(
                f"no trial of {dataset} in the last {days} days; run: codex-loop measure --dataset DIR --agent AGENT"
            )
        console.print(
            arms_table(rows.with_columns(arm=pl.col("started_at").dt.date().cast(pl.String) + "  " + pl.col("arm")))
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
