"""`measure` and `ingest-job`: run agents on a dataset, take in job folders, compare.

Exit codes, for CI: 0 no regression; 1 it could not be run; 2 regressed; 3 not enough data for a verdict.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import click
import polars as pl

from codex_loop_assets.cli.console import open_console
from codex_loop_assets.cli.options import Problem, home_options
from codex_loop_assets.cli.runner import Part, Runner, free_arm, set_parts, target_part
from codex_loop_assets.cli.runs import materialise
from codex_loop_assets.cli.trials import arms_table, cluster_of, known, show, show_verdicts
from codex_loop_assets.distill.sets import shortfalls
from codex_loop_assets.measure.eval_runs import arm_name
from codex_loop_assets.measure.set_comparison import AROUND
from codex_loop_assets.resources import baselines, evaluation_sets, harbor, jobs, ticket_history
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.stages import MEASURE

NOT_ENOUGH_DATA, REGRESSED = 3, 2


@click.command()
@click.option(
    "--dataset", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path), help="Dataset folder."
)
@click.option("--agent", required=True, help="Harbor agent: codex, oracle, nop, or module:Class.")
@click.option("--model", help="Model, as Harbor takes it.")
@click.option(
    "--ak", "arguments", multiple=True, metavar="KEY=VALUE", help="Argument of the agent, as Harbor takes it."
)
@click.option("-k", "attempts", default=3, show_default=True, type=click.IntRange(min=1), help="Trials per task.")
@click.option("--arm", help="Name of what is measured (default: agent/model; with --baseline: and the job).")
@click.option(
    "--baseline",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Compare with the trials saved here, on whatever machine they ran.",
)
@click.option(
    "--save-baseline", type=click.Path(dir_okay=False, path_type=Path), help="Save this measurement's trials here."
)
@click.option(
    "--allow-unvalidated", is_flag=True, help="Also run tasks that no real run has proven, and let them count."
)
@click.option("--with-sets", is_flag=True, help="Also run the proven tasks of the neighbours and of the delight guard.")
@click.option("--print-config", is_flag=True, help="Print Harbor's configuration and stop.")
@home_options(create=True)
def measure(
    home: Home,
    dataset: Path,
    agent: str,
    model: str | None,
    arguments: tuple[str, ...],
    attempts: int,
    arm: str | None,
    baseline: Path | None,
    save_baseline: Path | None,
    allow_unvalidated: bool,
    with_sets: bool,
    print_config: bool,
) -> None:
    """Run an agent on a dataset and compare.

    Exit 0: no regression; 1: it could not be run; 2: regressed; 3: not enough data for a verdict. A job that was cut off is gone
    on with by the same command.
    """
    found = harbor.find()
    if found is None:
        raise Problem(harbor.HOW_TO_INSTALL)
    cluster_id = cluster_of(home, dataset)
    runner = Runner(found, agent, model, attempts, arm or arm_name(agent, model), arguments)
    if print_config:
        click.echo(runner.configuration(home, Part(cluster_id, dataset)))
        return
    target = target_part(home, cluster_id, dataset, allow_unvalidated)
    if problem := harbor.engine_problem():
        raise Problem(problem)
    if baseline:
        runner = _against(home, cluster_id, baseline, runner, named=bool(arm))
    parts = [target, *(set_parts(home, cluster_id, AROUND) if with_sets else ())]
    name = runner.run(home, parts)[0]
    others = list(dict.fromkeys(part.cluster_id for part in parts[1:]))
    materialise(home, MEASURE, clusters=[cluster_id, *others])
    ticket_history.being_measured(home, cluster_id)
    if save_baseline:
        click.echo(f"baseline of {baselines.save(home, cluster_id, name, save_baseline)} trial(s): {save_baseline}")
    raise SystemExit(_exit_code(_shown(home, cluster_id, others, runner.arm), compared=baseline is not None))


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--cluster-id", help="Cluster that the job's tasks belong to (default: as the tasks say, else adhoc).")
@click.option("--arm", help="Name of what was measured.")
@home_options()
def ingest_job(home: Home, directory: Path, cluster_id: str | None, arm: str | None) -> None:
    """Take in a Harbor job folder made elsewhere: its trials become rows of eval_runs."""
    key = known(cluster_id or _cluster_of_job(home, directory.resolve()))
    try:
        jobs.adopt_job(home, key, directory.resolve(), arm)
    except ValueError as error:
        raise Problem(str(error)) from error
    materialise(home, MEASURE, clusters=[key])
    ticket_history.being_measured(home, key)
    show(open_console(), home.lake.read("eval_runs", key), home.lake.read("regressions", key))


def _cluster_of_job(home: Home, directory: Path) -> str:
    """The one cluster that this home distilled all of the job's tasks for; else a partition named after the job."""
    names = {trial.task for trial in harbor.read_job(directory).trials}
    tasks = home.lake.read("harbor_datasets").filter(pl.col("task_name").is_in(names))
    holding = tasks.group_by("cluster_id").agg(pl.col("task_name").n_unique())
    whole = holding.filter(pl.col("task_name") == len(names))["cluster_id"].to_list()
    return whole[0] if len(whole) == 1 else f"adhoc-{directory.name}"


def _against(home: Home, cluster_id: str, baseline: Path, runner: Runner, named: bool) -> Runner:
    """Take the baseline in, and give what is measured a name of its own: the same agent and model may have been measured before."""
    try:
        arm = baselines.take_in(home, cluster_id, baseline)
    except ValueError as error:
        raise Problem(str(error)) from error
    if named and runner.arm != arm:
        return runner
    return replace(runner, arm=free_arm(home, cluster_id, runner.arm, [arm, runner.arm]))


def _shown(home: Home, cluster_id: str, others: Iterable[str], arm: str) -> pl.DataFrame:
    """Show each cluster's trials, then the verdicts on the target and on the sets around it; those that are about this arm."""
    console = open_console()
    verdicts = home.lake.read("regressions", cluster_id)
    mine = verdicts.filter((pl.col("candidate_arm") == arm) | (pl.col("baseline_arm") == arm))
    console.print(f"dataset {cluster_id}", markup=False, highlight=False)
    show(console, home.lake.read("eval_runs", cluster_id), mine)
    if not others:
        return mine.filter(pl.col("candidate_arm") == arm)
    for other in others:
        console.print(f"dataset {other}", markup=False, highlight=False)
        console.print(arms_table(home.lake.read("eval_runs", other)))
    found = evaluation_sets.sets_of(home, cluster_id)
    around = evaluation_sets.compared(home, cluster_id, found, mine, evaluation_sets.category_of(home, cluster_id))
    for kind in AROUND:
        show_verdicts(console, around[kind], f"{kind.replace('_', ' ')} set: ")
    # Of a set that is too small, which was said before, nothing is expected.
    short = shortfalls(found, home.section("distill")["sets"])
    told = [
        rows.filter(pl.col("verdict") != "not_enough_data") if kind in short else rows for kind, rows in around.items()
    ]
    return pl.concat(told).filter(pl.col("candidate_arm") == arm)


def _exit_code(verdicts: pl.DataFrame, compared: bool) -> int:
    """2 when anything regressed; 3 when a reward that was to be compared could not be; else 0."""
    if (verdicts["verdict"] == "regressed").any():
        return REGRESSED
    rewards = verdicts.filter(pl.col("endpoint") == "reward")["verdict"]
    missing = (rewards == "not_enough_data").any() or (compared and rewards.is_empty())
    return NOT_ENOUGH_DATA if missing else 0
