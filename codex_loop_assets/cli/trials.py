"""What commands about trials share: which cluster a dataset belongs to, and how trials and verdicts are shown."""

from __future__ import annotations

import tomllib
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.table import Table

from codex_loop_assets.cli.options import Problem
from codex_loop_assets.partitions import clusters
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.resources.instances import open_instance


def cluster_of(home: Home, dataset: Path) -> str:
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
    return known(key)


def known(cluster_id: str) -> str:
    """The cluster id, added to the instance's partitions when it is new."""
    with open_instance() as instance:
        instance.add_dynamic_partitions(clusters.name, [cluster_id])
    return cluster_id


def show(console: Console, runs: pl.DataFrame, verdicts: pl.DataFrame) -> None:
    """Trials by arm, then every comparison with its numbers."""
    console.print(arms_table(runs))
    show_verdicts(console, verdicts)


def show_verdicts(console: Console, verdicts: pl.DataFrame, about: str = "") -> None:
    """Each comparison with its numbers, one a line."""
    for row in verdicts.iter_rows(named=True):
        console.print(
            f"{about}{row['candidate_arm']} against {row['baseline_arm']}, {row['endpoint']}: {row['verdict']}. {row['reason']}",
            markup=False,
            highlight=False,
        )


def arms_table(rows: pl.DataFrame) -> Table:
    """One line per arm: tasks, trials, reward, errors by class, cost."""
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
