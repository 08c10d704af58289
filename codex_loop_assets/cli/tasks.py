"""`distill` and `validate`: Harbor tasks from a cluster or from one signal, and their proof."""

from __future__ import annotations

import shutil
from pathlib import Path

import click
import polars as pl
from rich.console import Console

from codex_loop_assets.cli.console import open_console
from codex_loop_assets.cli.options import Problem, home_options
from codex_loop_assets.cli.runs import materialise
from codex_loop_assets.distill.dataset import relocated
from codex_loop_assets.partitions import clusters
from codex_loop_assets.resources import proofs
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.resources.instances import open_instance

_signal = click.option("--signal-id", help="One signal: a task of its own.")
_cluster = click.option("--cluster-id", help="A whole cluster: a dataset.")


@click.command()
@_signal
@_cluster
@click.option("--output", type=click.Path(path_type=Path), help="Copy the dataset (or the one task) here.")
@home_options()
def distill(home: Home, signal_id: str | None, cluster_id: str | None, output: Path | None) -> None:
    """Make Harbor tasks, and say how far each signal came and why it went no further."""
    key = partition(home, signal_id, cluster_id)
    materialise(home, ["harbor_datasets", "task_validations"], clusters=[key])
    rows = home.lake.read("harbor_datasets", key)
    verdicts = home.lake.read("task_validations", key).filter(pl.col("check") == "verdict")
    _print(open_console(), rows, verdicts)
    built = rows.filter(pl.col("stage") == "built")
    if built.is_empty():
        raise Problem("no task came out; the reasons are above")
    if output:
        source = home.root / (built["task_dir"][0] if signal_id and built.height == 1 else built["dataset_dir"][0])
        if output.exists() and any(output.iterdir()):
            raise Problem(f"{output} is not empty")
        shutil.copytree(source, output, dirs_exist_ok=True)
        if (output / "registry.json").is_file():
            relocated(output)
        click.echo(f"{built.height} task(s): {output}")


@click.command()
@_signal
@_cluster
@click.option(
    "--proofs",
    "taken",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Take in proofs made elsewhere: they hold for the same tasks, told by their digest.",
)
@click.option("--save-proofs", type=click.Path(dir_okay=False, path_type=Path), help="Write the proofs here.")
@home_options()
def validate(
    home: Home, signal_id: str | None, cluster_id: str | None, taken: Path | None, save_proofs: Path | None
) -> None:
    """Prove the tasks of a cluster by real Harbor runs (needs Harbor and a Docker engine).

    Exit 0: at least one task is validated; 1: none is.
    """
    key = partition(home, signal_id, cluster_id)
    if taken:
        try:
            proofs.take_in(home, taken)
        except ValueError as error:
            raise Problem(str(error)) from error
    if not home.lake.has("harbor_datasets", key):
        materialise(home, ["harbor_datasets"], clusters=[key])
    materialise(home, ["task_validations"], clusters=[key])
    verdicts = home.lake.read("task_validations", key).filter(pl.col("check") == "verdict")
    _print(open_console(), home.lake.read("harbor_datasets", key), verdicts)
    if save_proofs:
        proofs.save(home.lake.read("task_validations", key), save_proofs)
    if not (verdicts["status"] == "validated").any():
        raise SystemExit(1)


def partition(home: Home, signal_id: str | None, cluster_id: str | None) -> str:
    """The cluster partition that the options name, added to the instance when it is new. Raises Problem for an unknown id."""
    if bool(signal_id) == bool(cluster_id):
        raise Problem("name one of --signal-id and --cluster-id")
    if signal_id:
        if home.lake.read("signals").filter(pl.col("signal_id") == signal_id).is_empty():
            raise Problem(f"no signal {signal_id!r}; list them with: SELECT signal_id, description FROM signals")
        key = f"adhoc-{signal_id}"
    else:
        key = cluster_id or ""
        if home.lake.read("cluster_registry").filter(pl.col("cluster_id") == key).is_empty() and not key.startswith(
            "adhoc-"
        ):
            raise Problem(f"no cluster {key!r}; list them with: codex-loop cluster")
    with open_instance() as instance:
        instance.add_dynamic_partitions(clusters.name, [key])
    return key


def _print(console: Console, rows: pl.DataFrame, verdicts: pl.DataFrame) -> None:
    verdict_of = {row["candidate_id"]: row for row in verdicts.iter_rows(named=True)}
    for row in rows.sort("stage", "candidate_id").iter_rows(named=True):
        verdict = verdict_of.get(row["candidate_id"])
        state = f"{verdict['status']}: {verdict['reason']}" if verdict else row["reason"]
        console.print(
            f"{row['stage']:9} {row['task_name'] or row['candidate_id']}  {state}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
