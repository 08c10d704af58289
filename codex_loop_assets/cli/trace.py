"""`trace bundle|distill|dataset|atif`: one thread out of a Codex home, and what can be made of it without a graph."""

from __future__ import annotations

import json
import os
import shlex
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import polars as pl

from codex_loop_assets import clock
from codex_loop_assets.cli.options import Problem, plain_errors
from codex_loop_assets.distill.bundle import Bundle, BundleError, read_bundle, write_bundle
from codex_loop_assets.resources import harbor
from codex_loop_assets.resources.files import write_text
from codex_loop_assets.resources.forgotten import forgotten_hashes, thread_hash
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.settings import section
from codex_loop_assets.traces.homes import CodexHome

UNPROVEN = (
    "not run yet: it is proven when Harbor's agent `oracle` scores 1 on it and `nop` 0; run each with: "
    "codex-loop trace dataset --task TASK --output DATASET --run --agent AGENT"
)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)

_bundle = click.option(
    "--bundle", required=True, type=_FOLDER, help="A folder that `trace bundle` made, or a bare spine folder."
)
_output = click.option("--output", required=True, type=click.Path(path_type=Path), help="An empty or new folder.")
_home = click.option(
    "--home", "home_path", type=click.Path(file_okay=False), help="codex-loop home (default: .codex_loop)."
)


@click.group()
def trace() -> None:
    """Work on one thread: bundle its files, distil some of its turns, put tasks together, export its trajectory."""


@trace.command()
@click.option("--session-id", required=True, help="The thread's id.")
@_output
@click.option("--codex-home", type=_FOLDER, help="Default: the registered homes, else CODEX_HOME, else ~/.codex.")
@_home
def bundle(session_id: str, output: Path, codex_home: Path | None, home_path: str | None) -> None:
    """Copy a thread's raw files into a folder. Nothing in them is redacted."""
    home = Home.resolve(home_path)
    if home.exists and thread_hash(session_id) in forgotten_hashes(home):
        raise Problem(f"session {session_id} was forgotten; its files are not taken up again")
    try:
        written = write_bundle(session_id, _codex_homes(home, codex_home), output, clock.now())
    except BundleError as error:
        raise Problem(str(error)) from error
    _print(thread_id=session_id, bundle=str(output), sub_agents=sorted(set(written) - {session_id}))


@trace.command()
@_bundle
@_output
@click.option("--start-seq", type=int, help="First record, as the spine or the rollout numbers it.")
@click.option("--end-seq", type=int, help="Last record.")
@click.option("--start-turn-id", help="Id of the first turn.")
@click.option("--end-turn-id", help="Id of the last turn.")
@click.option("--signal-type", type=click.Choice(["friction", "delight"]), help="What it is an example of.")
@click.option("--signal-category", help="Name of the category.")
@click.option("--cluster-id", help="Cluster that it belongs to.")
@_home
def distill(bundle: Path, output: Path, home_path: str | None, **options: Any) -> None:
    """Make a Harbor task of some turns. It is unvalidated until real runs prove it."""
    from codex_loop_assets.distill import chosen
    from codex_loop_assets.distill.digest import task_digest
    from codex_loop_assets.distill.task import write
    from codex_loop_assets.resources.task_model import open_task_model

    require_empty(output)
    home = Home.resolve(home_path)
    labels = chosen.Labels(options["signal_type"], options["signal_category"], options["cluster_id"])
    with plain_errors(), tempfile.TemporaryDirectory() as scratch:
        place = home.root if home.exists else Path(scratch)
        repositories = home.repositories() if home.exists else {}
        settings = home.section("distill") if home.exists else section("distill")
        try:
            found = read_bundle(bundle)
            turns = _turns(found, options)
            model = open_task_model(home) if home.exists else None
            built = chosen.distil_chosen(found, turns, labels, repositories, place, settings, clock.now(), model=model)
        except (BundleError, chosen.NoTask) as error:
            raise Problem(str(error)) from error
    write(replace(built.task, directory=output.resolve().name), output.resolve().parent)
    verifiable = built.candidate.verification is not None
    _print(
        thread_id=found.thread_id,
        start_seq=turns[0]["seq_start"],
        end_seq=turns[-1]["seq_end"],
        task_dir=str(output),
        digest=task_digest(output),
        environment=built.environment.kind,
        verifier=built.metadata["verifier_kind"],
        status="unvalidated" if verifiable else "needs_review",
        reason=UNPROVEN if verifiable else f"no verifier: {built.candidate.note}",
    )


