"""Proving tasks by real runs: nothing done scores 0, the reference solution scores 1 each time, wrong solutions score
0.

What belongs here: which runs prove a task, and the verdict drawn from them. What a wrong solution is stands in
`attacks`; running is done by the `harbor` handed in (resources.harbor.Harbor).
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from codex_loop_assets.distill import bench, reviewed
from codex_loop_assets.tables import TASK_VALIDATIONS

VERDICT = "verdict"
PROVEN = ("nop", "oracle", "repeat")
RAN_AS = "; run with another provenance, as "

Row = dict[str, Any]


def how_to_validate(cluster_id: str) -> str:
    """What to do where no engine was there."""
    return f"install Harbor and Docker with Compose v2, then run `codex-loop validate --cluster-id {cluster_id}`"


def validate(
    datasets: pl.DataFrame,
    home: Path,
    settings: Mapping[str, Any],
    harbor: Any | None,
    problem: str | None,
    previous: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Rows of `task_validations` for the built tasks among rows of `harbor_datasets` (of one cluster).

    harbor: None where it is missing; problem: why nothing can be run (then every task is `unvalidated` with that
    reason). previous: earlier rows; a task that has been run is not run again while its digest is the same, or differs
    by the task's provenance only.
    """
    built = datasets.filter(pl.col("stage") == "built").sort("candidate_id").to_dicts()
    kept = _kept(previous, {task["candidate_id"]: task for task in built})
    done = {row["candidate_id"] for row in kept}
    unverified = [task for task in built if task["verifier_kind"] == "none"]
    kept += [
        _verdict(task, "needs_review", f"no verifier: {task['reason']}")
        for task in unverified
        if task["candidate_id"] not in done
    ]
    done |= {task["candidate_id"] for task in unverified}
    open_tasks = [task for task in built if task["candidate_id"] not in done]
    if open_tasks and (harbor is None or problem):
        reason = f"{problem or 'no engine: Harbor is not installed'}; {how_to_validate(open_tasks[0]['cluster_id'])}"
        return TASK_VALIDATIONS.frame(kept + [_verdict(task, "unvalidated", reason) for task in open_tasks])
    if not open_tasks:
        return TASK_VALIDATIONS.frame(kept)
    try:
        rows = _run_all(open_tasks, home, settings, harbor)
    except RuntimeError as error:
        # Harbor itself failed (resources.harbor.HarborError): that says nothing about any task.
        rows = [_verdict(task, "unvalidated", f"Harbor failed: {error}") for task in open_tasks]
    return TASK_VALIDATIONS.frame(kept + rows)


def _kept(previous: pl.DataFrame | None, tasks: Mapping[str, Row]) -> list[Row]:
    """Earlier rows that still hold: of the same task with a verdict that came from running it. Where several digests of a task were
    run, the present one's rows."""
    if previous is None:
        return []
    by_digest: dict[tuple[str, str], list[Row]] = {}
    for row in previous.filter(pl.col("check") != reviewed.CHECK).to_dicts():
        by_digest.setdefault((row["candidate_id"], row["digest"]), []).append(row)
    found: dict[str, list[Row]] = {}
    for (candidate_id, digest), rows in sorted(by_digest.items()):
        task = tasks.get(candidate_id)
        settled = any(row["check"] == VERDICT and row["status"] != "unvalidated" for row in rows)
        if task is None or not settled:
            continue
        if digest == task["digest"]:
            # Rows of before there were core digests get one here.
            found[candidate_id] = [row | {"core_digest": task["core_digest"]} for row in rows]
        elif rows[0]["core_digest"] and rows[0]["core_digest"] == task["core_digest"]:
            found.setdefault(candidate_id, [_of_this(task, row) for row in rows])
    return [row for rows in found.values() for row in rows]


def _of_this(task: Row, row: Row) -> Row:
    """A row about the same words, environment, tests and solution under another provenance, as one about this task; a verdict says
    which digest was run."""
    moved = row | {name: task[name] for name in ("cluster_id", "digest", "core_digest")}
    if row["check"] == VERDICT and RAN_AS not in row["reason"]:
        moved["reason"] = f"{row['reason']}{RAN_AS}{row['digest']}"
    return moved


def _run_all(tasks: list[Row], home: Path, settings: Mapping[str, Any], harbor: Any) -> list[Row]:
    """Three trials per task: nothing done, the reference solution, and the bench of repeats and attacks."""
    limits = settings["validation"]
    # All that shapes the jobs is in their name: Harbor refuses to go on with a job that was configured otherwise.
    substance = json.dumps([[task["digest"] for task in tasks], limits], sort_keys=True)
    key = hashlib.sha256(substance.encode()).hexdigest()[:12]
    place = home / "harbor" / "validation" / key
    names = {Path(task["task_dir"]).name: task for task in tasks}
    try:
        for name, task in names.items():
            shutil.rmtree(place / "tasks" / name, ignore_errors=True)
            shutil.copytree(home / task["task_dir"], place / "tasks" / name, symlinks=True)
        rows = _single(names, _trials(harbor, home, place / "tasks", "nop", key, limits), "nop", 0.0, home)
        rows += _single(names, _trials(harbor, home, place / "tasks", "oracle", key, limits), "oracle", 1.0, home)
        sound = {name: task for name, task in names.items() if not _unsound(_of(rows, task), ("nop", "oracle"))}
        planned = {name: bench.write(place / "tasks" / name, place / "bench" / name, settings) for name in sound}
        if planned:
            rows += _benched(
                sound, planned, _trials(harbor, home, place / "bench", "nop", f"{key}-bench", limits), home
            )
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return rows + [_judged(task, _of(rows, task), limits) for task in tasks]


