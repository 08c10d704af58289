"""Proving tasks by real runs: nothing done scores 0, the reference solution scores 1 each time, wrong solutions score
0.

What belongs here: which runs prove a task, and the verdict drawn from them. What a wrong solution is stands in
`attacks`; running is done by the `harbor` handed in (resources.harbor.Harbor).
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from codex_loop_assets.distill.attacks import attacks
from codex_loop_assets.tables import TASK_VALIDATIONS

VERDICT = "verdict"
PROVEN = ("nop", "oracle", "repeat")

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
    reason). previous: earlier rows; a task with the same digest that has been run is not run again.
    """
    built = datasets.filter(pl.col("stage") == "built").sort("candidate_id").to_dicts()
    kept = _kept(previous, {task["candidate_id"]: task["digest"] for task in built})
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
    rows = kept
    if open_tasks:
        rows = kept + _run_all(open_tasks, home, settings, harbor)
    return TASK_VALIDATIONS.frame(rows)


def _kept(previous: pl.DataFrame | None, digests: Mapping[str, str]) -> list[Row]:
    """Earlier rows that still hold: same task, same digest, and a verdict that came from running it."""
    if previous is None:
        return []
    rows = [row for row in previous.to_dicts() if digests.get(row["candidate_id"]) == row["digest"]]
    settled = {row["candidate_id"] for row in rows if row["check"] == VERDICT and row["status"] != "unvalidated"}
    return [row for row in rows if row["candidate_id"] in settled]


def _run_all(tasks: list[Row], home: Path, settings: Mapping[str, Any], harbor: Any) -> list[Row]:
    limits = settings["validation"]
    key = hashlib.sha256("".join(task["digest"] for task in tasks).encode()).hexdigest()[:12]
    bench = home / "harbor" / "validation" / key
    names = {Path(task["task_dir"]).name: task for task in tasks}
    try:
        for name, task in names.items():
            _copy(home / task["task_dir"], bench / "tasks" / name, {})
        runs = _checked(harbor, home, bench / "tasks", "nop", f"validate-{key}-nop", 1, limits, names, 0.0)
        runs += _checked(
            harbor, home, bench / "tasks", "oracle", f"validate-{key}-oracle", 1 + limits["repeats"], limits, names, 1.0
        )
        sound = {name: task for name, task in names.items() if not _unsound(_of(runs, task), limits["repeats"])}
        runs += _attacked(sound, home, bench / "attacks", key, settings, harbor)
    finally:
        shutil.rmtree(bench, ignore_errors=True)
    return runs + [_judged(task, _of(runs, task), limits) for task in tasks]


def _attacked(
    sound: Mapping[str, Row], home: Path, bench: Path, key: str, settings: Mapping[str, Any], harbor: Any
) -> list[Row]:
    names: dict[str, Row] = {}
    for name, task in sound.items():
        source = home / task["task_dir"]
        patch = (source / "solution" / "solution.patch").read_bytes()
        for number, attack in enumerate(attacks(patch, _reference_paths(source), settings)):
            variant = f"{name}-x{number}"
            _copy(source, bench / variant, attack.files)
            names[variant] = task | {"check": attack.check, "attempt": attack.attempt}
    if not names:
        return []
    return _checked(harbor, home, bench, "oracle", f"validate-{key}-attacks", 1, settings["validation"], names, 0.0)


def _reference_paths(task: Path) -> list[str]:
    bundle = task / "tests" / "reference.tar"
    if not bundle.exists() or not bundle.stat().st_size:
        return []
    with tarfile.open(bundle) as archive:
        return archive.getnames()