@trace.command()
@click.option("--task", "tasks", multiple=True, required=True, type=_FOLDER, help="A task folder; any number of times.")
@_output
@click.option("--agent", default="oracle", show_default=True, help="Agent that harbor_run.sh runs.")
@click.option("--model", help="Model of that agent.")
@click.option("--run", is_flag=True, help="Run it now; the result goes to results/harbor_run.json.")
def dataset(tasks: tuple[Path, ...], output: Path, agent: str, model: str | None, run: bool) -> None:
    """Put task folders together into a dataset that Harbor runs."""
    from codex_loop_assets.distill.collect import NoDataset, collect

    require_empty(output)
    runner = harbor.find()
    if run and runner is None:
        raise Problem(harbor.HOW_TO_INSTALL)
    try:
        taken = collect(tasks, output, section("distill")["organisation"])
    except NoDataset as error:
        raise Problem(str(error)) from error
    script = write_text(output / "harbor_run.sh", _script(agent, model))
    script.chmod(0o755)
    unverified = [task.name for task, metadata in taken if metadata.get("verifier_kind") == "none"]
    _print(dataset=str(output), tasks=[task.name for task, _ in taken], needs_review=unverified, run=str(script))
    if run and runner is not None and not _run(runner, output, agent, model):
        raise SystemExit(1)


@trace.command()
@_bundle
@_output
@click.option("--split-compaction", is_flag=True, help="A file per stretch between compactions, linked in order.")
@click.option(
    "--schema-version",
    default="ATIF-v1.4",
    show_default=True,
    type=click.Choice(["ATIF-v1.4", "ATIF-v1.7", "v1.4", "v1.7"]),
    help="1.4 refers to sub-agents' files, 1.7 embeds sub-agents.",
)
def atif(bundle: Path, output: Path, split_compaction: bool, schema_version: str) -> None:
    """Write the thread as ATIF trajectories, redacted."""
    from codex_loop_assets.measure.atif import NothingToExport, trajectories

    require_empty(output)
    version = f"ATIF-{schema_version.removeprefix('ATIF-')}"
    try:
        found = read_bundle(bundle)
        files = trajectories(found.thread_id, found.canon, schema_version=version, split_compaction=split_compaction)
    except (BundleError, NothingToExport) as error:
        raise Problem(str(error)) from error
    for name, document in files.items():
        write_text(output / name, json.dumps(document, indent=2) + "\n")
    steps = sum(len(document["steps"]) for document in files.values())
    _print(thread_id=found.thread_id, steps=steps, files=[str(output / name) for name in files])


def require_empty(output: Path) -> None:
    """Raise Problem unless `output` is an empty folder or not there yet: nothing of a person's is overwritten."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise Problem(f"{output} is not an empty folder; name one that is empty or not there yet")


def _codex_homes(home: Home, codex_home: Path | None) -> list[CodexHome]:
    if codex_home:
        return [CodexHome("codex", codex_home)]
    registered = home.codex_homes() if home.exists else []
    return registered or [CodexHome("codex", Path(os.environ.get("CODEX_HOME") or Path.home() / ".codex"))]


def _turns(bundle: Bundle, options: dict[str, Any]) -> list[dict[str, Any]]:
    """The turns that the options choose. A pair of numbers wins over a pair of ids."""
    from codex_loop_assets.distill.chosen import turns_by_id, turns_by_seq

    mine = bundle.canon.turns.filter(pl.col("thread_id") == bundle.thread_id).sort("run", "seq_start").to_dicts()
    first, last, first_id, last_id = (
        options[name] for name in ("start_seq", "end_seq", "start_turn_id", "end_turn_id")
    )
    if first is not None and last is not None:
        return turns_by_seq(mine, first, last)
    if first_id is not None and last_id is not None:
        return turns_by_id(mine, first_id, last_id)
    raise Problem("name the turns with both --start-seq and --end-seq, or with both --start-turn-id and --end-turn-id")


def _script(agent: str, model: str | None) -> str:
    options = shlex.join(["--agent", agent, *(["--model", model] if model else [])])
    return f'#!/bin/sh\nset -eu\ncd "$(dirname "$0")"\nexec harbor run --path . {options} "$@"\n'


def _run(runner: harbor.Harbor, output: Path, agent: str, model: str | None) -> bool:
    """Run the dataset and write down how it went. A run in which no trial came to a reward is no success."""
    results: dict[str, Any]
    try:
        job = runner.run(output, agent, output / "results", "job", extra=["--model", model] if model else [])
    except harbor.HarborError as error:
        results = {"exit_code": 1, "success": False, "reason": str(error)}
    else:
        rewards = {trial.task: trial.reward for trial in job.trials if trial.reward is not None}
        errors = sorted({trial.exception for trial in job.trials if trial.exception})
        results = {"exit_code": 0, "success": bool(rewards), "rewards": rewards, "errors": errors}
    write_text(output / "results" / "harbor_run.json", json.dumps(results, indent=2) + "\n")
    _print(**results)
    return bool(results["success"])


def _print(**values: Any) -> None:
    click.echo(json.dumps(values))
