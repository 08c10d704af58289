"""Harbor job folders of a home: where a cluster's jobs lie, what their trials left behind, which arm each job belongs to."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from codex_loop_assets import canon
from codex_loop_assets.distill.digest import core_digest, task_digest
from codex_loop_assets.measure.eval_runs import TrialRecord
from codex_loop_assets.resources.files import write_text
from codex_loop_assets.resources.homes import Home
from codex_loop_assets.signals.model import CanonTables
from codex_loop_assets.traces.day import build_day
from codex_loop_assets.traces.discover import discover
from codex_loop_assets.traces.homes import CodexHome

# In a job folder: digest -> core digest of its tasks.
TASKS = "codex_loop_tasks.json"
_ARMS = "arms.json"
_ALLOWED = "unvalidated.json"
_BASELINE = "baseline.json"
# What the rules found in a trial's session, where only that came with the trial (a baseline): category -> count.
COUNTS = "codex_loop_signals.json"


def jobs_folder(home: Home, cluster_id: str) -> Path:
    """Where the evaluation jobs of a cluster lie."""
    return home.root / "harbor" / "jobs" / cluster_id


def gathered_folder(home: Home) -> Path:
    """Where tasks are copied together to be run; nothing in it is needed once a measurement is done."""
    return home.root / "harbor" / "sets"


def label_job(home: Home, cluster_id: str, job_name: str, arm: str | None) -> None:
    """Remember the name of the arm that a job belongs to (nothing to do without one: agent and model name it)."""
    if arm:
        write_text(
            jobs_folder(home, cluster_id) / _ARMS,
            json.dumps({**_labels(home, cluster_id), job_name: arm}, sort_keys=True, indent=1) + "\n",
        )


def allow_unvalidated(home: Home, cluster_id: str, job_name: str) -> None:
    """Remember that a person let this job's trials count although nothing proves its tasks."""
    names = sorted({*_allowed(home, cluster_id), job_name})
    write_text(jobs_folder(home, cluster_id) / _ALLOWED, json.dumps(names, indent=1) + "\n")


def allowed_jobs(home: Home, cluster_id: str) -> list[str]:
    """Directories of the jobs whose trials count without proof."""
    return [_relative(home, jobs_folder(home, cluster_id) / name) for name in _allowed(home, cluster_id)]


def set_baseline(home: Home, cluster_id: str, arm: str) -> None:
    """Make an arm the one that all others are compared with, whenever its trials ran."""
    write_text(jobs_folder(home, cluster_id) / _BASELINE, json.dumps(arm) + "\n")


def baseline_arm(home: Home, cluster_id: str) -> str | None:
    """The arm that was made the baseline; None where the earliest is it."""
    return _json(jobs_folder(home, cluster_id) / _BASELINE)


def plain_name(name: str) -> str:
    """The name of a job or trial, if it can be one folder's name. Raises ValueError otherwise."""
    if not name or Path(name).name != name or name.startswith("."):
        raise ValueError(f"{name!r} is no name of a folder")
    return name


def note_tasks(job: Path, dataset: Path) -> None:
    """Leave in a job folder what its tasks are without their provenance: after a clustering has changed, a trial's digest alone would
    be one of no task."""
    tasks = sorted(path.parent for path in dataset.glob("*/task.toml"))
    write_text(job / TASKS, json.dumps({task_digest(task): core_digest(task) for task in tasks}, indent=1) + "\n")


def core_digests(home: Home, cluster_id: str) -> dict[str, str]:
    """Digest -> core digest of the tasks that the cluster's jobs ran, as far as the jobs say."""
    found: dict[str, str] = {}
    for path in sorted(jobs_folder(home, cluster_id).glob(f"*/{TASKS}")):
        found |= _json(path) or {}
    return found