def _trials(harbor: Any, home: Path, path: Path, agent: str, key: str, limits: Mapping[str, Any]) -> dict[str, Any]:
    """The trials of a directory of tasks, by task directory name.

    A job that a killed run left is finished by Harbor; one that is finished is read again; one in which the
    surroundings failed is run anew under another name.
    """
    jobs = home / "harbor" / "jobs"
    for attempt in itertools.count():
        name = f"validate-{key}-{agent}" + (f"-{attempt}" if attempt else "")
        job = harbor.finished(jobs, name)
        if job is None:
            job = harbor.run(
                path, agent, jobs, name, concurrency=limits["concurrency"], timeout_s=float(limits["job_timeout_sec"])
            )
            break
        if not any(_surroundings_failed(trial.exception, limits) for trial in job.trials):
            break
    return {Path(trial.task_path).name: trial for trial in job.trials}


def _surroundings_failed(error_class: str | None, limits: Mapping[str, Any]) -> bool:
    """Whether a trial's error is the surroundings' (engine, build, network) and not the task's own."""
    return error_class is not None and error_class not in limits["task_errors"]


def _single(names: Mapping[str, Row], trials: Mapping[str, Any], check: str, expected: float, home: Path) -> list[Row]:
    """One row per task for a run whose reward is the finding."""
    rows = []
    for name, task in names.items():
        trial = trials.get(name)
        rows.append(_row(task, check, 0, expected, trial, trial.reward if trial else None, home))
    return rows


def _benched(
    sound: Mapping[str, Row], planned: Mapping[str, list[bench.Run]], trials: Mapping[str, Any], home: Path
) -> list[Row]:
    """One row per graded solution of each bench."""
    rows = []
    for name, task in sound.items():
        trial = trials.get(name)
        scores = _scores(trial)
        for run in planned[name]:
            rows.append(_row(task, run.check, run.attempt, float(run.expected), trial, scores.get(run.name), home))
    return rows


def _scores(trial: Any | None) -> Mapping[str, float | None]:
    try:
        return json.loads((trial.directory / "verifier" / bench.SCORES).read_text("utf-8")) if trial else {}
    except (OSError, ValueError):
        return {}


def _base(task: Row, check: str, attempt: int) -> Row:
    return {
        "cluster_id": task["cluster_id"],
        "candidate_id": task["candidate_id"],
        "digest": task["digest"],
        "core_digest": task["core_digest"],
        "check": check,
        "attempt": attempt,
    }


def _row(task: Row, check: str, attempt: int, expected: float, trial: Any, reward: float | None, home: Path) -> Row:
    error_class = trial.exception if trial else None
    if trial is None:
        status, reason = "error", "Harbor ran no trial of it: it does not accept the task"
    elif error_class:
        message = " ".join((trial.exception_message or "").split())
        status, reason = "error", f"{error_class}: {message[-200:]}"
    elif reward is None:
        status, reason = "error", "the verifier gave no reward"
    elif reward == expected:
        status, reason = "passed", f"scored {reward:g} as it must"
    else:
        status, reason = "failed", f"scored {reward:g}, not {expected:g}"
    return _base(task, check, attempt) | {
        "status": status,
        "reason": reason,
        "reward": reward,
        "expected": expected,
        "error_class": error_class,
        "duration_s": trial.duration_s if trial else None,
        "job_dir": trial.directory.parent.relative_to(home).as_posix() if trial else None,
    }


def _of(rows: Iterable[Row], task: Row) -> list[Row]:
    return [row for row in rows if row["candidate_id"] == task["candidate_id"]]


def _unsound(rows: list[Row], checks: Iterable[str]) -> str | None:
    """Why the runs of these checks do not prove the task; None when they do."""
    says = {"nop": "doing nothing", "oracle": "the reference solution", "repeat": "the same end state graded again"}
    for check in checks:
        found = [row for row in rows if row["check"] == check]
        wrong = next((row for row in found if row["status"] != "passed"), None)
        if wrong or not found:
            return f"{says[check]}: {wrong['reason'] if wrong else 'was not run'}"
    return None


def _judged(task: Row, rows: list[Row], limits: Mapping[str, Any]) -> Row:
    failed = next((row for row in rows if _surroundings_failed(row["error_class"], limits)), None)
    if failed:
        return _verdict(task, "unvalidated", f"the environment failed in {failed['check']}: {failed['reason']}")
    problem = _unsound(rows, PROVEN)
    if problem:
        return _verdict(task, "rejected", problem)
    wrong = [row for row in rows if row["check"] not in PROVEN and row["status"] != "error"]
    score = sum(row["status"] == "passed" for row in wrong) / len(wrong) if wrong else None
    survivors = ", ".join(f"{row['check']} {row['attempt']}" for row in wrong if row["status"] == "failed")
    if score is None or score < limits["minimum_mutation_score"]:
        reason = f"wrong solutions scored 1: {survivors}" if survivors else "no wrong solution could be graded"
        return _verdict(task, "needs_review", reason, score)
    reason = (
        f"nothing scored 0, the solution 1 in {1 + limits['repeats']} gradings; wrong solutions tried: {len(wrong)}"
    )
    return _verdict(task, "validated", reason + (f", of them scored 1: {survivors}" if survivors else ""), score)


def _verdict(task: Row, status: str, reason: str, score: float | None = None) -> Row:
    return _base(task, VERDICT, 0) | {"status": status, "reason": reason, "mutation_score": score}
