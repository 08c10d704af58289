"""Rows of `eval_runs` from what Harbor's trials left behind: one per trial, whatever became of it.

What belongs here: whose fault an error is, what counts as a reward. What does not: running jobs (resources.harbor), comparing
arms (`statistics`).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from codex_loop_assets.settings import section
from codex_loop_assets.tables import EVAL_RUNS

INFRASTRUCTURE = "infrastructure"


@dataclass(frozen=True)
class TrialRecord:
    """One trial: Harbor's result.json and lock.json of it, and where it lies (job directory and trial, as text)."""

    job_dir: str
    result: Mapping[str, Any]
    lock: Mapping[str, Any]
    end_state: str | None = None


def arm_name(agent: str, model: str | None, label: str | None = None) -> str:
    """What is compared: the label that a person gave, else agent and model."""
    return label or (f"{agent}/{model}" if model else agent)


def error_class(exception: str | None, settings: Mapping[str, Any] | None = None) -> str | None:
    """infrastructure, timeout, agent or verifier; None when nothing was raised."""
    if exception is None:
        return None
    errors = (settings or section("measure"))["errors"]
    return next((name for name, listed in errors.items() if exception in listed), INFRASTRUCTURE)


def eval_rows(
    trials: Sequence[TrialRecord],
    cluster_id: str,
    dataset: str,
    *,
    dataset_digest: str | None = None,
    labels: Mapping[str, str] | None = None,
    same: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> pl.DataFrame:
    """Rows of `eval_runs`. `labels`: job directory -> name of its arm, where a person gave one. `same`: digest that a task ran
    under -> digest of the present task, from which only its provenance differs.

    The reward of a trial whose infrastructure or verifier failed is null: it says nothing about the agent. One whose agent
    failed or ran out of time scores what the verifier gave, or 0.
    """
    seen: dict[tuple[str, str], int] = defaultdict(int)
    rows = []
    for trial in sorted(
        trials, key=lambda trial: (trial.job_dir, str(trial.result.get("started_at")), trial.result["trial_name"])
    ):
        row = _row(trial, (labels or {}).get(trial.job_dir), same or {}, settings)
        place = (row["task"], row["arm"])
        rows.append(
            row
            | {"cluster_id": cluster_id, "dataset": dataset, "dataset_digest": dataset_digest, "attempt": seen[place]}
        )
        seen[place] += 1
    return EVAL_RUNS.frame(rows)


def _row(
    trial: TrialRecord, label: str | None, same: Mapping[str, str], settings: Mapping[str, Any] | None
) -> dict[str, Any]:
    result = trial.result
    info, agent = result.get("agent_info") or {}, result.get("agent_result") or {}
    model = (info.get("model_info") or {}).get("name")
    exception = result.get("exception_info") or {}
    failed = error_class(exception.get("exception_type"), settings)
    started, finished = _time(result.get("started_at")), _time(result.get("finished_at"))
    ran = (trial.lock.get("task") or {}).get("digest") if trial.lock else None
    return {
        "eval_id": "eval_" + hashlib.sha256(f"{result.get('id')}\n{result['trial_name']}".encode()).hexdigest()[:16],
        "task": result["task_name"],
        "task_digest": same.get(ran, ran),
        "ran_digest": ran if ran in same else None,
        "agent": info.get("name", "unknown"),
        "agent_version": info.get("version"),
        "model": model,
        "arm": arm_name(info.get("name", "unknown"), model, label),
        "reward": _reward(result, failed),
        "error_class": failed,
        "error": f"{exception['exception_type']}: {exception.get('exception_message', '')}"[:500]
        if exception
        else None,
        "started_at": started,
        "duration_s": (finished - started).total_seconds() if started and finished else None,
        "tokens": _sum(agent.get("n_input_tokens"), agent.get("n_output_tokens")),
        "cost_usd": agent.get("cost_usd"),
        "end_state": trial.end_state,
        "job_dir": trial.job_dir,
        "trial": result["trial_name"],
    }


def _reward(result: Mapping[str, Any], failed: str | None) -> float | None:
    if failed in (INFRASTRUCTURE, "verifier"):
        return None
    reward = ((result.get("verifier_result") or {}).get("rewards") or {}).get("reward")
    if reward is not None:
        return float(reward)
    return 0.0 if failed else None


def _sum(*values: int | None) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _time(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value.replace("Z", "+00:00")) if value else None
