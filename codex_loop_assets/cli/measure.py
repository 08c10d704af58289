"""`measure` and `ingest-job`: run agents on a dataset, take in job folders, compare.

Exit codes, for CI: 0 no regression; 1 it could not be run; 2 regressed; 3 not enough data for a verdict.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import polars as pl
from rich.console import Console

from codex_loop_assets.cli.options import Problem, home_options
from codex_loop_assets.cli.runs import materialise
from codex_loop_assets.cli.trials import cluster_of, known, show
from codex_loop_assets.distill import sets
from codex_loop_assets.distill.digest import task_digest
from codex_loop_assets.measure.eval_runs import arm_name
from codex_loop_assets.resources import baselines, evaluation_sets, harbor, jobs, proofs, ticket_history
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.stages import MEASURE

NOT_ENOUGH_DATA, REGRESSED = 3, 2


@dataclass(frozen=True)
class Runner:
    """How trials are run: Harbor, and what is measured."""

    harbor: harbor.Harbor
    agent: str
    model: str | None
    attempts: int
    arm: str
    arguments: tuple[str, ...] = ()

    def run(self, home: Home, cluster_id: str, dataset: Path, unvalidated: bool) -> str:
        """Run the tasks of a folder, or go on with such a job that was cut off; the job's name. Raises Problem."""
        with home.lake.locked(f"measure-{cluster_id}"):
            name = self._job_name(home, cluster_id, dataset)
            jobs.label_job(home, cluster_id, name, self.arm)
            if unvalidated:
                jobs.allow_unvalidated(home, cluster_id, name)
            try:
                self.harbor.run(*self._place(home, cluster_id, dataset, name), **self._options(home), timeout_s=None)
            except harbor.HarborError as error:
                raise Problem(f"{error}. The same command goes on with the job {name}") from error
        return name

    def configuration(self, home: Home, cluster_id: str, dataset: Path) -> str:
        """The configuration of the job that `run` would run now."""
        name = self._job_name(home, cluster_id, dataset)
        return self.harbor.configuration(*self._place(home, cluster_id, dataset, name), **self._options(home))

    def _job_name(self, home: Home, cluster_id: str, dataset: Path) -> str:
        digests = sorted(task_digest(path.parent) for path in dataset.glob("*/task.toml"))
        options = self._options(home)
        shape = json.dumps([str(dataset.resolve()), digests, self.arm, options], sort_keys=True)
        return jobs.next_name(home, cluster_id, self.agent, self.model, shape)

    def _place(self, home: Home, cluster_id: str, dataset: Path, name: str) -> tuple[Path, str, Path, str]:
        return dataset, self.agent, jobs.jobs_folder(home, cluster_id), name

    def _options(self, home: Home) -> dict[str, Any]:
        extra = [*(("--model", self.model) if self.model else ())]
        extra += [word for argument in self.arguments for word in ("--ak", argument)]
        return {"attempts": self.attempts, "concurrency": home.section("measure")["run"]["concurrency"], "extra": extra}


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
        click.echo(runner.configuration(home, cluster_id, dataset))
        return
    _require_proof(home, cluster_id, dataset, allow_unvalidated)
    if problem := harbor.engine_problem():
        raise Problem(problem)
    if baseline:
        runner = _against(home, cluster_id, baseline, runner, named=bool(arm))
    name = runner.run(home, cluster_id, dataset, allow_unvalidated)
    measured = [cluster_id, *(_run_sets(home, cluster_id, runner) if with_sets else ())]
    materialise(home, MEASURE, clusters=measured)
    ticket_history.being_measured(home, cluster_id)
    if save_baseline:
        click.echo(f"baseline of {baselines.save(home, cluster_id, name, save_baseline)} trial(s): {save_baseline}")
    raise SystemExit(_exit_code(_shown(home, measured, runner.arm), compared=baseline is not None))


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
    show(Console(), home.lake.read("eval_runs", key), home.lake.read("regressions", key))


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
    taken = set(home.lake.read("eval_runs", cluster_id)["arm"]) | {arm}
    number = next(number for number in range(2, len(taken) + 3) if f"{runner.arm} #{number}" not in taken)
    return replace(runner, arm=f"{runner.arm} #{number}")


def _run_sets(home: Home, cluster_id: str, runner: Runner) -> list[str]:
    """Run the neighbours' and the guards' proven tasks; the clusters that they belong to."""
    found = evaluation_sets.sets_of(home, cluster_id)
    for kind, reason in sets.shortfalls(found, home.section("distill")["sets"]).items():
        click.echo(f"{kind}: {reason}")
    others = found.filter(pl.col("set_kind") != "target")
    for (other, kind), tasks in others.group_by("cluster_id", "set_kind", maintain_order=True):
        folder = home.root / "harbor" / "sets" / cluster_id / f"{kind}-{other}"
        shutil.rmtree(folder, ignore_errors=True)
        for place in tasks["task_dir"]:
            shutil.copytree(home.root / place, folder / Path(place).name)
        runner.run(home, known(other), folder, unvalidated=False)
    return others["cluster_id"].unique(maintain_order=True).to_list()


def _require_proof(home: Home, cluster_id: str, dataset: Path, allowed: bool) -> None:
    """Raises Problem when a task of the folder, as it is there, is not proven."""
    proven = set(proofs.proven(home)["digest"])
    tasks = sorted(path.parent for path in dataset.glob("*/task.toml"))
    open_tasks = [task.name for task in tasks if task_digest(task) not in proven]
    if open_tasks and not allowed:
        raise Problem(
            f"{len(open_tasks)} of {len(tasks)} tasks are not proven by real runs ({', '.join(open_tasks[:3])}); prove them with: "
            f"codex-loop validate --cluster-id {cluster_id}, or measure all the same with --allow-unvalidated"
        )


def _shown(home: Home, cluster_ids: Iterable[str], arm: str) -> pl.DataFrame:
    """Show each cluster's trials and verdicts; the verdicts that are about this arm."""
    console, about = Console(), []
    for cluster_id in cluster_ids:
        runs, verdicts = home.lake.read("eval_runs", cluster_id), home.lake.read("regressions", cluster_id)
        mine = verdicts.filter((pl.col("candidate_arm") == arm) | (pl.col("baseline_arm") == arm))
        console.print(f"dataset {cluster_id}", markup=False, highlight=False)
        show(console, runs, mine)
        about.append(mine.filter(pl.col("candidate_arm") == arm))
    return pl.concat(about)


def _exit_code(verdicts: pl.DataFrame, compared: bool) -> int:
    """2 when anything regressed; 3 when a reward that was to be compared could not be; else 0."""
    if (verdicts["verdict"] == "regressed").any():
        return REGRESSED
    rewards = verdicts.filter(pl.col("endpoint") == "reward")["verdict"]
    missing = (rewards == "not_enough_data").any() or (compared and rewards.is_empty())
    return NOT_ENOUGH_DATA if missing else 0