def _copy(source: Path, target: Path, solution: Mapping[str, bytes]) -> None:
    """A task directory again, with other files under solution/ where given. A copy left by a killed run is replaced."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("solution") if solution else None)
    for name, data in solution.items():
        file = target / "solution" / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data)
        file.chmod(0o755)


def _checked(
    harbor: Any,
    home: Path,
    path: Path,
    agent: str,
    job_name: str,
    attempts: int,
    limits: Mapping[str, Any],
    names: Mapping[str, Row],
    expected: float,
) -> list[Row]:
    """Run a directory of tasks and turn its trials into rows."""
    jobs = home / "harbor" / "jobs"
    job = harbor.run(
        path,
        agent,
        jobs,
        job_name,
        attempts=attempts,
        concurrency=limits["concurrency"],
        timeout_s=float(limits["job_timeout_sec"]),
    )
    trials = defaultdict(list)
    for trial in job.trials:
        trials[Path(trial.task_path).name].append(trial)
    rows = []
    for name, task in names.items():
        for number, trial in enumerate(trials[name]):
            check = task.get("check") or (agent if number == 0 else "repeat")
            attempt = task.get("attempt", max(0, number - 1))
            rows.append(_trial_row(task, check, attempt, trial, expected, job.directory.relative_to(home)))
        if not trials[name]:
            row = _base(task, task.get("check") or agent, task.get("attempt", 0)) | {
                "status": "error",
                "expected": expected,
            }
            rows.append(
                row
                | {
                    "reason": "Harbor ran no trial of it: it does not accept the task",
                    "job_dir": str(job.directory.relative_to(home)),
                }
            )
    return rows


def _base(task: Row, check: str, attempt: int) -> Row:
    return {
        "cluster_id": task["cluster_id"],
        "candidate_id": task["candidate_id"],
        "digest": task["digest"],
        "check": check,
        "attempt": attempt,
    }


def _trial_row(task: Row, check: str, attempt: int, trial: Any, expected: float, job_dir: Path) -> Row:
    if trial.exception:
        status, reason = "error", f"{trial.exception}: {' '.join((trial.exception_message or '').split())[-200:]}"
    elif trial.reward == expected:
        status, reason = "passed", f"scored {trial.reward:g} as it must"
    else:
        status, reason = (
            "failed",
            f"scored {'nothing' if trial.reward is None else format(trial.reward, 'g')}, not {expected:g}",
        )
    return _base(task, check, attempt) | {
        "status": status,
        "reason": reason,
        "reward": trial.reward,
        "expected": expected,
        "error_class": trial.exception,
        "duration_s": trial.duration_s,
        "job_dir": job_dir.as_posix(),
    }


def _of(rows: Iterable[Row], task: Row) -> list[Row]:
    return [row for row in rows if row["candidate_id"] == task["candidate_id"]]


def _unsound(rows: list[Row], repeats: int) -> str | None:
    """Why nop and oracle do not prove the task; None when they do."""
    by_check = defaultdict(list)
    for row in rows:
        by_check[row["check"]].append(row)
    for check, says in (("nop", "doing nothing"), ("oracle", "the reference solution")):
        for row in by_check[check] or [{"status": "error", "reason": "was not run"}]:
            if row["status"] != "passed":
                return f"{says}: {row['reason']}"
    wrong = [row for row in by_check["repeat"] if row["status"] != "passed"]
    if wrong or len(by_check["repeat"]) < repeats:
        return f"the same end state was graded differently: {wrong[0]['reason'] if wrong else 'repeats are missing'}"
    return None


def _judged(task: Row, rows: list[Row], limits: Mapping[str, Any]) -> Row:
    problem = _unsound(rows, limits["repeats"])
    if problem:
        return _verdict(task, "rejected", problem)
    wrong = [row for row in rows if row["check"] not in PROVEN]
    graded = [row for row in wrong if row["status"] != "error"]
    score = sum(row["status"] == "passed" for row in graded) / len(graded) if graded else None
    survivors = ", ".join(f"{row['check']} {row['attempt']}" for row in graded if row["status"] == "failed")
    if score is None or score < limits["minimum_mutation_score"]:
        reason = f"wrong solutions scored 1: {survivors}" if survivors else "no wrong solution could be graded"
        return _verdict(task, "needs_review", reason, score)
    return _verdict(
        task,
        "validated",
        f"nothing scored 0, the solution 1 in {1 + limits['repeats']} runs, {len(graded)} wrong solutions tried",
        score,
    )


def _verdict(task: Row, status: str, reason: str, score: float | None = None) -> Row:
    return _base(task, VERDICT, 0) | {"status": status, "reason": reason, "mutation_score": score}