def next_name(home: Home, cluster_id: str, agent: str, model: str | None, substance: str) -> str:
    """The name for a job of this agent and model: a hash of all that shapes it and a number. A job that was cut off keeps its
    name, so that the same command goes on with it."""
    shape = hashlib.sha256(substance.encode()).hexdigest()[:8]
    words = "-".join(re.sub(r"[^A-Za-z0-9.]+", "-", part).strip("-.") for part in (agent, model or "none"))
    for number in itertools.count(1):
        name = f"{words}-{shape}-{number}"
        summary = _json(jobs_folder(home, cluster_id) / name / "result.json")
        if not (summary and summary.get("finished_at")):
            return name
    raise AssertionError("itertools.count ended")


def adopt_job(home: Home, cluster_id: str, directory: Path, arm: str | None) -> str:
    """Copy a job folder made elsewhere into the home. Returns its name there. Raises ValueError for one that is no job, and
    for one with the name of another job of the cluster (its trials would be taken for that one's), or with its trials."""
    if not any(directory.glob("*/result.json")):
        raise ValueError(f"{directory} holds no trial (no */result.json); name a Harbor job folder")
    target = jobs_folder(home, cluster_id) / directory.name
    if target.exists() and _results(target) != _results(directory):
        raise ValueError(
            f"another job named {directory.name}, with other trials, was taken in before; rename {directory}"
        )
    for other in sorted(jobs_folder(home, cluster_id).glob("*/")):
        if other != target and _trial_ids(other) & _trial_ids(directory):
            raise ValueError(
                f"trials of {directory} were taken in before, as the job {other.name}; nothing counts twice"
            )
    if not target.exists():
        shutil.copytree(directory, target, symlinks=True)
    label_job(home, cluster_id, directory.name, arm)
    return directory.name


def trials(home: Home, cluster_id: str) -> tuple[list[TrialRecord], dict[str, str]]:
    """(every finished trial of the cluster's jobs, job directory -> arm). A trial whose result cannot be read is not finished."""
    records = []
    for path in sorted(jobs_folder(home, cluster_id).glob("*/*/result.json")):
        result, lock = _json(path), _json(path.with_name("lock.json"))
        if result and "trial_name" in result:
            # The verifier of a distilled task leaves a hash of the files it graded beside the reward.
            parts = _json(path.parent / "verifier" / "parts.json") or {}
            records.append(TrialRecord(_relative(home, path.parent.parent), result, lock or {}, parts.get("end_state")))
    labels = {
        _relative(home, jobs_folder(home, cluster_id) / name): arm for name, arm in _labels(home, cluster_id).items()
    }
    return records, labels


def trial_canon(home: Home, record: TrialRecord) -> CanonTables | None:
    """The canonical tables of the Codex sessions that a trial's agent left; None when it left none."""
    folder = home.root / record.job_dir / record.result["trial_name"] / "agent"
    refs = discover([CodexHome(name="trial", path=folder)])
    if not refs:
        return None
    started = (
        datetime.fromisoformat(record.result["started_at"].replace("Z", "+00:00"))
        if record.result.get("started_at")
        else datetime.now(UTC)
    )
    traces = build_day(started.date(), refs)
    built = canon.everything.build(traces.events, traces.spines)
    return CanonTables(traces.spines, traces.events, built.sessions, built.turns, built.tool_calls)


def trial_counts(home: Home, record: TrialRecord) -> dict[str, int] | None:
    """What the rules found in the trial's session, where that came with it instead of the session; None where it did not."""
    return _json(home.root / record.job_dir / record.result["trial_name"] / COUNTS)


def _results(job: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in job.glob("*/result.json")}


def _trial_ids(job: Path) -> set[tuple[str, str]]:
    found = (_json(path) for path in job.glob("*/result.json"))
    return {(str(result.get("id")), result["trial_name"]) for result in found if result and "trial_name" in result}


def _labels(home: Home, cluster_id: str) -> dict[str, str]:
    return _json(jobs_folder(home, cluster_id) / _ARMS) or {}


def _allowed(home: Home, cluster_id: str) -> list[str]:
    return _json(jobs_folder(home, cluster_id) / _ALLOWED) or []


def _relative(home: Home, path: Path) -> str:
    return path.relative_to(home.root).as_posix()


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None
